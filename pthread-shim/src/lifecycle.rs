//! The end of a thread: who waits for it, and who frees its memory.
//!
//! ```text
//!   JOINABLE ──exit──► EXITING ──the kernel clears the id──► joiner frees
//!      │ detach
//!   DETACHED ──exit──► EXITING: the thread hands its own memory over
//! ```
//!
//! A thread's id is cleared, and its waiter woken, by the kernel when the thread has left
//! its stack for good: only then may the memory be used again.

use crate::{
    error::Error,
    futex::{self, Scope, Sleep, Wake},
    prim::{AtomicU32, Ordering},
    time::Deadline,
};

const EXITING: u32 = 1;
/// What musl's `__init_tp` gives the first thread.
const JOINABLE: u32 = 2;
const DETACHED: u32 = 3;

/// `detach_state` of musl's `struct pthread`.
#[repr(transparent)]
pub struct Lifecycle(AtomicU32);

/// Who frees an ending thread's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heir {
    /// The thread that joins it, or detaches it from now on.
    Joiner,
    /// It has none, and sees to it itself.
    Nobody,
}

impl Lifecycle {
    /// Returns the state of a thread that begins.
    #[cfg(any(test, loom))]
    #[must_use]
    pub fn new(is_detached: bool) -> Self {
        Self(AtomicU32::new(if is_detached {
            DETACHED
        } else {
            JOINABLE
        }))
    }

    /// Tells whether nobody may join the thread.
    #[must_use]
    pub fn is_detached(&self) -> bool {
        self.0.load(Ordering::Relaxed) == DETACHED
    }

    /// Tells whether the thread takes no more signals.
    #[must_use]
    pub fn is_exiting(&self) -> bool {
        self.0.load(Ordering::Relaxed) == EXITING
    }

    /// Begins the end of the calling thread.
    pub fn exit(&self) -> Heir {
        // AcqRel: with the exchange in `detach` one of the two is first, and the second
        // knows what the first did.
        if self.0.swap(EXITING, Ordering::AcqRel) == DETACHED {
            Heir::Nobody
        } else {
            Heir::Joiner
        }
    }

    /// Sets the state of a thread that begins, or that `exit` turned out to be too early for.
    pub fn restart(&self, is_detached: bool) {
        // Relaxed: nobody else acts on the thread yet.
        self.0.store(
            if is_detached { DETACHED } else { JOINABLE },
            Ordering::Relaxed,
        );
    }

    /// Leaves the thread to itself. Returns false if it is ending already: then the caller
    /// joins it and frees its memory.
    ///
    /// # Errors
    ///
    /// `Invalid` if it was detached before.
    pub fn detach(&self) -> Result<bool, Error> {
        match self
            .0
            .compare_exchange(JOINABLE, DETACHED, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => Ok(true),
            Err(DETACHED) => Err(Error::Invalid),
            Err(_) => Ok(false),
        }
    }
}

/// Sleeps until the kernel has cleared the thread id in `tid`.
///
/// # Errors
///
/// `TimedOut`, or `Invalid` for a deadline that is no time.
pub fn wait_for_end(tid: &AtomicU32, deadline: Option<&Deadline>) -> Result<(), Error> {
    loop {
        // Acquire: sees what the thread wrote before it ended.
        let current = tid.load(Ordering::Acquire);
        if current == 0 {
            return Ok(());
        }
        // Shared: that is how the kernel wakes here.
        match futex::wait(
            tid,
            current,
            Sleep {
                is_point: true,
                ..Sleep::new(deadline, Scope::Shared)
            },
        ) {
            Wake::Look | Wake::Interrupted => {}
            Wake::TimedOut => return Err(Error::TimedOut),
            Wake::Invalid => return Err(Error::Invalid),
        }
    }
}
