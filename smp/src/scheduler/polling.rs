//! How long an idle CPU looks for work before it halts.
//!
//! Waking a halted CPU costs an IPI and, in a virtual machine, two exits. Threads that hand work
//! to and fro wake each other within that time, so looking a little longer saves it; a
//! CPU whose sleeps are long should halt at once. Each CPU learns which it is.

#![forbid(unsafe_code)]

/// About what waking a halted CPU costs: looking longer than this cannot pay.
const MAX_NS: u64 = 80_000;
/// The shortest time worth looking.
const MIN_NS: u64 = 5_000;

/// What one CPU has learnt.
#[derive(Debug)]
pub(crate) struct Polling {
    limit_ns: u64,
}

impl Polling {
    pub(crate) fn new() -> Self {
        Self { limit_ns: 0 }
    }

    /// Returns how long to look.
    pub(crate) fn limit_ns(&self) -> u64 {
        self.limit_ns
    }

    /// Learns that work came after `idle_ns`.
    pub(crate) fn learn(&mut self, idle_ns: u64) {
        if idle_ns <= self.limit_ns {
            // It was found by looking.
            return;
        }
        self.limit_ns = if idle_ns <= MAX_NS {
            (self.limit_ns * 2).clamp(MIN_NS, MAX_NS)
        } else if self.limit_ns <= MIN_NS {
            0
        } else {
            self.limit_ns / 2
        };
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn short_sleeps_are_looked_through_and_long_ones_are_not() {
        let mut polling = Polling::new();
        (0..8).for_each(|_| polling.learn(50_000));
        assert!(polling.limit_ns() >= 50_000);
        let learnt_ns = polling.limit_ns();
        polling.learn(learnt_ns);
        assert_eq!(polling.limit_ns(), learnt_ns);
        (0..8).for_each(|_| polling.learn(1_000_000));
        assert_eq!(polling.limit_ns(), 0);
    }
}
