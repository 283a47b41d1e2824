//! `pthread_spin_*`: locks that sleep, since the holder's CPU may not be running.

use core::ffi::c_int;

use linux_raw_sys::errno::{EBUSY, EPERM};

use crate::{
    futex::Scope,
    lock,
    prim::{AtomicU32, Ordering},
};

/// Initialises a lock; see `pthread_spin_init`.
#[unsafe(no_mangle)]
extern "C" fn pthread_spin_init(word: &AtomicU32, _shared: c_int) -> c_int {
    word.store(lock::FREE, Ordering::Relaxed);
    0
}

/// Ends the use of a lock; see `pthread_spin_destroy`.
#[unsafe(no_mangle)]
extern "C" fn pthread_spin_destroy(word: &AtomicU32) -> c_int {
    if word.load(Ordering::Relaxed) == lock::FREE {
        0
    } else {
        EBUSY.cast_signed()
    }
}

/// Locks; see `pthread_spin_lock`. Shared, as the word does not say who it is for.
#[unsafe(no_mangle)]
extern "C" fn pthread_spin_lock(word: &AtomicU32) -> c_int {
    lock::lock(word, None, Scope::Shared).expect("a wait without a deadline ends with the lock");
    0
}

/// Locks if it is free; see `pthread_spin_trylock`.
#[unsafe(no_mangle)]
extern "C" fn pthread_spin_trylock(word: &AtomicU32) -> c_int {
    if lock::try_lock(word) {
        0
    } else {
        EBUSY.cast_signed()
    }
}

/// Unlocks; see `pthread_spin_unlock`.
#[unsafe(no_mangle)]
extern "C" fn pthread_spin_unlock(word: &AtomicU32) -> c_int {
    if lock::unlock(word, Scope::Shared) {
        0
    } else {
        EPERM.cast_signed()
    }
}
