//! The kernel under the unit tests: Linux, by the C library's `syscall(2)`.

use core::ffi::{c_int, c_long};

unsafe extern "C" {
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
