//! Counting semaphores: the value and the number of waiters in one word.
//!
//! `post` is a single exchange and, if it found waiters, a wake-up by address: a waiter
//! whose semaphore lives on its own stack, as CPython's do, may leave at once.

use core::ptr;

use crate::{
    error::Error,
    futex::{self, Scope, Sleep, Wake},
    prim::{AtomicU64, Ordering},
    time::Deadline,
};

/// The largest value: `SEM_VALUE_MAX`.
pub const MAX: u32 = i32::MAX.cast_unsigned();

const WAITER: u64 = 1 << 32;

/// The state of a semaphore: value in the low half, threads inside `wait` in the high one.
#[repr(transparent)]
pub struct Semaphore(AtomicU64);

fn value_in(state: u64) -> u32 {
    (state & (WAITER - 1)) as u32
}

impl Semaphore {
    /// Returns a semaphore of this value, at most [`MAX`].
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new(value: u32) -> Self {
        Self(AtomicU64::new(value as u64))
    }

    /// Returns a semaphore of this value, at most [`MAX`].
    #[cfg(loom)]
    #[must_use]
    pub fn new(value: u32) -> Self {
        Self(AtomicU64::new(value as u64))
    }

    /// Returns the value, which may be another one already.
    #[must_use]
    pub fn value(&self) -> u32 {
        value_in(self.0.load(Ordering::Relaxed))
    }

    /// Takes one, if there is one.
    ///
    /// # Errors
    ///
    /// `Busy`.
    pub fn try_wait(&self) -> Result<(), Error> {
        self.take(0)
    }

    fn take(&self, waiters: u64) -> Result<(), Error> {
        let mut state = self.0.load(Ordering::Relaxed);
        while value_in(state) > 0 {
            // Acquire: sees what the thread wrote whose Release in `post` is taken here.
            match self.0.compare_exchange_weak(
                state,
                state - 1 - waiters,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(current) => state = current,
            }
        }
        Err(Error::Busy)
    }

    /// Takes one, asleep until there is one; leaves like `leave` when it fails.
    ///
    /// # Errors
    ///
    /// `TimedOut`, `Interrupted`, or `Invalid` (the deadline).
    pub fn wait(&self, deadline: Option<&Deadline>, scope: Scope) -> Result<(), Error> {
        if self.try_wait().is_ok() {
            return Ok(());
        }
        self.enter();
        self.sleep(deadline, scope).inspect_err(|_| self.leave())
    }

    /// Books the caller as a waiter.
    pub fn enter(&self) {
        // Relaxed: whether `post` sees it is settled by the order of changes to one word.
        self.0.fetch_add(WAITER, Ordering::Relaxed);
    }

    /// Takes back `enter`, for a waiter that got nothing.
    pub fn leave(&self) {
        self.0.fetch_sub(WAITER, Ordering::Relaxed);
    }

    /// Takes back `enter` for a waiter that is cancelled. A wake-up may have reached it
    /// that was meant for whoever takes the value, so it is passed on.
    pub fn abandon(&self, scope: Scope) {
        self.leave();
        if self.value() > 0 {
            futex::wake_low(ptr::from_ref(&self.0), 1, scope);
        }
    }

    /// Takes one for a booked waiter, whose booking ends if it succeeds.
    ///
    /// # Errors
    ///
    /// As `wait`.
    pub fn sleep(&self, deadline: Option<&Deadline>, scope: Scope) -> Result<(), Error> {
        while self.take(WAITER).is_err() {
            match futex::wait_low(
                &self.0,
                0,
                Sleep {
                    is_point: true,
                    ..Sleep::new(deadline, scope)
                },
            ) {
                Wake::Look => {}
                Wake::TimedOut => return Err(Error::TimedOut),
                Wake::Interrupted => return Err(Error::Interrupted),
                Wake::Invalid => return Err(Error::Invalid),
            }
        }
        Ok(())
    }

    /// Adds one and wakes a waiter.
    ///
    /// # Errors
    ///
    /// `Overflow` at [`MAX`].
    pub fn post(&self, scope: Scope) -> Result<(), Error> {
        let address = ptr::from_ref(&self.0);
        let mut state = self.0.load(Ordering::Relaxed);
        loop {
            if value_in(state) == MAX {
                return Err(Error::Overflow);
            }
            // Release: who takes this one sees what the caller did before.
            match self.0.compare_exchange_weak(
                state,
                state + 1,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(current) => state = current,
            }
        }
        if state >= WAITER {
            futex::wake_low(address, 1, scope);
        }
        Ok(())
    }
}
