//! The spin lock: interrupts are off while it is held.

use core::{
    cell::UnsafeCell,
    fmt,
    ops::{Deref, DerefMut},
};

use crate::{IrqGuard, prim::const_unless_loom, raw_lock::RawLock};

/// A lock for short sections. **Masks interrupts** (so also preemption) on the CPU that holds it,
/// hence interrupt handlers may take it too.
pub struct SpinLock<T: ?Sized> {
    raw: RawLock,
    value: UnsafeCell<T>,
}

// SAFETY: `raw` lets one CPU at a time reach `value`, which is as good as sending it there.
unsafe impl<T: ?Sized + Send> Send for SpinLock<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for SpinLock<T> {}

impl<T> SpinLock<T> {
    const_unless_loom! {
        /// Makes an unlocked lock.
        pub fn new(value: T) -> Self {
            Self { raw: RawLock::new(), value: UnsafeCell::new(value) }
        }
    }

    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> SpinLock<T> {
    /// Waits for the lock.
    ///
    /// # Panics
    ///
    /// If it waits so long that the holder must be dead: a report beats a silent stop.
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> SpinLockGuard<'_, T> {
        let irq = IrqGuard::new();
        self.raw.acquire(|| ());
        SpinLockGuard {
            lock: self,
            _irq: irq,
        }
    }

    /// Takes the lock if it is free.
    #[inline]
    pub fn try_lock(&self) -> Option<SpinLockGuard<'_, T>> {
        let irq = IrqGuard::new();
        self.raw.try_acquire().then(|| SpinLockGuard {
            lock: self,
            _irq: irq,
        })
    }

    /// Says whether somebody holds it; for reports.
    pub fn is_locked(&self) -> bool {
        self.raw.is_locked()
    }

    /// Unlocks for a report after a panic, when the holder will never run again.
    ///
    /// # Safety
    ///
    /// All other CPUs have stopped.
    pub unsafe fn force_unlock(&self) {
        self.raw.release();
    }

    /// Returns the value without locking.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<T: Default> Default for SpinLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: ?Sized> fmt::Debug for SpinLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpinLock")
            .field("is_locked", &self.is_locked())
            .finish_non_exhaustive()
    }
}

/// The right to the value of a [`SpinLock`]; interrupts come back when it ends.
pub struct SpinLockGuard<'a, T: ?Sized> {
    lock: &'a SpinLock<T>,
    // Dropped after `drop` has unlocked: interrupts stay off while the lock is held.
    _irq: IrqGuard,
}

impl<T: ?Sized> Deref for SpinLockGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this guard is the only one, the raw lock saw to it.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for SpinLockGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard is the only one, and borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for SpinLockGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.raw.release();
    }
}
