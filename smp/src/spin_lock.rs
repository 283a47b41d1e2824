//! The spin lock: interrupts are off while it is held.

use core::{
    cell::UnsafeCell,
    fmt,
    ops::{Deref, DerefMut},
};

use crate::{
    IrqGuard, machine,
    prim::{AtomicBool, Ordering, const_unless_loom},
};

/// A lock for short sections. **Masks interrupts** (so also preemption) on the CPU that holds it,
/// hence interrupt handlers may take it too.
///
/// A test-and-test-and-set lock, not a ticket lock: under emulation a vCPU that is next in line
/// may not be running, and all behind it would wait for it.
pub struct SpinLock<T: ?Sized> {
    is_locked: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: `is_locked` lets one CPU at a time reach `value`, which is as good as sending it there.
unsafe impl<T: ?Sized + Send> Send for SpinLock<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for SpinLock<T> {}

/// More rounds than any section can take: about half a minute of spinning under emulation.
const SPIN_LIMIT: u64 = 1 << 30;

impl<T> SpinLock<T> {
    const_unless_loom! {
        /// Makes an unlocked lock.
        pub fn new(value: T) -> Self {
            Self { is_locked: AtomicBool::new(false), value: UnsafeCell::new(value) }
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
        if !self.try_acquire() {
            self.acquire_slowly();
        }
        SpinLockGuard {
            lock: self,
            _irq: irq,
        }
    }

    /// Takes the lock if it is free.
    #[inline]
    pub fn try_lock(&self) -> Option<SpinLockGuard<'_, T>> {
        let irq = IrqGuard::new();
        self.try_acquire().then(|| SpinLockGuard {
            lock: self,
            _irq: irq,
        })
    }

    /// Says whether somebody holds it; for reports.
    pub fn is_locked(&self) -> bool {
        self.is_locked.load(Ordering::Relaxed)
    }

    /// Unlocks for a report after a panic, when the holder will never run again.
    ///
    /// # Safety
    ///
    /// All other CPUs have stopped.
    pub unsafe fn force_unlock(&self) {
        self.is_locked.store(false, Ordering::Release);
    }

    fn try_acquire(&self) -> bool {
        // Acquire pairs with the Release in `SpinLockGuard::drop`.
        self.is_locked
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    #[cold]
    #[track_caller]
    fn acquire_slowly(&self) {
        for _ in 0..SPIN_LIMIT {
            machine::relax();
            if !self.is_locked.load(Ordering::Relaxed) && self.try_acquire() {
                return;
            }
        }
        panic!("spin lock is never released");
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
        // SAFETY: this guard is the only one, `try_acquire` saw to it.
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
        // Release pairs with the Acquire in `try_acquire`.
        self.lock.is_locked.store(false, Ordering::Release);
    }
}
