//! `clock_gettime` for C, without a call into the kernel.
//!
//! Programs read these two clocks more often than they make any other call. All the kernel does
//! for it is to read a counter, so C does that where it is, as by Linux's vDSO; musl's own
//! function, weak, is left for the other clocks.

use linux_raw_sys::general::{CLOCK_MONOTONIC, CLOCK_REALTIME};

use super::clock::{monotonic_ns, realtime_ns};
use super::units::Timespec;

unsafe extern "C" {
    /// musl's `clock_gettime` under its second name: a system call.
    fn __clock_gettime(id: i32, time: *mut Timespec) -> i32;
}

/// clock_gettime(3p): stores what clock `id` shows at `time`; returns 0, or -1 with errno.
///
/// # Safety
///
/// `time` is valid to write; as on Linux a wrong one is a fault, not `EFAULT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(id: i32, time: *mut Timespec) -> i32 {
    let ns = match id.cast_unsigned() {
        CLOCK_MONOTONIC => monotonic_ns(),
        CLOCK_REALTIME => realtime_ns(),
        // SAFETY: the caller's contract.
        _ => return unsafe { __clock_gettime(id, time) },
    };
    // SAFETY: the caller's contract.
    unsafe { time.write(Timespec::from_ns(ns)) };
    0
}
