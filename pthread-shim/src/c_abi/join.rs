//! Waiting for the end of a thread.

use core::{
    ffi::{c_int, c_void},
    ptr,
};

use linux_raw_sys::errno::{EBUSY, EDEADLK, EINVAL};

use super::{stack, thread, thread::Thread};
use crate::{
    error::Error,
    lifecycle,
    prim::Ordering,
    time::{Clock, Deadline, Timespec},
};

/// Waits for the end of a thread; see `pthread_join`.
#[unsafe(no_mangle)]
pub extern "C" fn pthread_join(target: &'static Thread, result: Option<&mut *mut c_void>) -> c_int {
    join(target, result, None)
}

/// Waits for the end of a thread until a time of `CLOCK_REALTIME`; see GNU's page of this name.
#[unsafe(no_mangle)]
extern "C" fn pthread_timedjoin_np(
    target: &'static Thread,
    result: Option<&mut *mut c_void>,
    at: Option<&Timespec>,
) -> c_int {
    join(
        target,
        result,
        at.map(|&at| Deadline {
            clock: Clock::Realtime,
            at,
        })
        .as_ref(),
    )
}

/// Joins a thread that has ended; see GNU's page of this name.
#[unsafe(no_mangle)]
extern "C" fn pthread_tryjoin_np(
    target: &'static Thread,
    result: Option<&mut *mut c_void>,
) -> c_int {
    // Acquire: as in `wait_for_end`.
    if target.body.tid.load(Ordering::Acquire) != 0 && !target.body.lifecycle.is_detached() {
        return EBUSY.cast_signed();
    }
    join(target, result, None)
}

fn join(
    target: &'static Thread,
    result: Option<&mut *mut c_void>,
    deadline: Option<&Deadline>,
) -> c_int {
    if target.body.lifecycle.is_detached() {
        return EINVAL.cast_signed();
    }
    if ptr::eq(target, thread::current()) {
        return EDEADLK.cast_signed();
    }
    if let Err(error) = lifecycle::wait_for_end(&target.body.tid, deadline) {
        return error.errno();
    }
    if let Some(result) = result {
        *result = target.body.result.get();
    }
    // SAFETY: the thread has ended, and its one joiner is here.
    unsafe { stack::release(target) };
    0
}

/// Waits for the end of a thread that nobody else can join, and releases its memory.
pub fn wait_and_release(target: &'static Thread) {
    lifecycle::wait_for_end(&target.body.tid, None)
        .expect("a wait without a deadline ends with the thread");
    // SAFETY: the thread has ended, and the caller is its one joiner.
    unsafe { stack::release(target) };
}

/// Leaves a thread to itself; see `pthread_detach`.
#[unsafe(no_mangle)]
pub extern "C" fn pthread_detach(target: &'static Thread) -> c_int {
    match target.body.lifecycle.detach() {
        Ok(true) => 0,
        Ok(false) => {
            // It is on its last steps: not a cancellation point, and soon over.
            let mut state = 0;
            super::cancel::pthread_setcancelstate(1, Some(&mut state));
            wait_and_release(target);
            super::cancel::pthread_setcancelstate(state, None);
            0
        }
        Err(Error::Invalid) => EINVAL.cast_signed(),
        Err(error) => error.errno(),
    }
}
