//! The sleep and wake-up handshake of one thread.
//!
//! ```text
//!            unpark                     commit (context saved)
//!   PERMIT <-------- RUNNING ---------------------------> PARKED
//!      |   -------->                                        |
//!      |  take_permit                                       |
//!      ^----------------------------------------------------+
//!                 unpark: this caller makes it runnable
//! ```
//!
//! A thread is `RUNNING` in this sense until its context is saved: `commit` is called by what
//! runs next on its CPU. A waker that comes earlier leaves a permit and goes on, `commit` then
//! fails, and the CPU that saved the context puts the thread back on a run queue. So no
//! waker ever waits for a context switch of another CPU, and no CPU can resume a thread that
//! still runs on another.

#![forbid(unsafe_code)]

use crate::prim::{AtomicU32, Ordering};

const RUNNING: u32 = 0;
const PERMIT: u32 = 1;
const PARKED: u32 = 2;

/// Where a thread is between running and sleeping.
#[derive(Debug)]
pub(crate) struct ParkState(AtomicU32);

impl ParkState {
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(RUNNING))
    }

    /// Takes the permit if there is one; then the thread need not sleep.
    pub(crate) fn take_permit(&self) -> bool {
        // Acquire pairs with the Release in `unpark`: what the waker wrote first is seen.
        self.0
            .compare_exchange(PERMIT, RUNNING, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Parks the thread unless it has a permit; its context has been saved.
    pub(crate) fn commit(&self) -> bool {
        // Release pairs with the Acquire in `unpark`: the waker's CPU sees the saved context.
        self.0
            .compare_exchange(RUNNING, PARKED, Ordering::Release, Ordering::Relaxed)
            .is_ok()
    }

    /// Leaves a permit. If it returns true, the caller makes the thread runnable.
    pub(crate) fn unpark(&self) -> bool {
        // Only read-modify-writes follow each other here, so the Acquire in `take_permit`
        // pairs with the Release of every waker since the last permit was taken.
        self.0.swap(PERMIT, Ordering::AcqRel) == PARKED
    }

    /// Says whether there is a permit; only a hint.
    pub(crate) fn has_permit(&self) -> bool {
        self.0.load(Ordering::Relaxed) == PERMIT
    }

    /// Says whether the thread sleeps.
    pub(crate) fn is_parked(&self) -> bool {
        self.0.load(Ordering::Relaxed) == PARKED
    }
}
