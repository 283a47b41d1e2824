//! The monotonic clock and the timer of each CPU: the generic timer's virtual counter (Arm ARM, D12).
//!
//! The architecture makes all CPUs' counters agree and tells their rate. The count starts at
//! power-on, so nanoseconds of it are uptime.

use core::sync::atomic::{AtomicU64, Ordering};

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{
    CNTFRQ_EL0, CNTV_CTL_EL0, CNTV_CVAL_EL0, CNTVCT_EL0, ReadWriteable, Readable, Writeable,
};

const NS_PER_S: u64 = 1_000_000_000;

/// Nanoseconds per count, times 2^32; 0 until the clock runs.
static NS_PER_COUNT: AtomicU64 = AtomicU64::new(0);
/// Counts per nanosecond, times 2^32.
static COUNTS_PER_NS: AtomicU64 = AtomicU64::new(0);

/// Reads the counter, after everything before it in the program.
pub fn counter() -> u64 {
    // Without it the counter may be read early (Arm ARM, D12.2.2).
    barrier::isb(barrier::SY);
    CNTVCT_EL0.get()
}

/// Nanoseconds since power-on; 0 until the clock runs.
pub fn now_ns() -> u64 {
    // Relaxed: set once, before other CPUs run.
    scale(counter(), NS_PER_COUNT.load(Ordering::Relaxed))
}

/// How often the counter counts in a second.
pub fn hz() -> u64 {
    CNTFRQ_EL0.get()
}

fn scale(value: u64, factor: u64) -> u64 {
    ((u128::from(value) * u128::from(factor)) >> 32) as u64
}

/// Starts the clock; returns its rate in Hz.
pub fn init() -> u64 {
    let hz = CNTFRQ_EL0.get();
    assert!(hz != 0, "the firmware has not set the timer's rate");
    let per = |a: u64, b: u64| ((u128::from(a) << 32) / u128::from(b)) as u64;
    NS_PER_COUNT.store(per(NS_PER_S, hz), Ordering::Relaxed);
    COUNTS_PER_NS.store(per(hz, NS_PER_S), Ordering::Relaxed);
    hz
}

/// Asks for a timer interrupt on this CPU at a time since power-on, or at once if that has
/// passed; `u64::MAX` asks for none.
pub fn set_timer(deadline_ns: u64) {
    if deadline_ns == u64::MAX {
        stop_timer();
        return;
    }
    // One more: never early by rounding.
    let count = scale(deadline_ns, COUNTS_PER_NS.load(Ordering::Relaxed)).saturating_add(1);
    CNTV_CVAL_EL0.set(count);
    CNTV_CTL_EL0.write(CNTV_CTL_EL0::ENABLE::SET + CNTV_CTL_EL0::IMASK::CLEAR);
    barrier::isb(barrier::SY);
}

/// Stops this CPU's timer, and takes its interrupt back if it is pending: the line stays up as long as
/// the deadline has passed.
pub fn stop_timer() {
    CNTV_CTL_EL0.modify(CNTV_CTL_EL0::ENABLE::CLEAR);
    barrier::isb(barrier::SY);
}
