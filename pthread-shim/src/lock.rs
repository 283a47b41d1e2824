//! The smallest lock: one word, asleep when it must wait.
//!
//! ```text
//!   FREE ──lock──► HELD ──somebody waits──► CONTENDED
//!     ▲──unlock────┘                            │
//!     └───unlock, wake one──────────────────────┘
//! ```
//!
//! `unlock` touches the word once: from then on the next holder may free its memory. A
//! thread that slept takes the lock as CONTENDED, since others may sleep on.

use core::ptr;

use crate::{
    error::Error,
    futex::{self, Scope, Sleep, Wake},
    prim::{AtomicU32, Ordering},
    time::Deadline,
};

/// Nobody holds the lock.
pub const FREE: u32 = 0;
const HELD: u32 = 1;
const CONTENDED: u32 = 2;

/// Takes the lock if it is free.
pub fn try_lock(word: &AtomicU32) -> bool {
    // Acquire: sees what the last holder wrote before its Release in `unlock`.
    word.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
        .is_ok()
}

/// Takes the lock, asleep until it is free or `deadline` has passed.
///
/// # Errors
///
/// `TimedOut`, or `Invalid` for a deadline that is no time.
pub fn lock(word: &AtomicU32, deadline: Option<&Deadline>, scope: Scope) -> Result<(), Error> {
    if try_lock(word) {
        Ok(())
    } else {
        lock_slow(word, deadline, scope)
    }
}

#[cold]
fn lock_slow(word: &AtomicU32, deadline: Option<&Deadline>, scope: Scope) -> Result<(), Error> {
    loop {
        // Acquire: as in `try_lock`.
        if word.swap(CONTENDED, Ordering::Acquire) == FREE {
            return Ok(());
        }
        match futex::wait(word, CONTENDED, Sleep::new(deadline, scope)) {
            Wake::Look | Wake::Interrupted => {}
            Wake::TimedOut => return Err(Error::TimedOut),
            Wake::Invalid => return Err(Error::Invalid),
        }
    }
}

/// Takes a lock of this crate's own data, which is only ever held for a few instructions.
pub fn lock_internal(word: &AtomicU32) {
    lock(word, None, Scope::Private).expect("a wait without a deadline ends with the lock");
}

/// Gives the lock back and wakes one waiter; returns whether it was held.
pub fn unlock(word: &AtomicU32, scope: Scope) -> bool {
    let address = ptr::from_ref(word);
    // Release: the next holder sees what this one wrote.
    let was = word.swap(FREE, Ordering::Release);
    if was == CONTENDED {
        futex::wake(address, 1, scope);
    }
    was != FREE
}
