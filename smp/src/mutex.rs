//! The sleeping mutex: a futex of the kernel's own.

use core::{
    cell::UnsafeCell,
    fmt,
    ops::{Deref, DerefMut},
};

use crate::{
    futex_wait, futex_wake, machine,
    prim::{AtomicU32, Ordering, const_unless_loom},
};

const UNLOCKED: u32 = 0;
const LOCKED: u32 = 1;
/// Somebody may sleep in `lock`, so `unlock` wakes.
const CONTENDED: u32 = 2;

/// Rounds of spinning before sleeping: a section is often over by then, but the holder's vCPU
/// may not be running, so few. A model would never sleep if it spun first, so it does not.
const SPINS: u32 = if cfg!(loom) { 0 } else { 50 };

/// A lock for sections that may sleep. Masks nothing; only threads may take it, never an interrupt
/// handler, an idle thread or the holder of a spin or polling lock.
pub struct Mutex<T: ?Sized> {
    state: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: `state` lets one thread at a time reach `value`, which is as good as sending it there.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    const_unless_loom! {
        /// Makes an unlocked mutex.
        pub fn new(value: T) -> Self {
            Self { state: AtomicU32::new(UNLOCKED), value: UnsafeCell::new(value) }
        }
    }

    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock; signals do not end the wait.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        if !self.try_acquire() {
            self.acquire_slowly();
        }
        MutexGuard { mutex: self }
    }

    /// Takes the lock if it is free.
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.try_acquire().then_some(MutexGuard { mutex: self })
    }

    /// Returns the value without locking.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    fn try_acquire(&self) -> bool {
        // Acquire pairs with the Release in `release`.
        self.state
            .compare_exchange(UNLOCKED, LOCKED, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// The address of the state is the futex: no user address is equal to it.
    fn key(&self) -> usize {
        (&raw const self.state).addr()
    }

    #[cold]
    fn acquire_slowly(&self) {
        let mut spins = SPINS;
        while spins > 0 {
            spins -= 1;
            if self.state.load(Ordering::Relaxed) == UNLOCKED && self.try_acquire() {
                return;
            }
            machine::relax();
        }
        // Who comes from here leaves the lock contended, as it cannot know who else sleeps.
        while self.state.swap(CONTENDED, Ordering::Acquire) != UNLOCKED {
            let still_contended = || self.state.load(Ordering::Relaxed) == CONTENDED;
            // Woken or not, the state decides.
            let _ = futex_wait(self.key(), still_contended, None, u32::MAX, false);
        }
    }

    fn release(&self) {
        let key = self.key();
        // Release pairs with the Acquire of the next holder. The mutex may be gone after this, so
        // only its address is used.
        if self.state.swap(UNLOCKED, Ordering::Release) == CONTENDED {
            futex_wake(key, 1, u32::MAX);
        }
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: ?Sized> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_locked = self.state.load(Ordering::Relaxed) != UNLOCKED;
        f.debug_struct("Mutex")
            .field("is_locked", &is_locked)
            .finish_non_exhaustive()
    }
}

/// The right to the value of a [`Mutex`].
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
}

// SAFETY: a shared guard gives out `&T` and no more.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this guard is the only one, `try_acquire` or `acquire_slowly` saw to it.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard is the only one, and borrowed mutably.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.release();
    }
}
