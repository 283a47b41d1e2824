//! Barriers: the last of `limit` threads to arrive lets all of them go.
//!
//! One thread may destroy the barrier as soon as it is through, while others are still on
//! their way out: `destroy` waits for those, which `inside` counts.

use core::ptr;

use crate::{
    error::Error,
    futex::{self, Scope, Sleep},
    lock,
    prim::{AtomicU32, Cell, Ordering},
};

/// `pthread_barrier_t`.
#[repr(C, align(8))]
pub struct Barrier {
    lock: AtomicU32,
    limit: u32,
    /// Threads that wait for this round; under `lock`.
    arrived: Cell<u32>,
    /// The number of the round. Waiters sleep on it; it changes under `lock`.
    round: AtomicU32,
    /// Threads that were let go and have not left yet.
    inside: AtomicU32,
    is_shared: u32,
    _unused: [u32; 2],
}

// SAFETY: `arrived` is touched under `lock` only.
unsafe impl Sync for Barrier {}

/// What a thread is told when it may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// Exactly one thread of the round: `PTHREAD_BARRIER_SERIAL_THREAD`.
    Last,
    /// All others.
    Other,
}

impl Barrier {
    /// Returns a barrier for `limit` threads.
    ///
    /// # Errors
    ///
    /// `Invalid` if `limit` is 0.
    pub fn new(limit: u32, scope: Scope) -> Result<Self, Error> {
        if limit == 0 {
            return Err(Error::Invalid);
        }
        Ok(Self {
            lock: AtomicU32::new(lock::FREE),
            limit,
            arrived: Cell::new(0),
            round: AtomicU32::new(0),
            inside: AtomicU32::new(0),
            is_shared: u32::from(scope == Scope::Shared),
            _unused: [0; 2],
        })
    }

    fn scope(&self) -> Scope {
        if self.is_shared == 0 {
            Scope::Private
        } else {
            Scope::Shared
        }
    }

    fn enter(&self) {
        lock::lock(&self.lock, None, self.scope())
            .expect("a wait without a deadline ends with the lock");
    }

    /// Waits until `limit` threads have arrived.
    pub fn wait(&self) -> Passed {
        let scope = self.scope();
        self.enter();
        // Relaxed: the round changes under the lock.
        let round = self.round.load(Ordering::Relaxed);
        let arrived = self.arrived.get() + 1;
        if arrived == self.limit {
            self.arrived.set(0);
            self.inside.fetch_add(self.limit - 1, Ordering::Relaxed);
            let word = ptr::from_ref(&self.round);
            // Release: those let go see what every thread did before it arrived, which
            // this one learned through the lock.
            self.round.store(round.wrapping_add(1), Ordering::Release);
            // Before the unlock: after it the barrier may be gone, and with it the
            // certainty that these waiters are of this round.
            futex::wake(word, futex::ALL, scope);
            lock::unlock(&self.lock, scope);
            return Passed::Last;
        }
        self.arrived.set(arrived);
        lock::unlock(&self.lock, scope);
        // Acquire: pairs with the Release above.
        while self.round.load(Ordering::Acquire) == round {
            futex::wait(&self.round, round, Sleep::new(None, scope));
        }
        let inside = ptr::from_ref(&self.inside);
        // Release: `destroy` returns after this thread's last look at the barrier.
        if self.inside.fetch_sub(1, Ordering::Release) == 1 {
            futex::wake(inside, 1, scope);
        }
        Passed::Other
    }

    /// Tells whether all threads that were let go have left.
    #[cfg(loom)]
    #[must_use]
    pub fn is_left(&self) -> bool {
        self.inside.load(Ordering::Relaxed) == 0
    }

    /// Waits until no thread touches the barrier any more.
    ///
    /// # Errors
    ///
    /// `Busy` if threads wait on it.
    pub fn destroy(&self) -> Result<(), Error> {
        let scope = self.scope();
        self.enter();
        if self.arrived.get() != 0 {
            lock::unlock(&self.lock, scope);
            return Err(Error::Busy);
        }
        lock::unlock(&self.lock, scope);
        loop {
            // Acquire: pairs with the Release of the last thread to leave.
            let inside = self.inside.load(Ordering::Acquire);
            if inside == 0 {
                return Ok(());
            }
            futex::wait(&self.inside, inside, Sleep::new(None, scope));
        }
    }
}

#[cfg(not(loom))]
const _: () = assert!(
    size_of::<Barrier>() == 32 && align_of::<Barrier>() == 8,
    "musl's pthread_barrier_t"
);
