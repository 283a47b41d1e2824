//! The calling thread, and what C calls a thread: `pthread_t` is the address of its block.

use core::ffi::c_int;

use crate::{arch, mutex::Me, prim::Ordering};

pub use crate::arch::ThreadBlock as Thread;

/// Returns the calling thread.
#[inline]
pub fn current() -> &'static Thread {
    // SAFETY: the block lives as long as its thread runs. 'static stands for that: the
    // reference never leaves the thread's own functions.
    unsafe { &*arch::current() }
}

impl Thread {
    /// Returns the thread's id for the kernel.
    #[inline]
    pub fn tid(&self) -> u32 {
        self.body.tid.load(Ordering::Relaxed)
    }

    /// Returns the thread as mutexes know it.
    #[inline]
    pub fn me(&self) -> Me<'_> {
        Me {
            tid: self.tid(),
            robust: &self.body.robust,
        }
    }

    /// Sets the thread's `errno`.
    pub fn set_errno(&self, errno: c_int) {
        self.body.errno.set(errno);
    }
}

/// Answers as functions that set `errno` do: 0, or -1 with `errno` set.
pub fn errno_status(result: Result<(), c_int>) -> c_int {
    match result {
        Ok(()) => 0,
        Err(errno) => {
            current().set_errno(errno);
            -1
        }
    }
}

/// Returns the calling thread; see `pthread_self`.
#[unsafe(no_mangle)]
pub extern "C" fn pthread_self() -> &'static Thread {
    current()
}

/// Returns the calling thread; see C11's `thrd_current`.
#[unsafe(no_mangle)]
pub extern "C" fn thrd_current() -> &'static Thread {
    current()
}

/// Tells whether two threads are one; see `pthread_equal`.
#[unsafe(no_mangle)]
pub extern "C" fn pthread_equal(one: *const Thread, other: *const Thread) -> c_int {
    c_int::from(core::ptr::addr_eq(one, other))
}

/// Tells whether two threads are one; see C11's `thrd_equal`.
#[unsafe(no_mangle)]
pub extern "C" fn thrd_equal(one: *const Thread, other: *const Thread) -> c_int {
    pthread_equal(one, other)
}
