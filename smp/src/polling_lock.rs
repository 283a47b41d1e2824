//! The polling lock: preemption is off while it is held, and no TLB shootdown waits for who spins for it.

use core::{
    cell::UnsafeCell,
    fmt,
    ops::{Deref, DerefMut},
};

use crate::{PreemptGuard, prim::const_unless_loom, raw_lock::RawLock};

/// A lock under which a TLB shootdown may be waited for. **Masks preemption**, not interrupts.
///
/// A CPU that spins for it is left out of shootdowns as an idle one is: the holder need not wait for it. Those
/// that idle CPUs take part in it answers itself, as the page-fault handler takes the lock with
/// interrupts off. Other interrupt handlers must not take it, as they may have interrupted the holder.
pub struct PollingLock<T: ?Sized> {
    raw: RawLock,
    value: UnsafeCell<T>,
}

// SAFETY: `raw` lets one thread at a time reach `value`, which is as good as sending it there.
unsafe impl<T: ?Sized + Send> Send for PollingLock<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for PollingLock<T> {}

impl<T> PollingLock<T> {
    const_unless_loom! {
        /// Makes an unlocked lock.
        pub fn new(value: T) -> Self {
            Self { raw: RawLock::new(), value: UnsafeCell::new(value) }
        }
    }
}

impl<T: ?Sized> PollingLock<T> {
    /// Waits for the lock.
    ///
    /// # Panics
    ///
    /// If it waits so long that the holder must be dead.
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> PollingLockGuard<'_, T> {
        let preempt = PreemptGuard::new();
        self.raw.acquire_lazily();
        PollingLockGuard {
            lock: self,
            _preempt: preempt,
        }
    }

    /// Takes the lock if it is free.
    #[inline]
    pub fn try_lock(&self) -> Option<PollingLockGuard<'_, T>> {
        let preempt = PreemptGuard::new();
        self.raw.try_acquire().then(|| PollingLockGuard {
            lock: self,
            _preempt: preempt,
        })
    }

    /// Says whether somebody holds it; for reports.
    pub fn is_locked(&self) -> bool {
        self.raw.is_locked()
    }
}

impl<T: Default> Default for PollingLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: ?Sized> fmt::Debug for PollingLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollingLock")
            .field("is_locked", &self.is_locked())
            .finish_non_exhaustive()
    }
}

/// The right to the value of a [`PollingLock`].
pub struct PollingLockGuard<'a, T: ?Sized> {
    lock: &'a PollingLock<T>,
    // Dropped after `drop` has unlocked: a preempted holder would make all others spin.
    _preempt: PreemptGuard,
}

impl<T: ?Sized> Deref for PollingLockGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this guard is the only one, the raw lock saw to it.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for PollingLockGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard is the only one, and borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for PollingLockGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.raw.release();
    }
}
