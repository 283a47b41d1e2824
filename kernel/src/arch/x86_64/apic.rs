//! The local APIC of each CPU: its timer, interrupts between CPUs, and the end
//! of every interrupt. Registers are the `x2apic` crate's, in x2APIC mode
//! (MSRs) where CPUID has it, else in xAPIC mode (memory).

use core::arch::x86_64::__cpuid;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use smp::MAX_CPUS;
use x2apic::lapic::{LocalApic, LocalApicBuilder, TimerDivide, TimerMode, xapic_base};
use x86_64::registers::model_specific::Msr;

use super::{clock, cpu, per_cpu};
use crate::log;
use crate::memory::{self, PhysAddr};

/// Vectors, by rising priority (the upper four bits): devices have 0x30 to 0xdf.
pub const VECTOR_TIMER: u8 = 0xe0;
pub const VECTOR_ERROR: u8 = 0xf0;
pub const VECTOR_RESCHEDULE: u8 = 0xf1;
pub const VECTOR_SHOOTDOWN: u8 = 0xf2;
/// The lowest four bits are ones, as old APICs want it (Intel SDM volume 3, 11.9).
pub const VECTOR_SPURIOUS: u8 = 0xff;

/// Register offsets in xAPIC mode; in x2APIC mode the MSR is 0x800 + offset / 16
/// (Intel SDM volume 3, table 11-6).
const LVT_LINT0: u32 = 0x350;
const LVT_LINT1: u32 = 0x360;
const LVT_MASKED: u32 = 1 << 16;
const LVT_NMI: u32 = 4 << 8;
const IA32_TSC_DEADLINE: u32 = 0x6e0;

/// How long the timer is compared with the clock.
const CALIBRATION_NS: u64 = 2_000_000;

const TIMER_UNKNOWN: u8 = 0;
const TIMER_ONE_SHOT: u8 = 1;
const TIMER_TSC_DEADLINE: u8 = 2;

/// How the timers are used; the same on every CPU.
static TIMER_KIND: AtomicU8 = AtomicU8::new(TIMER_UNKNOWN);
/// Timer counts per nanosecond, times 2^32.
static COUNTS_PER_NS: AtomicU64 = AtomicU64::new(0);
/// Where the registers are mapped, in xAPIC mode; 0 in x2APIC mode.
static REGISTERS: AtomicU64 = AtomicU64::new(0);
/// When the calibration began, on the boot CPU, and what the timer had left to count then.
static CALIBRATION_START: AtomicU64 = AtomicU64::new(0);
static CALIBRATION_LEFT: AtomicU32 = AtomicU32::new(0);
/// Errors that local APICs have reported.
static ERRORS: AtomicU32 = AtomicU32::new(0);

/// One CPU's local APIC.
struct Slot(UnsafeCell<Option<LocalApic>>);

// SAFETY: `with` hands slot `i` to CPU `i` alone, with interrupts off.
unsafe impl Sync for Slot {}

static SLOTS: [Slot; MAX_CPUS] = [const { Slot(UnsafeCell::new(None)) }; MAX_CPUS];

/// Runs `f` on this CPU's local APIC.
fn with<R>(f: impl FnOnce(&mut LocalApic) -> R) -> Option<R> {
    cpu::without_interrupts(|| {
        let slot = SLOTS[per_cpu::this_cpu().id().index()].0.get();
        // SAFETY: interrupts are off, so nothing else on this CPU uses the slot,
        // and other CPUs use theirs.
        unsafe { (*slot).as_mut() }.map(f)
    })
}

/// Whether CPUID has x2APIC mode, which is then used.
pub fn is_x2apic() -> bool {
    __cpuid(1).ecx & 1 << 21 != 0
}

/// This CPU's id before its local APIC is set up.
pub fn initial_id() -> u32 {
    // CPUID leaf 0xB has all 32 bits where it exists, leaf 1 the lowest eight.
    if __cpuid(0).eax >= 0xb {
        let leaf = core::arch::x86_64::__cpuid_count(0xb, 0);
        if leaf.ebx != 0 {
            return leaf.edx;
        }
    }
    __cpuid(1).ebx >> 24
}

/// The mode's name, for the log.
pub fn mode() -> &'static str {
    if is_x2apic() { "x2APIC" } else { "xAPIC" }
}

/// Maps the registers and sets up the boot CPU's local APIC.
pub fn init_boot_cpu() {
    if !is_x2apic() {
        // SAFETY: the MSR exists on every CPU with a local APIC; it names the
        // registers of this CPU's, and nobody else drives them.
        let registers = unsafe { memory::map_mmio(PhysAddr(xapic_base()), memory::PAGE_SIZE) };
        REGISTERS.store(registers as u64, Ordering::Relaxed);
    }
    const TSC_DEADLINE: u32 = 1 << 24;
    let has_deadline = __cpuid(1).ecx & TSC_DEADLINE != 0;
    let kind = if has_deadline {
        TIMER_TSC_DEADLINE
    } else {
        TIMER_ONE_SHOT
    };
    TIMER_KIND.store(kind, Ordering::Relaxed);
    init_this_cpu();
    if kind == TIMER_ONE_SHOT {
        // Counting begins; `finish_calibration` looks how far it has come, so
        // that what happens in between costs no time.
        // SAFETY: the timer is masked: nothing will interrupt.
        let (left, now) = with(|apic| unsafe {
            apic.disable_timer();
            apic.set_timer_initial(u32::MAX);
            read_timer(apic)
        })
        .expect("this CPU's APIC is set up");
        CALIBRATION_START.store(now, Ordering::Relaxed);
        CALIBRATION_LEFT.store(left, Ordering::Relaxed);
    }
}

/// Sets up the local APIC of the CPU that runs this.
pub fn init_this_cpu() {
    let mode = if TIMER_KIND.load(Ordering::Relaxed) == TIMER_TSC_DEADLINE {
        TimerMode::TscDeadline
    } else {
        TimerMode::OneShot
    };
    let mut builder = LocalApicBuilder::new();
    builder
        .timer_vector(VECTOR_TIMER.into())
        .error_vector(VECTOR_ERROR.into())
        .spurious_vector(VECTOR_SPURIOUS.into())
        .timer_mode(mode)
        .timer_divide(TimerDivide::Div16)
        .timer_initial(0)
        .set_xapic_base(REGISTERS.load(Ordering::Relaxed));
    let mut apic = builder.build().expect("every field is given");
    // SAFETY: the vectors have handlers; this is the CPU's own APIC.
    unsafe {
        apic.enable();
        // The crate leaves the pins at "fixed, vector 0". The 8259's output is
        // not used; the chipset's NMI is.
        write_register(LVT_LINT0, LVT_MASKED);
        write_register(LVT_LINT1, LVT_NMI);
    }
    cpu::without_interrupts(|| {
        let slot = SLOTS[per_cpu::this_cpu().id().index()].0.get();
        // SAFETY: as in `with`.
        unsafe { *slot = Some(apic) };
    });
}

/// Writes a register that the crate has no function for.
///
/// # Safety
///
/// The register takes the value.
unsafe fn write_register(offset: u32, value: u32) {
    // SAFETY: the caller's contract; the mode is the one the crate chose.
    unsafe {
        match REGISTERS.load(Ordering::Relaxed) {
            0 => Msr::new(0x800 + offset / 16).write(value.into()),
            base => ((base + u64::from(offset)) as *mut u32).write_volatile(value),
        }
    }
}

/// Returns what the one-shot timer has left to count, and when that was: the quickest of some
/// readings, as the host may interrupt between the two. A time taken beside the write that starts
/// the counting would be late by what the write takes under emulation, and so would every timer.
fn read_timer(apic: &LocalApic) -> (u32, u64) {
    let mut best = (u64::MAX, 0, 0);
    for _ in 0..8 {
        let before = clock::now_ns();
        // SAFETY: reads a counter.
        let left = unsafe { apic.timer_current() };
        let after = clock::now_ns();
        if after - before < best.0 {
            best = (after - before, left, before + (after - before) / 2);
        }
    }
    (best.1, best.2)
}

/// Ends the calibration of the one-shot timer: after this, timers work.
pub fn finish_calibration() {
    if TIMER_KIND.load(Ordering::Relaxed) != TIMER_ONE_SHOT {
        return;
    }
    let start = CALIBRATION_START.load(Ordering::Relaxed);
    while clock::now_ns() - start < CALIBRATION_NS {
        core::hint::spin_loop();
    }
    // SAFETY: stops the counter; the timer's vector has a handler.
    let (left, now) = with(|apic| unsafe {
        let reading = read_timer(apic);
        apic.set_timer_initial(0);
        apic.enable_timer();
        reading
    })
    .expect("the boot CPU's APIC is set up");
    let counts = u64::from(CALIBRATION_LEFT.load(Ordering::Relaxed) - left);
    let factor = (u128::from(counts) << 32) / u128::from(now - start);
    COUNTS_PER_NS.store(factor as u64, Ordering::Relaxed);
}

/// The timer's name and rate, for the log.
pub fn timer_description() -> (&'static str, u64) {
    if TIMER_KIND.load(Ordering::Relaxed) == TIMER_TSC_DEADLINE {
        return ("TSC deadline", 0);
    }
    let per_ns = u128::from(COUNTS_PER_NS.load(Ordering::Relaxed));
    ("one-shot", ((per_ns * 1_000_000_000) >> 32) as u64)
}

/// Asks for a timer interrupt on this CPU at a time since power-on, or at once
/// if that has passed; `u64::MAX` asks for none.
///
/// A deadline beyond the timer's range interrupts early; the handler asks again.
pub fn set_timer(deadline_ns: u64) {
    match TIMER_KIND.load(Ordering::Relaxed) {
        TIMER_TSC_DEADLINE => {
            let value = match deadline_ns {
                u64::MAX => 0,
                // 0 would disarm.
                ns => clock::counter_at(ns).max(1),
            };
            // SAFETY: CPUID has the timer; its vector has a handler.
            unsafe { Msr::new(IA32_TSC_DEADLINE).write(value) };
        }
        TIMER_ONE_SHOT => {
            let counts = if deadline_ns == u64::MAX {
                0
            } else {
                let left = deadline_ns.saturating_sub(clock::now_ns());
                let factor = COUNTS_PER_NS.load(Ordering::Relaxed);
                // Rounded up: never early by rounding. 0 would disarm.
                let counts = ((u128::from(left) * u128::from(factor)) >> 32) + 1;
                counts.min(u32::MAX.into()) as u32
            };
            // SAFETY: the timer's vector has a handler.
            with(|apic| unsafe { apic.set_timer_initial(counts) });
        }
        _ => {}
    }
}

/// Tells this CPU's APIC that the interrupt has been handled.
pub fn end_of_interrupt() {
    // SAFETY: called by an interrupt handler, once.
    with(|apic| unsafe { apic.end_of_interrupt() });
}

/// Counts what the APIC complains about; the first is named.
pub fn on_error() {
    // SAFETY: reads the error status register.
    let flags = with(|apic| unsafe { apic.error_flags() });
    if ERRORS.fetch_add(1, Ordering::Relaxed) == 0 {
        log::warn!("kernel.apic", "local APIC error: {flags:?}");
    }
}

/// The destination of an interrupt as the crate wants it: in xAPIC mode the id
/// is in the upper byte.
fn destination(apic_id: u32) -> u32 {
    if is_x2apic_active() {
        apic_id
    } else {
        apic_id << 24
    }
}

fn is_x2apic_active() -> bool {
    REGISTERS.load(Ordering::Relaxed) == 0
}

/// Sends with `f` once the APIC has let go of the last interrupt it sent.
fn send(f: impl FnOnce(&mut LocalApic)) {
    with(|apic| {
        // In x2APIC mode the bit does not exist and reads as zero.
        // SAFETY: reads the interrupt command register.
        while unsafe { apic.get_ipi_delivery_status() } {
            core::hint::spin_loop();
        }
        f(apic);
    });
}

/// Interrupts another CPU.
pub fn send_ipi(apic_id: u32, vector: u8) {
    // SAFETY: the vector has a handler on every CPU.
    send(|apic| unsafe { apic.send_ipi(vector, destination(apic_id)) });
}

/// Interrupts another CPU even if it has interrupts off.
pub fn send_nmi(apic_id: u32) {
    // SAFETY: every CPU has an NMI handler.
    send(|apic| unsafe { apic.send_nmi(destination(apic_id)) });
}

/// Resets a CPU, which then waits for a start-up interrupt.
///
/// # Safety
///
/// The CPU runs nothing that is needed.
pub unsafe fn send_init(apic_id: u32) {
    // SAFETY: the caller's contract.
    send(|apic| unsafe { apic.send_init_ipi(destination(apic_id)) });
}

/// Starts a CPU that waits, in real mode at a page below 1 MiB.
///
/// # Safety
///
/// There is code for it on that page.
pub unsafe fn send_startup(apic_id: u32, page: u8) {
    // SAFETY: the caller's contract.
    send(|apic| unsafe { apic.send_sipi(page, destination(apic_id)) });
}
