//! The limit of CPU time: SIGXCPU at the soft limit and every second after it, SIGKILL at the
//! hard one; see `RLIMIT_CPU` in setrlimit(2).

use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicU64, Ordering};

use spin::LazyLock;

use super::alarm::{Alarm, Expire};
use super::clock::monotonic_ns;
use super::interval::time_to_spend;
use super::units::NS_PER_SEC;
use crate::libc::signal::{self, Signal, SignalInfo};
use crate::process::PROCESS;

struct CpuLimit {
    /// In nanoseconds of CPU time; `u64::MAX`: none. Moves on by a second with each signal.
    soft_ns: AtomicU64,
    hard_ns: AtomicU64,
    alarm: Alarm,
    this: Weak<Self>,
}

static LIMIT: LazyLock<Arc<CpuLimit>> = LazyLock::new(|| {
    Arc::new_cyclic(|this| CpuLimit {
        soft_ns: AtomicU64::new(u64::MAX),
        hard_ns: AtomicU64::new(u64::MAX),
        alarm: Alarm::new(),
        this: this.clone(),
    })
});

/// Sets the limits, in seconds; `u64::MAX` is none.
pub fn set_cpu_limit(soft: u64, hard: u64) {
    LIMIT
        .soft_ns
        .store(soft.saturating_mul(NS_PER_SEC), Ordering::Relaxed);
    LIMIT
        .hard_ns
        .store(hard.saturating_mul(NS_PER_SEC), Ordering::Relaxed);
    LIMIT.expired();
}

impl Expire for CpuLimit {
    fn expired(&self) {
        let used_ns = PROCESS.usage().cpu_ns;
        let (soft_ns, hard_ns) = (
            self.soft_ns.load(Ordering::Relaxed),
            self.hard_ns.load(Ordering::Relaxed),
        );
        let signal = if used_ns >= hard_ns {
            Some(Signal::SIGKILL)
        } else if used_ns >= soft_ns {
            self.soft_ns
                .store(soft_ns.saturating_add(NS_PER_SEC), Ordering::Relaxed);
            Some(Signal::SIGXCPU)
        } else {
            None
        };
        if let Some(signal) = signal {
            // Fails only when no thread is left.
            let _ = signal::to_process(signal, SignalInfo::from_kernel(signal));
        }
        match self.soft_ns.load(Ordering::Relaxed).min(hard_ns) {
            u64::MAX => self.alarm.cancel(),
            next_ns => {
                let left_ns = time_to_spend(next_ns.saturating_sub(used_ns));
                self.alarm
                    .set(monotonic_ns().saturating_add(left_ns), self.this.clone());
            }
        }
    }
}
