//! `pthread_mutex_*`.

use core::{ffi::c_int, mem::MaybeUninit};

use linux_raw_sys::errno::{EBUSY, EINVAL};

use super::thread;
use crate::{
    error::status,
    mutex::{Kind, Mutex},
    time::{Clock, Deadline, Timespec},
};

/// Initialises a mutex; see `pthread_mutex_init`.
#[unsafe(no_mangle)]
extern "C" fn pthread_mutex_init(mutex: &mut MaybeUninit<Mutex>, kind: Option<&Kind>) -> c_int {
    mutex.write(Mutex::new(kind.copied().unwrap_or_default()));
    0
}

/// Ends the use of a mutex; see `pthread_mutex_destroy`.
#[unsafe(no_mangle)]
extern "C" fn pthread_mutex_destroy(mutex: &Mutex) -> c_int {
    if mutex.is_held() {
        EBUSY.cast_signed()
    } else {
        0
    }
}

/// Locks a mutex; see `pthread_mutex_lock`.
#[unsafe(no_mangle)]
pub extern "C" fn pthread_mutex_lock(mutex: &Mutex) -> c_int {
    status(mutex.lock(thread::current().me(), None))
}

/// Locks a mutex if it is free; see `pthread_mutex_trylock`.
#[unsafe(no_mangle)]
pub extern "C" fn pthread_mutex_trylock(mutex: &Mutex) -> c_int {
    status(mutex.try_lock(thread::current().me()))
}

/// Locks a mutex until a time of `CLOCK_REALTIME`; see `pthread_mutex_timedlock`.
#[unsafe(no_mangle)]
pub extern "C" fn pthread_mutex_timedlock(mutex: &Mutex, at: Option<&Timespec>) -> c_int {
    let deadline = at.map(|&at| Deadline {
        clock: Clock::Realtime,
        at,
    });
    status(mutex.lock(thread::current().me(), deadline.as_ref()))
}

/// Locks a mutex until a time of `clock`; see `pthread_mutex_clocklock`.
#[unsafe(no_mangle)]
extern "C" fn pthread_mutex_clocklock(mutex: &Mutex, clock: c_int, at: &Timespec) -> c_int {
    match Clock::from_id(clock) {
        Ok(clock) => status(mutex.lock(thread::current().me(), Some(&Deadline { clock, at: *at }))),
        Err(error) => error.errno(),
    }
}

/// Unlocks a mutex; see `pthread_mutex_unlock`.
#[unsafe(no_mangle)]
pub extern "C" fn pthread_mutex_unlock(mutex: &Mutex) -> c_int {
    status(mutex.unlock(thread::current().me()))
}

/// Declares the state that a dead owner left consistent; see `pthread_mutex_consistent`.
#[unsafe(no_mangle)]
extern "C" fn pthread_mutex_consistent(mutex: &Mutex) -> c_int {
    status(mutex.make_consistent(thread::current().me()))
}

/// See `pthread_mutex_getprioceiling`: no mutex has one, as the protocol is not supported.
#[unsafe(no_mangle)]
extern "C" fn pthread_mutex_getprioceiling(_mutex: &Mutex, _ceiling: &mut c_int) -> c_int {
    EINVAL.cast_signed()
}

/// See `pthread_mutex_setprioceiling`: no mutex has one, as the protocol is not supported.
#[unsafe(no_mangle)]
extern "C" fn pthread_mutex_setprioceiling(
    _mutex: &Mutex,
    _ceiling: c_int,
    _old: Option<&mut c_int>,
) -> c_int {
    EINVAL.cast_signed()
}
