//! `pthread_rwlock_*`.

use core::{ffi::c_int, mem::MaybeUninit};

use linux_raw_sys::errno::EBUSY;

use super::{mutex_attributes::SharingKind, thread};
use crate::{
    error::{Error, status},
    rwlock::RwLock,
    time::{Clock, Deadline, Timespec},
};

/// Initialises a lock; see `pthread_rwlock_init`.
#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_init(
    lock: &mut MaybeUninit<RwLock>,
    kind: Option<&SharingKind>,
) -> c_int {
    lock.write(RwLock::new(SharingKind::scope(kind)));
    0
}

/// Ends the use of a lock; see `pthread_rwlock_destroy`.
#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_destroy(lock: &RwLock) -> c_int {
    if lock.is_held() {
        EBUSY.cast_signed()
    } else {
        0
    }
}

/// Locks for reading; see `pthread_rwlock_rdlock`.
#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_rdlock(lock: &RwLock) -> c_int {
    status(read(lock, None))
}

/// Locks for reading if no writer has it; see `pthread_rwlock_tryrdlock`.
#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_tryrdlock(lock: &RwLock) -> c_int {
    status(lock.try_read())
}

/// Locks for reading until a time of `CLOCK_REALTIME`; see `pthread_rwlock_timedrdlock`.
#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_timedrdlock(lock: &RwLock, at: Option<&Timespec>) -> c_int {
    status(read(
        lock,
        at.map(|&at| Deadline {
            clock: Clock::Realtime,
            at,
        })
        .as_ref(),
    ))
}

/// Locks for reading until a time of `clock`; see `pthread_rwlock_clockrdlock`.
#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_clockrdlock(lock: &RwLock, clock: c_int, at: &Timespec) -> c_int {
    status(Clock::from_id(clock).and_then(|clock| read(lock, Some(&Deadline { clock, at: *at }))))
}

/// Locks for writing; see `pthread_rwlock_wrlock`.
#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_wrlock(lock: &RwLock) -> c_int {
    status(write(lock, None))
}

/// Locks for writing if it is free; see `pthread_rwlock_trywrlock`.
#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_trywrlock(lock: &RwLock) -> c_int {
    status(lock.try_write(thread::current().tid()))
}

/// Locks for writing until a time of `CLOCK_REALTIME`; see `pthread_rwlock_timedwrlock`.
#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_timedwrlock(lock: &RwLock, at: Option<&Timespec>) -> c_int {
    status(write(
        lock,
        at.map(|&at| Deadline {
            clock: Clock::Realtime,
            at,
        })
        .as_ref(),
    ))
}

/// Locks for writing until a time of `clock`; see `pthread_rwlock_clockwrlock`.
#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_clockwrlock(lock: &RwLock, clock: c_int, at: &Timespec) -> c_int {
    status(Clock::from_id(clock).and_then(|clock| write(lock, Some(&Deadline { clock, at: *at }))))
}

/// Unlocks; see `pthread_rwlock_unlock`.
#[unsafe(no_mangle)]
extern "C" fn pthread_rwlock_unlock(lock: &RwLock) -> c_int {
    status(lock.unlock(thread::current().tid()))
}

fn read(lock: &RwLock, deadline: Option<&Deadline>) -> Result<(), Error> {
    lock.read(thread::current().tid(), deadline)
}

fn write(lock: &RwLock, deadline: Option<&Deadline>) -> Result<(), Error> {
    lock.write(thread::current().tid(), deadline)
}
