//! The kernel under the unit tests: Linux, by the C library's `syscall(2)`.

use core::ffi::{c_int, c_long};

unsafe extern "C" {
    #[cfg(not(miri))]
    fn syscall(number: c_long, ...) -> c_long;
    fn __errno_location() -> *mut c_int;
}

/// Runs a Linux system call; see `crate::sys`.
#[unsafe(no_mangle)]
unsafe extern "C" fn kernel_syscall(
    n: usize,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> isize {
    // SAFETY: the caller's contract; errno belongs to this thread.
    unsafe {
        match syscall(n.cast_signed() as c_long, a, b, c, d, e, f) {
            -1 => -(*__errno_location() as isize),
            result => result as isize,
        }
    }
}

/// The calls that Miri knows, with arguments of the types that Linux declares: it minds.
///
/// # Safety
///
/// What the call's manual page says of its arguments.
#[cfg(miri)]
unsafe fn syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    use core::{ffi::c_void, ptr::with_exposed_provenance};
    use linux_raw_sys::general::{__NR_clock_gettime, __NR_sched_yield, __kernel_timespec};

    unsafe extern "C" {
        fn syscall(number: c_long, ...) -> c_long;
        fn clock_gettime(clock: c_int, time: *mut __kernel_timespec) -> c_int;
        fn sched_yield() -> c_int;
    }

    let pointer = with_exposed_provenance::<c_void>;
    // SAFETY: the caller's contract.
    unsafe {
        match number as u32 {
            __NR_clock_gettime => clock_gettime(a as c_int, pointer(b).cast_mut().cast()) as c_long,
            __NR_sched_yield => sched_yield() as c_long,
            // futex(2), and what Miri refuses by its number.
            _ => syscall(
                number,
                pointer(a),
                b as c_int,
                c as c_int,
                pointer(d),
                pointer(e),
                f as c_int,
            ),
        }
    }
}
