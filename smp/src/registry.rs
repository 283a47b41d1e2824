//! All living threads, by thread id.

use alloc::vec::Vec;

use intrusive_collections::{Bound, RBTree};

use crate::{SpinLock, Thread, ThreadRef, links::ByTid, prim};

/// Linux's `pid_max` on 64-bit machines.
const TID_LIMIT: u32 = 1 << 22;
/// The lowest id that a thread gets which asks for none.
const FIRST_TID: u32 = 2;

struct Registry {
    threads: RBTree<ByTid>,
    count: usize,
    last_tid: u32,
}

prim::global! {
    static REGISTRY: SpinLock<Registry> = SpinLock::new(Registry {
        threads: RBTree::new(ByTid::NEW),
        count: 0,
        last_tid: FIRST_TID - 1,
    });
}

/// Enters the thread that `make` builds under the id `wanted`, or else one that no living thread has.
///
/// # Panics
///
/// If a living thread has the id `wanted`.
pub(crate) fn insert_with(wanted: Option<u32>, make: impl FnOnce(u32) -> ThreadRef) -> ThreadRef {
    let thread = make(wanted.unwrap_or_else(reserve));
    let mut registry = REGISTRY.lock();
    assert!(
        registry.threads.find(&thread.tid()).is_null(),
        "two threads with one id"
    );
    registry.threads.insert(thread.clone());
    registry.count += 1;
    thread
}

/// Returns a thread id that no living thread has.
///
/// It is reserved by being the last one given: nobody gets it again before 4 million others, so
/// the thread may be made, which allocates, without the lock.
fn reserve() -> u32 {
    let mut registry = REGISTRY.lock();
    loop {
        registry.last_tid = if registry.last_tid + 1 < TID_LIMIT {
            registry.last_tid + 1
        } else {
            FIRST_TID
        };
        if registry.threads.find(&registry.last_tid).is_null() {
            return registry.last_tid;
        }
    }
}

/// Takes a thread that ends out of the list.
pub(crate) fn remove(thread: &Thread) {
    let mut registry = REGISTRY.lock();
    let removed = registry.threads.find_mut(&thread.tid()).remove();
    registry.count -= usize::from(removed.is_some());
    drop(registry);
    // The reference is dropped without the lock: it may be the last.
    drop(removed);
}

/// Returns the living threads in order of thread id, idle threads not among them.
pub fn threads() -> Vec<ThreadRef> {
    let mut found = Vec::with_capacity(thread_count() + 8);
    let mut next = 0;
    // In pieces: the lock masks interrupts.
    loop {
        let registry = REGISTRY.lock();
        let mut cursor = registry.threads.lower_bound(Bound::Included(&next));
        for _ in 0..64 {
            let Some(thread) = cursor.clone_pointer() else {
                return found;
            };
            next = thread.tid() + 1;
            found.push(thread);
            cursor.move_next();
        }
    }
}

/// Calls `visit` for each living thread in order of thread id, idle threads not among them; for a report
/// after a panic, when nobody may wait. Returns `false` at once if the list is locked.
pub fn try_for_each_thread(visit: impl FnMut(&Thread)) -> bool {
    let Some(registry) = REGISTRY.try_lock() else {
        return false;
    };
    registry.threads.iter().for_each(visit);
    true
}

/// Returns the living thread with that id.
pub fn thread_by_tid(tid: u32) -> Option<ThreadRef> {
    REGISTRY.lock().threads.find(&tid).clone_pointer()
}

/// Returns the number of living threads, idle threads not among them.
pub fn thread_count() -> usize {
    REGISTRY.lock().count
}
