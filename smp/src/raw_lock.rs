//! The lock word under `SpinLock` and `PollingLock`.

#[cfg(not(loom))]
pub(crate) use self::RawSpinLock as RawLock;
#[cfg(loom)]
pub(crate) use self::blocking::RawMutex as RawLock;

use crate::{
    machine,
    prim::{AtomicBool, Ordering, const_unless_loom},
    tlb,
};

/// More rounds than any section can take: about half a minute of spinning under emulation.
const SPIN_LIMIT: u64 = 1 << 30;

/// A test-and-test-and-set lock, not a ticket lock: under emulation a vCPU that is next in line
/// may not be running, and all behind it would wait for it.
pub(crate) struct RawSpinLock(AtomicBool);

impl RawSpinLock {
    const_unless_loom! {
        pub(crate) fn new() -> Self {
            Self(AtomicBool::new(false))
        }
    }

    #[inline]
    pub(crate) fn try_acquire(&self) -> bool {
        // Acquire pairs with the Release in `release`.
        self.0
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Spins, and calls `meanwhile` each time round.
    #[inline]
    #[track_caller]
    pub(crate) fn acquire(&self, meanwhile: impl Fn()) {
        if !self.try_acquire() {
            self.acquire_slowly(meanwhile);
        }
    }

    /// As `acquire`, for who uses no user memory until it has the lock: TLB shootdowns do not wait for it.
    /// Preemption is off.
    #[inline]
    #[track_caller]
    pub(crate) fn acquire_lazily(&self) {
        if !self.try_acquire() {
            tlb::while_lazy(|| self.acquire_slowly(tlb::service_shootdown));
        }
    }

    #[cold]
    #[track_caller]
    fn acquire_slowly(&self, meanwhile: impl Fn()) {
        for _ in 0..SPIN_LIMIT {
            meanwhile();
            machine::relax();
            if !self.is_locked() && self.try_acquire() {
                return;
            }
        }
        panic!("a lock is never released");
    }

    #[inline]
    pub(crate) fn release(&self) {
        // Release pairs with the Acquire in `try_acquire`.
        self.0.store(false, Ordering::Release);
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The stand-in for models of what is built on locks: loom tries every number of rounds of a spin
/// loop, and may let two spinners starve the holder. `RawSpinLock` has a model of its own.
#[cfg(loom)]
mod blocking {
    use core::cell::UnsafeCell;

    use loom::sync::{Mutex, MutexGuard};

    pub(crate) struct RawMutex {
        // Before the mutex, which it borrows.
        guard: UnsafeCell<Option<MutexGuard<'static, ()>>>,
        mutex: Mutex<()>,
    }

    // SAFETY: only the holder touches `guard`.
    unsafe impl Sync for RawMutex {}
    // SAFETY: as above.
    unsafe impl Send for RawMutex {}

    impl RawMutex {
        pub(crate) fn new() -> Self {
            Self {
                guard: UnsafeCell::new(None),
                mutex: Mutex::new(()),
            }
        }

        fn keep(&self, guard: MutexGuard<'_, ()>) {
            // SAFETY: the guard is dropped in `release`, before the mutex.
            let guard = unsafe {
                core::mem::transmute::<MutexGuard<'_, ()>, MutexGuard<'static, ()>>(guard)
            };
            // SAFETY: the caller is the holder.
            unsafe { *self.guard.get() = Some(guard) };
        }

        pub(crate) fn try_acquire(&self) -> bool {
            self.mutex.try_lock().map(|guard| self.keep(guard)).is_ok()
        }

        pub(crate) fn acquire(&self, _: impl Fn()) {
            self.keep(self.mutex.lock().expect("a model does not panic and go on"));
        }

        pub(crate) fn acquire_lazily(&self) {
            self.acquire(|| ());
        }

        pub(crate) fn release(&self) {
            // SAFETY: the caller is the holder.
            drop(unsafe { (*self.guard.get()).take() });
        }

        pub(crate) fn is_locked(&self) -> bool {
            false
        }
    }
}
