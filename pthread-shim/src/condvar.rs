//! Condition variables: a list of waiters, each asleep on a word of its own stack.
//!
//! ```text
//!   Condvar { oldest ─► Waiter ─► Waiter ─► Waiter ◄─ newest }    under `lock`
//!
//!   WAITING ──signal (under the lock, off the list)──► SIGNALLED
//!      └─────the waiter gives up──► LEAVING ──under the lock, off the list──► gone
//! ```
//!
//! A signal reaches a thread that waited before it, the one that waited longest, and no
//! later one. A signalled waiter never touches the condition variable again, so that it
//! may be destroyed right after a broadcast. One that gives up must still take itself off
//! the list: `destroy` waits for those.

use core::ptr;

use crate::{
    error::Error,
    futex::{self, Scope, Sleep, Wake},
    lock,
    prim::{AtomicU32, Cell, Ordering},
    time::{Clock, Deadline},
};

const WAITING: u32 = 0;
const SIGNALLED: u32 = 1;
const LEAVING: u32 = 2;

/// One thread's wait.
pub struct Waiter {
    state: AtomicU32,
    older: Cell<*const Waiter>,
    newer: Cell<*const Waiter>,
}

impl Waiter {
    /// Returns a waiter that is on no list.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: AtomicU32::new(WAITING),
            older: Cell::new(ptr::null()),
            newer: Cell::new(ptr::null()),
        }
    }

    /// Sleeps until signalled.
    ///
    /// # Errors
    ///
    /// `TimedOut` or `Invalid`: the waiter is on its list still, and has to leave it.
    pub fn sleep(&self, deadline: Option<&Deadline>) -> Result<(), Error> {
        // Acquire: what the signaller did before is done.
        while self.state.load(Ordering::Acquire) == WAITING {
            // Private: whoever signals runs in this address space, as the list does.
            let sleep = Sleep {
                is_point: true,
                ..Sleep::new(deadline, Scope::Private)
            };
            match futex::wait(&self.state, WAITING, sleep) {
                // POSIX: a signal handler ends no wait on a condition.
                Wake::Look | Wake::Interrupted => {}
                Wake::TimedOut => return Err(Error::TimedOut),
                Wake::Invalid => return Err(Error::Invalid),
            }
        }
        Ok(())
    }
}

impl Default for Waiter {
    fn default() -> Self {
        Self::new()
    }
}

/// `pthread_cond_t`; all zero is a condition variable on `CLOCK_REALTIME`.
#[repr(C, align(8))]
pub struct Condvar {
    lock: AtomicU32,
    clock: u32,
    oldest: Cell<*const Waiter>,
    newest: Cell<*const Waiter>,
    /// How many are on the list; read without the lock to spare `signal` the lock.
    waiting: AtomicU32,
    /// How many left while `destroy` waited, which sleeps on it.
    left: AtomicU32,
    is_dying: Cell<bool>,
    _unused: [u8; 15],
}

// SAFETY: the list and `is_dying` are touched under `lock` only.
unsafe impl Sync for Condvar {}
// SAFETY: nothing in a condition variable without waiters belongs to a thread.
unsafe impl Send for Condvar {}

impl Condvar {
    /// Returns a condition variable without waiters, whose time-outs are on `clock`.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            lock: AtomicU32::new(lock::FREE),
            clock: u32::from(clock == Clock::Monotonic),
            oldest: Cell::new(ptr::null()),
            newest: Cell::new(ptr::null()),
            waiting: AtomicU32::new(0),
            left: AtomicU32::new(0),
            is_dying: Cell::new(false),
            _unused: [0; 15],
        }
    }

    /// Returns the clock that its time-outs are on.
    #[must_use]
    pub fn clock(&self) -> Clock {
        if self.clock == 0 {
            Clock::Realtime
        } else {
            Clock::Monotonic
        }
    }

    /// Puts `waiter` on the list; the caller then gives its mutex back and sleeps.
    ///
    /// # Safety
    ///
    /// `waiter` is new, and stays where it is until `sleep` succeeded or `leave` returned.
    pub unsafe fn enter(&self, waiter: &Waiter) {
        lock::lock_internal(&self.lock);
        let older = self.newest.get();
        waiter.older.set(older);
        // SAFETY: waiters on the list are alive by the contract of this function.
        match unsafe { older.as_ref() } {
            Some(older) => older.newer.set(waiter),
            None => self.oldest.set(waiter),
        }
        self.newest.set(waiter);
        // Relaxed: the mutex that the caller gives back next orders it before any signal
        // that follows from what the mutex guards.
        self.waiting.fetch_add(1, Ordering::Relaxed);
        lock::unlock(&self.lock, Scope::Private);
    }

    /// Takes `waiter` off the list after a sleep that failed.
    ///
    /// Returns whether a signal came first: then the wait succeeded after all.
    pub fn leave(&self, waiter: &Waiter) -> bool {
        // Acquire, if it fails: as in `Waiter::sleep`.
        if waiter
            .state
            .compare_exchange(WAITING, LEAVING, Ordering::Relaxed, Ordering::Acquire)
            .is_err()
        {
            return true;
        }
        // Not signalled, and never to be: this condition variable waits to be destroyed
        // until the waiter is off the list.
        lock::lock_internal(&self.lock);
        self.unlink(waiter.older.get(), waiter.newer.get());
        let left = ptr::from_ref(&self.left);
        let is_dying = self.is_dying.get();
        if is_dying {
            self.left.fetch_add(1, Ordering::Relaxed);
        }
        lock::unlock(&self.lock, Scope::Private);
        if is_dying {
            futex::wake(left, 1, Scope::Private);
        }
        false
    }

    /// Lets the `limit` longest waiting threads go on.
    pub fn signal(&self, limit: u32) {
        // Relaxed: see `enter`. Who signals without having changed anything under the
        // mutex is not ordered with any waiter, and may miss it.
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return;
        }
        lock::lock_internal(&self.lock);
        let mut signalled = 0;
        let mut next = self.oldest.get();
        while signalled < limit
            // SAFETY: it is on the list, which is locked, so it is alive.
            && let Some(waiter) = unsafe { next.as_ref() }
        {
            next = waiter.newer.get();
            let (older, word) = (waiter.older.get(), ptr::from_ref(&waiter.state));
            // Release: the waiter sees what the caller did before. From here on it may
            // return and take its memory with it, so the list forgets it without a look.
            if waiter
                .state
                .compare_exchange(WAITING, SIGNALLED, Ordering::Release, Ordering::Relaxed)
                .is_err()
            {
                continue;
            }
            self.unlink(older, next);
            signalled += 1;
            futex::wake(word, 1, Scope::Private);
        }
        lock::unlock(&self.lock, Scope::Private);
    }

    /// Joins the neighbours of a waiter that is gone from the list, which is locked.
    fn unlink(&self, older: *const Waiter, newer: *const Waiter) {
        // SAFETY: waiters on the list are alive, as none goes before it is off it.
        match unsafe { older.as_ref() } {
            Some(older) => older.newer.set(newer),
            None => self.oldest.set(newer),
        }
        // SAFETY: as above.
        match unsafe { newer.as_ref() } {
            Some(newer) => newer.older.set(older),
            None => self.newest.set(older),
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// Tells whether nobody is on the list, to whom `destroy` has said so.
    #[cfg(loom)]
    #[must_use]
    pub fn is_left(&self) -> bool {
        self.oldest.get().is_null()
    }

    /// Waits until no thread touches the condition variable any more.
    ///
    /// # Errors
    ///
    /// `Busy` if threads wait on it.
    pub fn destroy(&self) -> Result<(), Error> {
        lock::lock_internal(&self.lock);
        let mut waiter = self.oldest.get();
        // SAFETY: it is on the list, which is locked, so it is alive.
        while let Some(listed) = unsafe { waiter.as_ref() } {
            if listed.state.load(Ordering::Relaxed) == WAITING {
                lock::unlock(&self.lock, Scope::Private);
                return Err(Error::Busy);
            }
            waiter = listed.newer.get();
        }
        self.is_dying.set(true);
        while !self.oldest.get().is_null() {
            let left = self.left.load(Ordering::Relaxed);
            lock::unlock(&self.lock, Scope::Private);
            futex::wait(&self.left, left, Sleep::new(None, Scope::Private));
            lock::lock_internal(&self.lock);
        }
        lock::unlock(&self.lock, Scope::Private);
        Ok(())
    }
}

#[cfg(not(loom))]
const _: () = assert!(
    size_of::<Condvar>() == 48 && align_of::<Condvar>() == 8,
    "musl's pthread_cond_t"
);
