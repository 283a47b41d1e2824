//! Signals that were sent and not yet taken, of one thread or of the process.
//!
//! A standard signal is pending or not: a second instance adds nothing. Every instance of
//! a real-time signal counts, in the order they were sent; see signal(7).

use super::info::SignalInfo;
use super::set::{Signal, SignalSet};
use alloc::collections::VecDeque;

/// The most real-time signals that wait at once (`RLIMIT_SIGPENDING` says the same).
pub const MAX_QUEUED: usize = 1024;

/// Pending signals, oldest first.
pub struct Queue {
    members: SignalSet,
    infos: VecDeque<(Signal, SignalInfo)>,
}

/// A real-time signal found [`MAX_QUEUED`] others waiting.
#[derive(Debug, PartialEq, Eq)]
pub struct QueueFull;

impl Queue {
    /// Nothing pending.
    pub const fn new() -> Self {
        Self {
            members: SignalSet::EMPTY,
            infos: VecDeque::new(),
        }
    }

    /// The signals of which at least one instance is pending.
    pub fn members(&self) -> SignalSet {
        self.members
    }

    /// Adds an instance.
    pub fn push(&mut self, signal: Signal, info: SignalInfo) -> Result<(), QueueFull> {
        if !signal.is_realtime() && self.members.contains(signal) {
            return Ok(());
        }
        if signal.is_realtime() && self.infos.len() >= MAX_QUEUED {
            return Err(QueueFull);
        }
        self.members.insert(signal);
        self.infos.push_back((signal, info));
        Ok(())
    }

    /// Takes the first instance of the first signal that is in `wanted`.
    pub fn take(&mut self, wanted: SignalSet) -> Option<(Signal, SignalInfo)> {
        let signal = self.members.intersection(wanted).first()?;
        let at = self.infos.iter().position(|(each, _)| *each == signal)?;
        let taken = self.infos.remove(at)?;
        if !self.infos.iter().any(|(each, _)| *each == signal) {
            self.members.remove(signal);
        }
        Some(taken)
    }

    /// Forgets every instance of the signals in `set`.
    pub fn discard(&mut self, set: SignalSet) {
        self.members = self.members.without(set);
        self.infos.retain(|(signal, _)| !set.contains(*signal));
    }

    /// An instance that timer `id` sent is still waiting.
    pub fn holds_timer(&self, id: i32) -> bool {
        self.infos.iter().any(|(_, info)| info.timer() == Some(id))
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sent(signal: Signal, pid: i32) -> SignalInfo {
        SignalInfo::from_user(signal, pid)
    }

    fn rt(number: usize) -> Signal {
        Signal::new(number).unwrap()
    }

    #[test]
    fn a_standard_signal_is_pending_once_and_keeps_its_first_story() {
        let mut queue = Queue::new();
        queue
            .push(Signal::SIGUSR1, sent(Signal::SIGUSR1, 1))
            .unwrap();
        queue
            .push(Signal::SIGUSR1, sent(Signal::SIGUSR1, 2))
            .unwrap();
        let all = SignalSet::from_bits(!0);
        assert!(queue.take(all) == Some((Signal::SIGUSR1, sent(Signal::SIGUSR1, 1))));
        assert!(queue.take(all).is_none());
    }

    #[test]
    fn real_time_signals_queue_in_order_up_to_the_limit() {
        let mut queue = Queue::new();
        for pid in 0..MAX_QUEUED as i32 {
            queue.push(rt(40), sent(rt(40), pid)).unwrap();
        }
        assert_eq!(queue.push(rt(40), sent(rt(40), 0)), Err(QueueFull));
        assert_eq!(queue.push(Signal::SIGINT, sent(Signal::SIGINT, 0)), Ok(()));
        let wanted = SignalSet::of(&[rt(40)]);
        for pid in 0..MAX_QUEUED as i32 {
            assert!(queue.take(wanted) == Some((rt(40), sent(rt(40), pid))));
        }
        assert!(queue.take(wanted).is_none());
        assert_eq!(queue.members(), SignalSet::of(&[Signal::SIGINT]));
    }

    #[test]
    fn discard_forgets() {
        let mut queue = Queue::new();
        queue.push(rt(40), sent(rt(40), 1)).unwrap();
        queue.push(Signal::SIGINT, sent(Signal::SIGINT, 1)).unwrap();
        queue.discard(SignalSet::of(&[rt(40)]));
        assert_eq!(queue.members(), SignalSet::of(&[Signal::SIGINT]));
    }

    proptest! {
        #[test]
        fn members_say_what_can_be_taken(numbers in prop::collection::vec(1usize..=64, 0..200), wanted in any::<u64>()) {
            let mut queue = Queue::new();
            for &number in &numbers {
                queue.push(rt(number), sent(rt(number), 0)).unwrap();
            }
            let wanted = SignalSet::from_bits(wanted);
            let mut taken = 0;
            while let Some((signal, _)) = queue.take(wanted) {
                prop_assert!(wanted.contains(signal));
                taken += 1;
            }
            prop_assert!(queue.members().intersection(wanted).is_empty());
            let mut model: Vec<usize> = numbers.into_iter().filter(|&n| wanted.contains(rt(n))).collect();
            model.sort_unstable();
            let standard = { let mut s: Vec<_> = model.iter().filter(|&&n| n < 32).collect(); s.dedup(); s.len() };
            let realtime = model.iter().filter(|&&n| n >= 32).count();
            prop_assert_eq!(taken, standard + realtime);
        }
    }
}
