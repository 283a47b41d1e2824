//! The three interval timers of the process; see setitimer(2).
//!
//! ITIMER_REAL is an alarm. ITIMER_VIRTUAL and ITIMER_PROF go by the CPU time of the process
//! (system time is not told apart from user time, so the two agree): nothing happens at a known
//! point in time, so an alarm looks again after the least time that all CPUs together need to
//! spend what is left.

use alloc::sync::{Arc, Weak};

use linux_raw_sys::general as raw;
use smp::SpinLock;
use spin::LazyLock;

use super::alarm::{Alarm, Expire};
use super::clock::monotonic_ns;
use super::units::{Schedule, TimerSetting};
use crate::libc::errno::Errno;
use crate::libc::signal::{self, Signal, SignalInfo};
use crate::process::PROCESS;

/// CPU-time timers are at most this late: looking oftener would cost more than it tells.
const CPU_TIMER_GRAIN_NS: u64 = 1_000_000;

/// How soon the process can have spent `cpu_ns` more of CPU time: with all CPUs at work.
pub(super) fn time_to_spend(cpu_ns: u64) -> u64 {
    let cpus = smp::online_cpus().count().max(1) as u64;
    (cpu_ns / cpus).max(CPU_TIMER_GRAIN_NS)
}

/// One of the three.
struct IntervalTimer {
    signal: Signal,
    goes_by_cpu_time: bool,
    schedule: SpinLock<Schedule>,
    alarm: Alarm,
    this: Weak<Self>,
}

static TIMERS: LazyLock<[Arc<IntervalTimer>; 3]> = LazyLock::new(|| {
    [
        IntervalTimer::new(Signal::SIGALRM, false),
        IntervalTimer::new(Signal::SIGVTALRM, true),
        IntervalTimer::new(Signal::SIGPROF, true),
    ]
});

impl IntervalTimer {
    fn new(signal: Signal, goes_by_cpu_time: bool) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            signal,
            goes_by_cpu_time,
            schedule: SpinLock::new(Schedule::OFF),
            alarm: Alarm::new(),
            this: this.clone(),
        })
    }

    fn now_ns(&self) -> u64 {
        if self.goes_by_cpu_time {
            PROCESS.usage().cpu_ns
        } else {
            monotonic_ns()
        }
    }

    fn set_alarm(&self, now_ns: u64) {
        let next = || self.schedule.lock().next_ns();
        self.alarm.follow(&self.this, next, |next_ns| {
            if !self.goes_by_cpu_time {
                return next_ns;
            }
            let left_ns = time_to_spend(next_ns.saturating_sub(now_ns));
            monotonic_ns().saturating_add(left_ns)
        });
    }

    fn set(&self, setting: TimerSetting) -> TimerSetting {
        let now_ns = self.now_ns();
        let new = match setting.value_ns {
            0 => Schedule::OFF,
            value_ns => Schedule::starting_at(now_ns.saturating_add(value_ns), setting.interval_ns),
        };
        let old = core::mem::replace(&mut *self.schedule.lock(), new);
        self.set_alarm(now_ns);
        old.setting(now_ns)
    }
}

impl Expire for IntervalTimer {
    fn expired(&self) {
        let now_ns = self.now_ns();
        let count = self.schedule.lock().expire(now_ns);
        if count > 0 {
            // It fails only when no thread is left to interrupt.
            let _ = signal::to_process(self.signal, SignalInfo::from_kernel(self.signal));
        }
        self.set_alarm(now_ns);
    }
}

fn timer(which: u32) -> Result<&'static IntervalTimer, Errno> {
    match which {
        raw::ITIMER_REAL | raw::ITIMER_VIRTUAL | raw::ITIMER_PROF => Ok(&TIMERS[which as usize]),
        _ => Err(Errno::EINVAL),
    }
}

/// Sets a timer; returns what it was set to.
pub fn set(which: u32, setting: TimerSetting) -> Result<TimerSetting, Errno> {
    Ok(timer(which)?.set(setting))
}

/// Returns what is left.
pub fn get(which: u32) -> Result<TimerSetting, Errno> {
    let timer = timer(which)?;
    let now_ns = timer.now_ns();
    Ok(timer.schedule.lock().setting(now_ns))
}
