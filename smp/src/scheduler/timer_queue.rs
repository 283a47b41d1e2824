//! The threads that sleep until a deadline, earliest first.

#![forbid(unsafe_code)]

// Not from `prim`: only the sleeping thread writes, before it is in a queue.
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use intrusive_collections::RBTree;

use crate::{CpuId, Thread, ThreadRef, links::ByDeadline};

/// When a thread's sleep ends at the latest, and which CPU's timer queue it is in.
#[derive(Debug)]
pub(crate) struct TimerNode {
    deadline_ns: AtomicU64,
    cpu: AtomicU32,
}

impl TimerNode {
    pub(crate) fn new() -> Self {
        Self {
            deadline_ns: AtomicU64::new(0),
            cpu: AtomicU32::new(0),
        }
    }

    /// Prepares the node of a thread that is in no queue.
    pub(crate) fn set(&self, deadline_ns: u64, cpu: CpuId) {
        self.deadline_ns.store(deadline_ns, Ordering::Relaxed);
        self.cpu.store(cpu.0, Ordering::Relaxed);
    }

    pub(crate) fn deadline_ns(&self) -> u64 {
        self.deadline_ns.load(Ordering::Relaxed)
    }

    pub(crate) fn cpu(&self) -> CpuId {
        CpuId(self.cpu.load(Ordering::Relaxed))
    }
}

pub(crate) struct TimerQueue(RBTree<ByDeadline>);

impl TimerQueue {
    pub(crate) const fn new() -> Self {
        Self(RBTree::new(ByDeadline::NEW))
    }

    /// Adds a thread whose node is set.
    pub(crate) fn insert(&mut self, thread: ThreadRef) {
        self.0.insert(thread);
    }

    /// Takes `thread` out; none if it has expired.
    pub(crate) fn remove(&mut self, thread: &Thread) -> Option<ThreadRef> {
        self.0
            .find_mut(&(thread.timer.deadline_ns(), thread.tid()))
            .remove()
    }

    /// Takes out the first thread whose deadline is not after `now_ns`.
    pub(crate) fn pop_expired(&mut self, now_ns: u64) -> Option<ThreadRef> {
        let mut first = self.0.front_mut();
        if first.get()?.timer.deadline_ns() > now_ns {
            return None;
        }
        first.remove()
    }

    /// Returns the earliest deadline, `u64::MAX` if there is none.
    pub(crate) fn first_ns(&self) -> u64 {
        self.0
            .front()
            .get()
            .map_or(u64::MAX, |thread| thread.timer.deadline_ns())
    }
}
