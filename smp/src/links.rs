//! The lists a thread can be in, linked through its own fields: queueing allocates nothing.
//!
//! In a file of their own as the macro's code is unsafe: it relies on the link being a field of
//! the value, which it checks, and a value being in one list per link, which the lists check.

use intrusive_collections::{
    KeyAdapter, LinkedListAtomicLink, RBTreeAtomicLink, intrusive_adapter,
};

use crate::{Thread, ThreadRef};

intrusive_adapter!(pub(crate) InQueue = ThreadRef: Thread { run_link => LinkedListAtomicLink });
intrusive_adapter!(pub(crate) InBucket = ThreadRef: Thread { futex_link => LinkedListAtomicLink });
intrusive_adapter!(pub(crate) ByDeadline = ThreadRef: Thread { timer_link => RBTreeAtomicLink });
intrusive_adapter!(pub(crate) ByTid = ThreadRef: Thread { registry_link => RBTreeAtomicLink });

impl<'a> KeyAdapter<'a> for ByDeadline {
    /// The thread id makes it unique, so that a thread can be found by it.
    type Key = (u64, u32);

    fn get_key(&self, thread: &'a Thread) -> (u64, u32) {
        (thread.timer.deadline_ns(), thread.tid())
    }
}

impl<'a> KeyAdapter<'a> for ByTid {
    type Key = u32;

    fn get_key(&self, thread: &'a Thread) -> u32 {
        thread.tid()
    }
}
