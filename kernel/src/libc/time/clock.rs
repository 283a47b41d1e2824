//! The clocks: time since boot, time of day, CPU time; see clock_gettime(2).

use core::sync::atomic::{AtomicU64, Ordering};

use smp::WaitQueue;

use super::units::ClockId;
use crate::libc::errno::Errno;
use crate::process::{self, PROCESS};

/// The time of day at boot, in nanoseconds since 1970: what to add to the time since boot.
static BOOT_REALTIME_NS: AtomicU64 = AtomicU64::new(0);

/// How often the time of day was set.
static STEPS: AtomicU64 = AtomicU64::new(0);

/// Woken whenever the time of day is set: deadlines on it are somewhere else then.
pub static STEPPED: WaitQueue = WaitQueue::new();

/// Nanoseconds since boot.
#[inline]
pub fn monotonic_ns() -> u64 {
    smp::now_ns()
}

/// Nanoseconds since 1970, UTC.
#[inline]
pub fn realtime_ns() -> u64 {
    BOOT_REALTIME_NS
        .load(Ordering::Relaxed)
        .wrapping_add(monotonic_ns())
}

/// Sets the time of day, and tells those whose deadlines are on it.
pub fn set_realtime_ns(ns: u64) {
    // Wraps where `ns` is less than the uptime; `realtime_ns` wraps back.
    BOOT_REALTIME_NS.store(ns.wrapping_sub(monotonic_ns()), Ordering::Relaxed);
    // Release pairs with the Acquire in `steps`: who sees the step sees the new time.
    STEPS.fetch_add(1, Ordering::Release);
    STEPPED.wake_all();
    super::alarm::clock_was_set();
}

/// How often the time of day was set: a wait on it that sees this change looks again.
pub fn steps() -> u64 {
    STEPS.load(Ordering::Acquire)
}

/// The point in time since boot at which the time of day will be `realtime_ns`, as it is set now.
pub fn deadline_of_realtime(realtime_ns: u64) -> u64 {
    let left = realtime_ns.saturating_sub(self::realtime_ns());
    monotonic_ns().saturating_add(left)
}

impl ClockId {
    /// What the clock shows.
    pub fn now_ns(self) -> Result<u64, Errno> {
        match self {
            Self::Monotonic => Ok(monotonic_ns()),
            Self::Realtime => Ok(realtime_ns()),
            Self::ProcessCpu => Ok(PROCESS.usage().cpu_ns),
            Self::ThreadCpu(0) => Ok(smp::current().cpu_time_ns()),
            Self::ThreadCpu(tid) => match process::thread(tid) {
                Some(thread) => Ok(thread.cpu_time_ns()),
                None => Err(Errno::EINVAL),
            },
        }
    }
}
