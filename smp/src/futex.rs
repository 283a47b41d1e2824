//! Futexes: threads that sleep until somebody wakes the address they wait at; see `futex(2)`.
//!
//! The value is checked and the thread enqueued under one bucket lock, which a waker takes too
//! after it has changed the value: either the check sees the new value, or the waker finds the thread.

use core::cmp;

use crossbeam_utils::CachePadded;
use intrusive_collections::LinkedList;

use crate::{
    PollingLock, PollingLockGuard, Thread, Wake, current,
    links::InBucket,
    park,
    prim::{self, AtomicBool, AtomicU32, AtomicUsize, Ordering},
};

/// Why a futex wait ended without a wake-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FutexError {
    /// The value had changed (`EAGAIN`).
    Again,
    /// The deadline passed (`ETIMEDOUT`).
    TimedOut,
    /// A signal waits for the thread (`EINTR`).
    Interrupted,
}

/// What a thread waits for. It is written by the thread before it is queued, and
/// afterwards only under the lock of the bucket that it is in.
#[derive(Debug)]
pub(crate) struct FutexNode {
    key: AtomicUsize,
    bitset: AtomicU32,
    is_queued: AtomicBool,
}

impl FutexNode {
    pub(crate) fn new() -> Self {
        Self {
            key: AtomicUsize::new(0),
            bitset: AtomicU32::new(0),
            is_queued: AtomicBool::new(false),
        }
    }
}

/// Threads that wait at addresses with one hash, oldest first.
///
/// A polling lock, not a spin lock: the check may take a page fault, whose handler
/// waits for the address space, whose holder may wait for this CPU to flush its TLB.
type Bucket = PollingLock<LinkedList<InBucket>>;

#[cfg(not(loom))]
const BUCKETS: usize = 256;
#[cfg(loom)]
const BUCKETS: usize = 2;

type Locked<'a> = PollingLockGuard<'a, LinkedList<InBucket>>;

struct Table([CachePadded<Bucket>; BUCKETS]);

impl Table {
    #[cfg(not(loom))]
    const fn new() -> Self {
        Self(
            [const { CachePadded::new(PollingLock::new(LinkedList::new(InBucket::NEW))) }; BUCKETS],
        )
    }

    #[cfg(loom)]
    fn new() -> Self {
        Self(core::array::from_fn(|_| {
            CachePadded::new(PollingLock::new(LinkedList::new(InBucket::NEW)))
        }))
    }

    fn bucket(&self, key: usize) -> &Bucket {
        &self.0[index_of(key)]
    }

    /// Locks the buckets of two addresses, in the order of the table; the second is none if
    /// they share one.
    fn lock_both(&self, from: usize, to: usize) -> (Locked<'_>, Option<Locked<'_>>) {
        let (source, target) = (self.bucket(from), self.bucket(to));
        match index_of(from).cmp(&index_of(to)) {
            cmp::Ordering::Equal => (source.lock(), None),
            cmp::Ordering::Less => {
                let source = source.lock();
                (source, Some(target.lock()))
            }
            cmp::Ordering::Greater => {
                let target = target.lock();
                (source.lock(), Some(target))
            }
        }
    }
}

prim::global! {
    static TABLE: Table = Table::new();
}

#[cfg(not(loom))]
fn index_of(key: usize) -> usize {
    // Futexes are 4-byte aligned; the multiplier is 2^64 divided by the golden ratio.
    ((key >> 2) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) as usize >> (usize::BITS - 8)
}
#[cfg(loom)]
fn index_of(key: usize) -> usize {
    key % BUCKETS
}

/// Sleeps at `key` until [`futex_wake`] picks this thread; see `FUTEX_WAIT_BITSET` in `futex(2)`.
///
/// `check` says whether the futex still has the value that the caller expects. It runs under the
/// bucket lock, with preemption off: it may fault in a page of user memory, but not sleep.
/// `deadline_ns` is of the monotonic clock.
///
/// # Errors
///
/// [`FutexError`] says why there was no wake-up.
pub fn futex_wait(
    key: usize,
    check: impl FnOnce() -> bool,
    deadline_ns: Option<u64>,
    bitset: u32,
    interruptible: bool,
) -> Result<(), FutexError> {
    let thread = current();
    let node = &thread.futex;
    let mut bucket = TABLE.bucket(key).lock();
    if !check() {
        return Err(FutexError::Again);
    }
    node.key.store(key, Ordering::Relaxed);
    node.bitset.store(bitset, Ordering::Relaxed);
    node.is_queued.store(true, Ordering::Relaxed);
    bucket.push_back(thread.to_ref());
    drop(bucket);
    loop {
        let wake = park(deadline_ns, interruptible);
        // Acquire pairs with the Release in `take_out`: what the waker wrote first is seen.
        if !node.is_queued.load(Ordering::Acquire) {
            return Ok(());
        }
        let error = match wake {
            Wake::Unparked => continue,
            Wake::TimedOut => FutexError::TimedOut,
            Wake::Interrupted => FutexError::Interrupted,
        };
        return if leave(&thread) { Err(error) } else { Ok(()) };
    }
}

/// Wakes up to `count` threads, oldest first, that wait at `key` with a bit of `bitset`; see
/// `FUTEX_WAKE_BITSET` in `futex(2)`. Returns how many it woke. Not for interrupt handlers, which
/// may have interrupted a holder of the bucket: they wake threads or wait queues.
pub fn futex_wake(key: usize, count: usize, bitset: u32) -> usize {
    let mut bucket = TABLE.bucket(key).lock();
    wake_in(&mut bucket, key, count, bitset)
}

/// Wakes up to `wake_count` threads at `from` and moves up to `requeue_count` others to `to`, if
/// `check`, run as in [`futex_wait`], says so; see `FUTEX_CMP_REQUEUE` in `futex(2)`.
/// Returns how many it woke or moved.
///
/// # Errors
///
/// [`FutexError::Again`] if `check` returned false.
pub fn futex_requeue(
    from: usize,
    to: usize,
    wake_count: usize,
    requeue_count: usize,
    check: impl FnOnce() -> bool,
) -> Result<usize, FutexError> {
    let (mut source, mut target) = TABLE.lock_both(from, to);
    if !check() {
        return Err(FutexError::Again);
    }
    let woken = wake_in(&mut source, from, wake_count, u32::MAX);
    let mut moved = 0;
    let mut cursor = source.front_mut();
    while moved < requeue_count {
        let Some(thread) = cursor.get() else { break };
        if thread.futex.key.load(Ordering::Relaxed) != from {
            cursor.move_next();
            continue;
        }
        // Under both locks: `leave`, which reads the key without, looks again under one.
        thread.futex.key.store(to, Ordering::Relaxed);
        moved += 1;
        match &mut target {
            Some(target) => target.push_back(cursor.remove().expect("the cursor is at a thread")),
            // Both addresses are in one bucket.
            None => cursor.move_next(),
        }
    }
    Ok(woken + moved)
}

fn wake_in(bucket: &mut LinkedList<InBucket>, key: usize, count: usize, bitset: u32) -> usize {
    let mut woken = 0;
    let mut cursor = bucket.front_mut();
    while woken < count {
        let Some(thread) = cursor.get() else { break };
        let node = &thread.futex;
        if node.key.load(Ordering::Relaxed) != key
            || node.bitset.load(Ordering::Relaxed) & bitset == 0
        {
            cursor.move_next();
            continue;
        }
        let thread = cursor.remove().expect("the cursor is at a thread");
        // Release pairs with the Acquire in `futex_wait`.
        thread.futex.is_queued.store(false, Ordering::Release);
        thread.unpark();
        woken += 1;
    }
    woken
}

/// Takes the thread out of its bucket; false if a waker did so before.
fn leave(thread: &Thread) -> bool {
    loop {
        let key = thread.futex.key.load(Ordering::Relaxed);
        let mut bucket = TABLE.bucket(key).lock();
        if !thread.futex.is_queued.load(Ordering::Acquire) {
            return false;
        }
        if thread.futex.key.load(Ordering::Relaxed) != key {
            // Moved to another bucket before we had the lock.
            continue;
        }
        thread.futex.is_queued.store(false, Ordering::Relaxed);
        // SAFETY: it is queued and its key is of this bucket, both under the lock: it is in this list.
        // The pointer is the `Arc`'s own, because it becomes an `Arc` again.
        let removed = unsafe { bucket.cursor_mut_from_ptr(thread.as_arc_ptr()) }.remove();
        drop(bucket);
        drop(removed);
        return true;
    }
}
