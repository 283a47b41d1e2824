//! What each CPU has done, counted by that CPU.

#![forbid(unsafe_code)]

// Not from `prim`: nothing is ordered by a count.
use core::sync::atomic::{AtomicU64, Ordering};

use crate::CpuId;

/// The counts of one CPU since it came up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuStats {
    /// Switches from one thread to another, idle threads included.
    pub context_switches: u64,
    /// Switches that the thread did not ask for.
    pub preemptions: u64,
    /// Threads taken from other CPUs' run queues.
    pub steals: u64,
    /// Threads handed to another CPU to even out turns.
    pub pushes: u64,
    /// Interrupts sent to other CPUs.
    pub ipis_sent: u64,
    /// Timer interrupts taken.
    pub timer_interrupts: u64,
    /// TLB shootdowns begun.
    pub shootdowns: u64,
    /// Time without a thread to run.
    pub idle_ns: u64,
    /// Threads that are ready and wait for the CPU.
    pub queued: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds to the count. Its CPU is the only writer, and an interrupt that comes between the
    /// load and the store loses at most its own addition: exactness is not worth a locked operation.
    pub(crate) fn add(&self, amount: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(amount),
            Ordering::Relaxed,
        );
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Returns the counts of `cpu`.
pub fn cpu_stats(cpu: CpuId) -> CpuStats {
    crate::scheduler::stats_of(cpu)
}
