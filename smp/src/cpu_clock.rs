//! The time that a thread has spent on CPUs.

#![forbid(unsafe_code)]

// Not from `prim`: one writer at a time, and readers check by the sequence number.
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use crate::machine;

/// A clock that runs while its thread does: written by the CPU that runs the thread,
/// with interrupts off; read by all.
#[derive(Debug, Default)]
pub(crate) struct CpuClock {
    /// Odd while the other fields change.
    sequence: AtomicU32,
    past_ns: AtomicU64,
    /// When it was started; 0 while it stands.
    since_ns: AtomicU64,
}

impl CpuClock {
    /// Starts it.
    pub(crate) fn start(&self, now_ns: u64) {
        // The clock cannot have started at 0: that is before this machine's first thread.
        self.write(self.past_ns.load(Ordering::Relaxed), now_ns.max(1));
    }

    /// Stops it and returns how long it ran.
    pub(crate) fn stop(&self, now_ns: u64) -> u64 {
        let since_ns = self.since_ns.load(Ordering::Relaxed);
        if since_ns == 0 {
            return 0;
        }
        let ran_ns = now_ns.saturating_sub(since_ns);
        self.write(self.past_ns.load(Ordering::Relaxed) + ran_ns, 0);
        ran_ns
    }

    fn write(&self, past_ns: u64, since_ns: u64) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence
            .store(sequence.wrapping_add(1), Ordering::Relaxed);
        // Pairs with the fence in `read_ns`: who reads a new field reads the odd number after it.
        fence(Ordering::Release);
        self.past_ns.store(past_ns, Ordering::Relaxed);
        self.since_ns.store(since_ns, Ordering::Relaxed);
        // Pairs with the Acquire in `read_ns`.
        self.sequence
            .store(sequence.wrapping_add(2), Ordering::Release);
    }

    /// Returns the time until now.
    pub(crate) fn read_ns(&self) -> u64 {
        loop {
            let before = self.sequence.load(Ordering::Acquire);
            let past_ns = self.past_ns.load(Ordering::Relaxed);
            let since_ns = self.since_ns.load(Ordering::Relaxed);
            let now_ns = machine::now_ns();
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && before == self.sequence.load(Ordering::Relaxed) {
                let running_ns = if since_ns == 0 {
                    0
                } else {
                    now_ns.saturating_sub(since_ns)
                };
                return past_ns + running_ns;
            }
            machine::relax();
        }
    }
}
