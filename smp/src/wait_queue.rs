//! Wait queues: threads and callbacks that wait for something to change.

use alloc::{boxed::Box, collections::VecDeque, sync::Arc};

use crate::{
    SpinLock, ThreadRef, Wake, current, current_ref, park,
    prim::{AtomicBool, Ordering, const_unless_loom},
};

/// Why a wait ended without its condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitError {
    /// The deadline passed (`ETIMEDOUT`).
    TimedOut,
    /// A signal waits for the thread (`EINTR`).
    Interrupted,
}

enum Target {
    Thread(ThreadRef),
    Callback(Box<dyn Fn() + Send + Sync>),
}

/// Who is told by a [`WaitQueue`]: a thread (`poll`), or a function (`epoll`). It may be
/// registered with many queues at once.
pub struct Waiter {
    target: Target,
    is_notified: AtomicBool,
}

impl Waiter {
    /// Makes a waiter that unparks the current thread.
    pub fn for_current() -> Arc<Self> {
        Arc::new(Self {
            target: Target::Thread(current_ref()),
            is_notified: AtomicBool::new(false),
        })
    }

    /// Makes a waiter that calls `callback` at every wake-up, with interrupts off and the lock of
    /// the queue held: it may take spin locks, unpark threads and wake *other* queues.
    pub fn with_callback(callback: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            target: Target::Callback(Box::new(callback)),
            is_notified: AtomicBool::new(false),
        })
    }

    /// Sleeps until a queue has told this waiter something since the last
    /// [`Waiter::take_notified`]; then, and if it was told already, returns [`Wake::Unparked`].
    pub fn wait(&self, deadline_ns: Option<u64>, interruptible: bool) -> Wake {
        loop {
            if self.is_notified.load(Ordering::Acquire) {
                return Wake::Unparked;
            }
            match park(deadline_ns, interruptible) {
                Wake::Unparked => (),
                wake => return wake,
            }
        }
    }

    /// Says whether a queue has told this waiter something, and forgets it.
    pub fn take_notified(&self) -> bool {
        // Acquire pairs with the Release in `notify`.
        self.is_notified.swap(false, Ordering::Acquire)
    }

    fn notify(&self) {
        // Release pairs with the Acquire in `wait` and `take_notified`.
        self.is_notified.store(true, Ordering::Release);
        match &self.target {
            Target::Thread(thread) => thread.unpark(),
            Target::Callback(callback) => callback(),
        }
    }
}

struct Entry {
    waiter: Arc<Waiter>,
    /// Woken alone and removed by it; others are told of every wake-up and stay.
    is_exclusive: bool,
}

/// A queue of those who wait for one thing.
///
/// Wakers change the state first, then wake; waiters register first, then look. The lock of the
/// queue is taken by both in between, so one of them sees the other.
pub struct WaitQueue {
    entries: SpinLock<VecDeque<Entry>>,
}

impl Default for WaitQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl WaitQueue {
    const_unless_loom! {
        /// Makes an empty queue.
        pub fn new() -> Self {
            Self { entries: SpinLock::new(VecDeque::new()) }
        }
    }

    /// Sleeps until `condition` returns something. It is called in this thread, before and after
    /// each sleep, without a lock, and may itself sleep.
    pub fn wait<R>(
        &self,
        deadline_ns: Option<u64>,
        interruptible: bool,
        mut condition: impl FnMut() -> Option<R>,
    ) -> Result<R, WaitError> {
        if let Some(result) = condition() {
            return Ok(result);
        }
        let spare = current().spare_waiter.lock().take();
        let waiter = spare.unwrap_or_else(Waiter::for_current);
        let result = loop {
            waiter.take_notified();
            self.push(&waiter, true);
            if let Some(result) = condition() {
                self.leave(&waiter);
                break Ok(result);
            }
            let error = match waiter.wait(deadline_ns, interruptible) {
                // The waker has removed the entry.
                Wake::Unparked => match condition() {
                    Some(result) => break Ok(result),
                    None => continue,
                },
                Wake::TimedOut => WaitError::TimedOut,
                Wake::Interrupted => WaitError::Interrupted,
            };
            self.leave(&waiter);
            // One more look: the wake-up may have come together with the deadline.
            break condition().ok_or(error);
        };
        *current().spare_waiter.lock() = Some(waiter);
        result
    }

    /// Tells all non-exclusive waiters, and wakes the thread that has been in [`WaitQueue::wait`]
    /// longest. Returns whether there was one.
    pub fn wake_one(&self) -> bool {
        let mut entries = self.entries.lock();
        let mut first = None;
        for (index, entry) in entries.iter().enumerate() {
            if !entry.is_exclusive {
                entry.waiter.notify();
            } else if first.is_none() {
                first = Some(index);
            }
        }
        let Some(entry) = first.and_then(|index| entries.remove(index)) else {
            return false;
        };
        // Told under the lock: once it is free, the thread may time out, return, and drop the queue.
        entry.waiter.notify();
        true
    }

    /// Tells all waiters, and wakes all threads that are in [`WaitQueue::wait`]. Returns how many
    /// were told.
    pub fn wake_all(&self) -> usize {
        let mut entries = self.entries.lock();
        let told = entries.len();
        entries.retain(|entry| {
            entry.waiter.notify();
            !entry.is_exclusive
        });
        told
    }

    /// Says whether anybody waits; a waker that has just changed the state may skip waking if not.
    pub fn has_waiters(&self) -> bool {
        !self.entries.lock().is_empty()
    }

    /// Has `waiter` told of every wake-up until [`WaitQueue::unregister`].
    pub fn register(&self, waiter: &Arc<Waiter>) {
        self.push(waiter, false);
    }

    /// Ends one [`WaitQueue::register`] of `waiter`; afterwards this queue does not tell it any more.
    pub fn unregister(&self, waiter: &Arc<Waiter>) {
        self.remove(waiter);
    }

    fn push(&self, waiter: &Arc<Waiter>, is_exclusive: bool) {
        self.entries.lock().push_back(Entry {
            waiter: waiter.clone(),
            is_exclusive,
        });
    }

    fn remove(&self, waiter: &Arc<Waiter>) -> bool {
        let mut entries = self.entries.lock();
        let index = entries
            .iter()
            .position(|entry| Arc::ptr_eq(&entry.waiter, waiter));
        let removed = index.and_then(|index| entries.remove(index));
        drop(entries);
        removed.is_some()
    }

    /// Leaves the queue. If a waker has picked the leaver meanwhile, its wake-up is passed on:
    /// it told of a change that the leaver may not have used up, and nobody else was woken for it.
    fn leave(&self, waiter: &Arc<Waiter>) {
        if !self.remove(waiter) {
            self.wake_one();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn a_consumer_gets_every_item_of_its_producers() {
        const ITEMS: u32 = if cfg!(miri) { 20 } else { 1_000 };
        let queue = Arc::new((WaitQueue::new(), AtomicU32::new(0)));
        let producers: Vec<_> = (0..3)
            .map(|_| {
                let queue = queue.clone();
                std::thread::spawn(move || {
                    for _ in 0..ITEMS {
                        queue.1.fetch_add(1, Ordering::SeqCst);
                        queue.0.wake_one();
                    }
                })
            })
            .collect();
        let take = || {
            queue
                .1
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |items| {
                    items.checked_sub(1)
                })
                .ok()
        };
        for _ in 0..3 * ITEMS {
            queue.0.wait(None, false, take).expect("no deadline");
        }
        for producer in producers {
            producer.join().expect("the producer does not panic");
        }
        assert!(!queue.0.has_waiters());
    }

    #[test]
    fn a_wait_ends_at_its_deadline() {
        let deadline = crate::machine::now_ns() + 5_000_000;
        let result = WaitQueue::new().wait(Some(deadline), false, || None::<()>);
        assert_eq!(result, Err(WaitError::TimedOut));
        assert!(crate::machine::now_ns() >= deadline);
    }
}
