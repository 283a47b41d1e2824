//! The run queue against a list that is searched each time.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::run_queue::{Place, RunQueue, Waiting};
use crate::{
    CpuId, CpuMask, Policy, Scheduling, Thread, ThreadConfig, ThreadRef, fake::HostThread,
};

extern "C" fn never_called(_: usize) -> ! {
    unreachable!("the thread is only queued")
}

fn thread(tid: u32, priority: u8, affinity: u64) -> ThreadRef {
    let mut config = ThreadConfig::new("queued", never_called, 0, 0);
    config.affinity = CpuMask::from_bits(affinity);
    let policy = if priority == 0 {
        Policy::Other
    } else {
        Policy::Fifo(priority)
    };
    config.scheduling = Scheduling { policy, nice: 0 };
    Thread::new(config, tid, false, HostThread::Simulated)
}

#[derive(Clone, Debug)]
enum Step {
    Push {
        priority: u8,
        place: Place,
        affinity: u64,
    },
    Pop,
    Steal(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let place = prop_oneof![Just(Place::Early), Just(Place::Front), Just(Place::Back)];
    let step = prop_oneof![
        3 => (prop_oneof![3 => Just(0u8), 1 => 1..4u8], place, 1..4u64)
            .prop_map(|(priority, place, affinity)| Step::Push { priority, place, affinity }),
        2 => Just(Step::Pop),
        1 => (0..2u32).prop_map(Step::Steal),
    ];
    proptest::collection::vec(step, 0..80)
}

/// A thread that waits: class, then rank within the class, lower first; thread id; affinity.
type Entry = ((u8, i64), u32, u64);

#[derive(Default)]
struct Naive {
    entries: Vec<Entry>,
    pushed: i64,
}

impl Naive {
    fn push(&mut self, tid: u32, priority: u8, place: Place, affinity: u64) {
        self.pushed += 1;
        let class = match (priority, place) {
            (0, Place::Early) => 100,
            (0, _) => 101,
            (priority, _) => 99 - priority,
        };
        // What goes to the front ranks before all that came earlier.
        let goes_first = place == Place::Front;
        let rank = if goes_first {
            -self.pushed
        } else {
            self.pushed
        };
        self.entries.push(((class, rank), tid, affinity));
    }

    fn take(&mut self, may: impl Fn(u64) -> bool) -> Option<u32> {
        let first = self
            .entries
            .iter()
            .filter(|entry| may(entry.2))
            .min()
            .copied()?;
        self.entries.retain(|entry| *entry != first);
        Some(first.1)
    }
}

proptest! {
    #[test]
    fn serves_by_class_then_age(steps in steps()) {
        let (mut queue, mut naive) = (RunQueue::new(), Naive::default());
        for (tid, step) in (1..).zip(steps) {
            match step {
                Step::Push { priority, place, affinity } => {
                    queue.push(thread(tid, priority, affinity), place);
                    naive.push(tid, priority, place, affinity);
                }
                Step::Pop => {
                    let popped = queue.pop().map(|thread| thread.tid());
                    prop_assert_eq!(popped, naive.take(|_| true));
                }
                Step::Steal(cpu) => {
                    let stolen = queue.steal_for(CpuId(cpu)).map(|thread| thread.tid());
                    prop_assert_eq!(stolen, naive.take(|affinity| affinity & 1 << cpu != 0));
                }
            }
            prop_assert_eq!(queue.len(), naive.entries.len());
            let first_class = naive.entries.iter().map(|entry| entry.0.0).min();
            prop_assert_eq!(queue.waiting(), match first_class {
                None => Waiting::Nobody,
                Some(101) => Waiting::Turn,
                Some(100) => Waiting::Early,
                Some(class) => Waiting::Realtime(99 - class),
            });
        }
    }
}
