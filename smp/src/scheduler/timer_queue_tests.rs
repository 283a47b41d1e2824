//! The timer queue against a list that is searched each time.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::timer_queue::TimerQueue;
use crate::{CpuId, Thread, ThreadConfig, ThreadRef, fake::HostThread};

extern "C" fn never_called(_: usize) -> ! {
    unreachable!("the thread is only queued")
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u64),
    /// Of the thread with that index, queued or not.
    Remove(usize),
    ExpireUntil(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..50u64).prop_map(Step::Insert),
        1 => (0..60usize).prop_map(Step::Remove),
        1 => (0..50u64).prop_map(Step::ExpireUntil),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn expires_in_order_what_was_not_removed(steps in steps()) {
        let mut queue = TimerQueue::new();
        let mut threads: Vec<ThreadRef> = Vec::new();
        // Deadline and thread id of those that are queued.
        let mut naive: Vec<(u64, u32)> = Vec::new();
        for step in steps {
            match step {
                Step::Insert(deadline_ns) => {
                    let config = ThreadConfig::new("sleeper", never_called, 0, 0);
                    let tid = threads.len() as u32 + 1;
                    let thread = Thread::new(config, tid, false, HostThread::Simulated);
                    thread.timer.set(deadline_ns, CpuId(0));
                    queue.insert(thread.clone());
                    threads.push(thread);
                    naive.push((deadline_ns, tid));
                }
                Step::Remove(index) => {
                    let Some(thread) = threads.get(index) else { continue };
                    let removed = queue.remove(thread).map(|thread| thread.tid());
                    let position = naive.iter().position(|entry| entry.1 == thread.tid());
                    let expected = position.map(|position| naive.remove(position).1);
                    prop_assert_eq!(removed, expected);
                }
                Step::ExpireUntil(now_ns) => {
                    while let Some(thread) = queue.pop_expired(now_ns) {
                        let first = *naive.iter().min().expect("a thread expired");
                        prop_assert_eq!((thread.timer.deadline_ns(), thread.tid()), first);
                        naive.retain(|entry| *entry != first);
                    }
                    prop_assert!(naive.iter().all(|entry| entry.0 > now_ns));
                }
            }
            let first_ns = naive.iter().map(|entry| entry.0).min();
            prop_assert_eq!(queue.first_ns(), first_ns.unwrap_or(u64::MAX));
        }
    }
}
