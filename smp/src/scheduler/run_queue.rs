//! The threads that are ready to run on one CPU, in the order in which they will.
//!
//! Three queues, each served before the next: `realtime`, by priority, then age; `early`, threads
//! that woke with part of their turn left; `turns`, threads that wait for their next turn. A thread
//! earns a new turn only at the back of `turns`, so `early` cannot starve it: each of
//! those who pass it has less than a turn left.

#![forbid(unsafe_code)]

use intrusive_collections::LinkedList;

use crate::{CpuId, ThreadRef, links::InQueue};

/// Where a thread without real-time priority joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Before those who wait for their turn.
    Early,
    /// First of those who wait for their turn: it was interrupted in it.
    Front,
    /// Last of those who wait for their turn.
    Back,
}

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    Nobody,
    Turn,
    Early,
    /// With the highest priority that waits.
    Realtime(u8),
}

pub(crate) struct RunQueue {
    realtime: LinkedList<InQueue>,
    early: LinkedList<InQueue>,
    turns: LinkedList<InQueue>,
    len: usize,
}

impl RunQueue {
    pub(crate) const fn new() -> Self {
        Self {
            realtime: LinkedList::new(InQueue::NEW),
            early: LinkedList::new(InQueue::NEW),
            turns: LinkedList::new(InQueue::NEW),
            len: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds a thread; `place` does not matter if it has a real-time priority, except that
    /// `Front` puts it before its equals.
    pub(crate) fn push(&mut self, thread: ThreadRef, place: Place) {
        self.len += 1;
        let priority = thread.scheduling().priority();
        if priority > 0 {
            // From the back: most often it goes there. Few threads have a priority.
            let mut cursor = self.realtime.back_mut();
            while let Some(other) = cursor.get() {
                let other = other.scheduling().priority();
                if other > priority || other == priority && place != Place::Front {
                    break;
                }
                cursor.move_prev();
            }
            cursor.insert_after(thread);
            return;
        }
        match place {
            Place::Early => self.early.push_back(thread),
            Place::Front => self.turns.push_front(thread),
            Place::Back => self.turns.push_back(thread),
        }
    }

    /// Takes the thread that is next.
    pub(crate) fn pop(&mut self) -> Option<ThreadRef> {
        let next = self
            .realtime
            .pop_front()
            .or_else(|| self.early.pop_front())
            .or_else(|| self.turns.pop_front());
        self.len -= usize::from(next.is_some());
        next
    }

    /// Takes the first thread that may run on `cpu`, for that CPU, which has none.
    pub(crate) fn steal_for(&mut self, cpu: CpuId) -> Option<ThreadRef> {
        for list in [&mut self.realtime, &mut self.early, &mut self.turns] {
            let mut cursor = list.front_mut();
            while let Some(thread) = cursor.get() {
                if thread.affinity().contains(cpu) {
                    self.len -= 1;
                    return cursor.remove();
                }
                cursor.move_next();
            }
        }
        None
    }

    pub(crate) fn waiting(&self) -> Waiting {
        if let Some(first) = self.realtime.front().get() {
            Waiting::Realtime(first.scheduling().priority())
        } else if !self.early.is_empty() {
            Waiting::Early
        } else if !self.turns.is_empty() {
            Waiting::Turn
        } else {
            Waiting::Nobody
        }
    }
}
