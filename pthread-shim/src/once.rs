//! Running something once, while all others wait for it.
//!
//! ```text
//!   NEW ──begin──► RUNNING ──somebody waits──► AWAITED
//!    ▲                │ finish                    │ finish, wake all
//!    └─abandon────────┴─────────► DONE ◄──────────┘
//! ```

use core::ptr;

use crate::{
    futex::{self, Scope, Sleep},
    prim::{AtomicU32, Ordering},
};

/// `PTHREAD_ONCE_INIT`.
const NEW: u32 = 0;
const RUNNING: u32 = 1;
const AWAITED: u32 = 2;
const DONE: u32 = 3;

/// `pthread_once_t`; all zero means that nothing has run.
#[repr(transparent)]
pub struct Once(AtomicU32);

impl Once {
    /// Returns a `Once` whose work has not been done.
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicU32::new(NEW))
    }

    /// Returns true to the one caller who has to do the work and then call `finish`, or
    /// `abandon`; to all others false, once the work is done.
    pub fn begin(&self) -> bool {
        // Acquire: the work's effects are seen, by its Release in `finish`.
        if self.0.load(Ordering::Acquire) == DONE {
            return false;
        }
        loop {
            match self
                .0
                .compare_exchange(NEW, RUNNING, Ordering::Acquire, Ordering::Acquire)
            {
                Ok(_) => return true,
                Err(DONE) => return false,
                Err(RUNNING) => {
                    // Failure means that the state moved on: then the futex sees it too.
                    let _ = self.0.compare_exchange(
                        RUNNING,
                        AWAITED,
                        Ordering::Relaxed,
                        Ordering::Relaxed,
                    );
                }
                Err(_) => {}
            }
            futex::wait(&self.0, AWAITED, Sleep::new(None, Scope::Private));
        }
    }

    /// Says that the work is done.
    pub fn finish(&self) {
        self.leave(DONE);
    }

    /// Says that the work was given up: the next caller does it.
    pub fn abandon(&self) {
        self.leave(NEW);
    }

    fn leave(&self, state: u32) {
        let word = ptr::from_ref(&self.0);
        // Release: see `begin`.
        if self.0.swap(state, Ordering::Release) == AWAITED {
            futex::wake(word, futex::ALL, Scope::Private);
        }
    }
}

impl Default for Once {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Once>() == 4, "musl's pthread_once_t");
