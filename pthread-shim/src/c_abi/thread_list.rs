//! The ring of all threads and its lock, which musl's fork and broadcast code use too.

use core::ptr;

use super::{musl::libc, thread, thread::Thread};
use crate::{
    futex::{self, Scope, Sleep},
    prim::{AtomicU32, Cell, Ordering},
};

unsafe extern "C" {
    /// musl's lock word, which names the owner by thread id; the kernel clears and wakes it
    /// when the first thread ends while holding it.
    #[link_name = "__thread_list_lock"]
    safe static OWNER: AtomicU32;
}

/// State that the holder of the list lock may touch.
struct Held<T>(T);

// SAFETY: touched by the holder of the lock only.
unsafe impl<T> Sync for Held<T> {}

/// How many times more than once the owner has taken the lock.
static DEPTH: Held<Cell<u32>> = Held(Cell::new(0));
static WAITERS: AtomicU32 = AtomicU32::new(0);

/// Takes the list lock; its owner may take it again.
#[unsafe(no_mangle)]
pub extern "C" fn __tl_lock() {
    let tid = thread::current().tid();
    loop {
        // Acquire: the list is as the last holder left it.
        match OWNER.compare_exchange(0, tid, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => return,
            Err(owner) if owner == tid => {
                DEPTH.0.set(DEPTH.0.get() + 1);
                return;
            }
            Err(owner) => {
                // SeqCst, with the pair in `__tl_unlock`: either it sees this waiter or
                // the futex sees that the lock is free.
                WAITERS.fetch_add(1, Ordering::SeqCst);
                futex::wait(&OWNER, owner, Sleep::new(None, Scope::Shared));
                WAITERS.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }
}

/// Gives the list lock back.
#[unsafe(no_mangle)]
pub extern "C" fn __tl_unlock() {
    if DEPTH.0.get() > 0 {
        DEPTH.0.set(DEPTH.0.get() - 1);
        return;
    }
    OWNER.store(0, Ordering::SeqCst);
    if WAITERS.load(Ordering::SeqCst) != 0 {
        futex::wake(&raw const OWNER, 1, Scope::Shared);
    }
}

/// The list, locked.
pub struct ThreadList(());

impl Drop for ThreadList {
    fn drop(&mut self) {
        __tl_unlock();
    }
}

/// Locks the list.
pub fn lock() -> ThreadList {
    __tl_lock();
    ThreadList(())
}

impl ThreadList {
    /// Adds `new` to the ring.
    pub fn insert(&self, new: &Thread) {
        let after = thread::current();
        let next = after.next.get();
        new.next.set(next);
        new.previous.set(after);
        // SAFETY: threads in the ring are alive while the list is locked: each takes
        // itself out before it ends.
        unsafe { &*next }.previous.set(new);
        after.next.set(new);
        libc().threads_minus_1.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes `thread` out of the ring.
    pub fn remove(&self, thread: &Thread) {
        let (previous, next) = (thread.previous.get(), thread.next.get());
        // SAFETY: as in `insert`.
        unsafe {
            (*previous).next.set(next);
            (*next).previous.set(previous);
        }
        thread.next.set(thread);
        thread.previous.set(thread);
        libc().threads_minus_1.fetch_sub(1, Ordering::Relaxed);
    }

    /// Tells whether `thread` is the only one.
    pub fn is_alone(&self, thread: &Thread) -> bool {
        ptr::eq(thread.next.get(), thread)
    }

    /// Runs `visit` on every thread but the calling one.
    pub fn for_each_other(&self, mut visit: impl FnMut(&Thread)) {
        let me = thread::current();
        let mut other = me.next.get();
        while !ptr::eq(other, me) {
            // SAFETY: as in `insert`.
            let thread = unsafe { &*other };
            visit(thread);
            other = thread.next.get();
        }
    }
}
