//! `pthread_cond_*`.

use core::{
    ffi::{c_int, c_void},
    mem::MaybeUninit,
    ptr,
};

use linux_raw_sys::errno::{EINVAL, EPERM};

use super::{cancel, mutex_attributes::ConditionKind, thread};
use crate::{
    condvar::{Condvar, Waiter},
    error::{Error, status},
    mutex::Mutex,
    time::{Clock, Deadline, Timespec},
};

/// Initialises a condition variable; see `pthread_cond_init`.
#[unsafe(no_mangle)]
extern "C" fn pthread_cond_init(
    condvar: &mut MaybeUninit<Condvar>,
    kind: Option<&ConditionKind>,
) -> c_int {
    condvar.write(Condvar::new(
        kind.map_or(Clock::Realtime, ConditionKind::clock),
    ));
    0
}

/// Ends the use of a condition variable; see `pthread_cond_destroy`.
#[unsafe(no_mangle)]
pub extern "C" fn pthread_cond_destroy(condvar: &Condvar) -> c_int {
    status(condvar.destroy())
}

/// Wakes one waiter; see `pthread_cond_signal`.
#[unsafe(no_mangle)]
pub extern "C" fn pthread_cond_signal(condvar: &Condvar) -> c_int {
    condvar.signal(1);
    0
}

/// Wakes all waiters; see `pthread_cond_broadcast`.
#[unsafe(no_mangle)]
pub extern "C" fn pthread_cond_broadcast(condvar: &Condvar) -> c_int {
    condvar.signal(u32::MAX);
    0
}

/// Waits for a signal; see `pthread_cond_wait`.
#[unsafe(no_mangle)]
pub extern "C" fn pthread_cond_wait(condvar: &Condvar, mutex: &Mutex) -> c_int {
    wait(condvar, mutex, None)
}

/// Waits for a signal until a time of the condition's clock; see `pthread_cond_timedwait`.
#[unsafe(no_mangle)]
pub extern "C" fn pthread_cond_timedwait(
    condvar: &Condvar,
    mutex: &Mutex,
    at: Option<&Timespec>,
) -> c_int {
    wait(
        condvar,
        mutex,
        at.map(|&at| Deadline {
            clock: condvar.clock(),
            at,
        })
        .as_ref(),
    )
}

/// Waits for a signal until a time of `clock`; see `pthread_cond_clockwait`.
#[unsafe(no_mangle)]
extern "C" fn pthread_cond_clockwait(
    condvar: &Condvar,
    mutex: &Mutex,
    clock: c_int,
    at: &Timespec,
) -> c_int {
    match Clock::from_id(clock) {
        Ok(clock) => wait(condvar, mutex, Some(&Deadline { clock, at: *at })),
        Err(error) => error.errno(),
    }
}

struct Wait<'a> {
    condvar: &'a Condvar,
    mutex: &'a Mutex,
    waiter: Waiter,
}

impl Wait<'_> {
    /// Ends the wait and locks the mutex again. Returns whether a signal came, and how the
    /// locking went.
    fn end(&self, slept: Result<(), Error>) -> (bool, Result<(), Error>) {
        let signalled = slept.is_ok() || self.condvar.leave(&self.waiter);
        (signalled, self.mutex.lock(thread::current().me(), None))
    }
}

/// Runs when the waiting thread is cancelled: POSIX wants the mutex locked before the
/// thread's own cleanup handlers, and no signal lost with it.
unsafe extern "C" fn cancelled(wait: *mut c_void) {
    // SAFETY: pushed by `wait` with this argument, on the stack below.
    let wait = unsafe { &*wait.cast::<Wait<'_>>() };
    let (signalled, _) = wait.end(Err(Error::Interrupted));
    if signalled {
        wait.condvar.signal(1);
    }
}

fn wait(condvar: &Condvar, mutex: &Mutex, deadline: Option<&Deadline>) -> c_int {
    let me = thread::current().me();
    if !mutex.may_be_held_by(me) {
        return EPERM.cast_signed();
    }
    if deadline.is_some_and(|deadline| !deadline.at.is_valid()) {
        return EINVAL.cast_signed();
    }
    cancel::pthread_testcancel();
    let wait = Wait {
        condvar,
        mutex,
        waiter: Waiter::new(),
    };
    // SAFETY: the waiter stays until `end`, here or in `cancelled`, has taken it off the list.
    unsafe { condvar.enter(&wait.waiter) };
    if let Err(error) = mutex.unlock(me) {
        // Held by this thread, as checked above, so this cannot happen; but the waiter
        // must not stay on the list.
        condvar.leave(&wait.waiter);
        return error.errno();
    }
    let argument = ptr::from_ref(&wait).cast_mut().cast();
    let slept = cancel::with_cleanup(cancelled, argument, || wait.waiter.sleep(deadline));
    let (signalled, locked) = wait.end(slept);
    match (locked, slept) {
        (Err(error), _) => error.errno(),
        (Ok(()), Err(error)) if !signalled => error.errno(),
        _ => 0,
    }
}
