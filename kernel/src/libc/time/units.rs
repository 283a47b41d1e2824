//! Points in time and spans as C passes them, and as the kernel counts: nanoseconds.

use crate::libc::errno::Errno;
use linux_raw_sys::general as raw;

/// Nanoseconds in a second.
pub const NS_PER_SEC: u64 = 1_000_000_000;

/// The latest point in time: 292 years. Later ones count as this one, as in Linux.
pub const NS_MAX: u64 = i64::MAX as u64;

/// How many of `times(2)`'s units a second has (`sysconf(_SC_CLK_TCK)`).
pub const TICKS_PER_SEC: u64 = 100;

/// `struct timespec`: two 64-bit words on every 64-bit Linux.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Timespec {
    /// Seconds.
    pub seconds: i64,
    /// Nanoseconds, below a second.
    pub nanoseconds: i64,
}

/// `struct timeval`: two 64-bit words as well.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Timeval {
    /// Seconds.
    pub seconds: i64,
    /// Microseconds, below a second.
    pub microseconds: i64,
}

/// A value and what it repeats with: `struct itimerspec` in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TimerSetting {
    /// Nanoseconds between expirations after the first; 0: it expires once.
    pub interval_ns: u64,
    /// Nanoseconds to the first expiration, or its point in time; 0: none.
    pub value_ns: u64,
}

impl Timespec {
    /// `ns` nanoseconds.
    pub const fn from_ns(ns: u64) -> Self {
        Self {
            seconds: (ns / NS_PER_SEC) as i64,
            nanoseconds: (ns % NS_PER_SEC) as i64,
        }
    }

    /// The nanoseconds, at most [`NS_MAX`]; `EINVAL` for what is no proper, non-negative time.
    pub fn to_ns(self) -> Result<u64, Errno> {
        let seconds = u64::try_from(self.seconds).map_err(|_| Errno::EINVAL)?;
        let nanoseconds = u64::try_from(self.nanoseconds).map_err(|_| Errno::EINVAL)?;
        if nanoseconds >= NS_PER_SEC {
            return Err(Errno::EINVAL);
        }
        Ok(seconds
            .saturating_mul(NS_PER_SEC)
            .saturating_add(nanoseconds)
            .min(NS_MAX))
    }

    /// As the words that C has in memory.
    pub fn from_words([seconds, nanoseconds]: [i64; 2]) -> Self {
        Self {
            seconds,
            nanoseconds,
        }
    }

    /// The words that C reads.
    pub fn to_words(self) -> [i64; 2] {
        [self.seconds, self.nanoseconds]
    }
}

impl Timeval {
    /// `ns` nanoseconds, cut to microseconds.
    pub const fn from_ns(ns: u64) -> Self {
        Self {
            seconds: (ns / NS_PER_SEC) as i64,
            microseconds: (ns % NS_PER_SEC / 1000) as i64,
        }
    }

    /// The nanoseconds, at most [`NS_MAX`]; `EINVAL` for what is no proper, non-negative time.
    pub fn to_ns(self) -> Result<u64, Errno> {
        if !(0..1_000_000).contains(&self.microseconds) {
            return Err(Errno::EINVAL);
        }
        Timespec {
            seconds: self.seconds,
            nanoseconds: self.microseconds * 1000,
        }
        .to_ns()
    }

    /// As the words that C has in memory.
    pub fn from_words([seconds, microseconds]: [i64; 2]) -> Self {
        Self {
            seconds,
            microseconds,
        }
    }

    /// The words that C reads.
    pub fn to_words(self) -> [i64; 2] {
        [self.seconds, self.microseconds]
    }
}

impl TimerSetting {
    /// From `struct itimerspec` in memory: interval first.
    pub fn from_timespecs([a, b, c, d]: [i64; 4]) -> Result<Self, Errno> {
        Ok(Self {
            interval_ns: Timespec::from_words([a, b]).to_ns()?,
            value_ns: Timespec::from_words([c, d]).to_ns()?,
        })
    }

    /// As `struct itimerspec` in memory.
    pub fn to_timespecs(self) -> [i64; 4] {
        let [a, b] = Timespec::from_ns(self.interval_ns).to_words();
        let [c, d] = Timespec::from_ns(self.value_ns).to_words();
        [a, b, c, d]
    }

    /// From `struct itimerval` in memory: interval first.
    pub fn from_timevals([a, b, c, d]: [i64; 4]) -> Result<Self, Errno> {
        Ok(Self {
            interval_ns: Timeval::from_words([a, b]).to_ns()?,
            value_ns: Timeval::from_words([c, d]).to_ns()?,
        })
    }

    /// As `struct itimerval` in memory. A rest below a microsecond counts as one: zero would
    /// say that the timer does not run.
    pub fn to_timevals(self) -> [i64; 4] {
        let up = |ns: u64| if ns == 0 { 0 } else { ns.max(1000) };
        let [a, b] = Timeval::from_ns(up(self.interval_ns)).to_words();
        let [c, d] = Timeval::from_ns(up(self.value_ns)).to_words();
        [a, b, c, d]
    }
}

/// The expirations of one timer, on whatever clock it goes by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Schedule {
    next_ns: Option<u64>,
    interval_ns: u64,
}

impl Schedule {
    /// A timer that does not run.
    pub const OFF: Self = Self {
        next_ns: None,
        interval_ns: 0,
    };

    /// A timer that first expires at `first_ns`, then every `interval_ns` unless that is 0.
    pub fn starting_at(first_ns: u64, interval_ns: u64) -> Self {
        Self {
            next_ns: Some(first_ns),
            interval_ns,
        }
    }

    /// A timer that does not run but remembers with what it would repeat, as a timerfd does.
    pub fn stopped(interval_ns: u64) -> Self {
        Self {
            next_ns: None,
            interval_ns,
        }
    }

    /// When it expires next.
    pub fn next_ns(&self) -> Option<u64> {
        self.next_ns
    }

    /// Counts the expirations up to `now_ns` and moves on to the next one.
    pub fn expire(&mut self, now_ns: u64) -> u64 {
        let Some(next_ns) = self.next_ns.filter(|&next_ns| next_ns <= now_ns) else {
            return 0;
        };
        if self.interval_ns == 0 {
            self.next_ns = None;
            return 1;
        }
        let count = (now_ns - next_ns) / self.interval_ns + 1;
        self.next_ns = Some(
            next_ns
                .saturating_add(count.saturating_mul(self.interval_ns))
                .min(NS_MAX),
        );
        count
    }

    /// What `timer_gettime` and the like report at `now_ns`: the time that is left, never 0
    /// while the timer runs.
    pub fn setting(&self, now_ns: u64) -> TimerSetting {
        let value_ns = self
            .next_ns
            .map_or(0, |next_ns| next_ns.saturating_sub(now_ns).max(1));
        TimerSetting {
            interval_ns: self.interval_ns,
            value_ns,
        }
    }
}

/// What a clock id names; see clock_gettime(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClockId {
    /// Wall-clock time since 1970, which can be set.
    Realtime,
    /// Time since boot. The machine does not sleep and nobody slews the clock, so
    /// CLOCK_MONOTONIC, _RAW, _COARSE and CLOCK_BOOTTIME are the same.
    Monotonic,
    /// CPU time of the process.
    ProcessCpu,
    /// CPU time of a thread; 0 is the calling one.
    ThreadCpu(u32),
}

/// The bits of a CPU clock id (pthread_getcpuclockid(3)) that tell whose time it is.
const CPU_CLOCK_PER_THREAD: i32 = 4;

impl ClockId {
    /// The clock that C means by `id`.
    pub fn from_raw(id: i32) -> Result<Self, Errno> {
        if id < 0 {
            // The low bits choose profiling, virtual or scheduler time: here all are CPU
            // time. The rest is the complement of a process or thread id.
            if id & 3 == 3 {
                return Err(Errno::EINVAL);
            }
            let owner = !(id >> 3) as u32;
            return match (id & CPU_CLOCK_PER_THREAD != 0, owner) {
                (true, tid) => Ok(Self::ThreadCpu(tid)),
                (false, pid) if pid == 0 || pid == crate::process::PID => Ok(Self::ProcessCpu),
                (false, _) => Err(Errno::EINVAL),
            };
        }
        match id as u32 {
            raw::CLOCK_REALTIME
            | raw::CLOCK_REALTIME_COARSE
            | raw::CLOCK_REALTIME_ALARM
            | raw::CLOCK_TAI => Ok(Self::Realtime),
            raw::CLOCK_MONOTONIC
            | raw::CLOCK_MONOTONIC_RAW
            | raw::CLOCK_MONOTONIC_COARSE
            | raw::CLOCK_BOOTTIME
            | raw::CLOCK_BOOTTIME_ALARM => Ok(Self::Monotonic),
            raw::CLOCK_PROCESS_CPUTIME_ID => Ok(Self::ProcessCpu),
            raw::CLOCK_THREAD_CPUTIME_ID => Ok(Self::ThreadCpu(0)),
            _ => Err(Errno::EINVAL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn improper_times_are_refused_and_far_ones_clamped() {
        let ns = |seconds, nanoseconds| {
            Timespec {
                seconds,
                nanoseconds,
            }
            .to_ns()
        };
        assert_eq!(ns(1, 5), Ok(1_000_000_005));
        assert_eq!(ns(-1, 0), Err(Errno::EINVAL));
        assert_eq!(ns(0, -1), Err(Errno::EINVAL));
        assert_eq!(ns(0, 1_000_000_000), Err(Errno::EINVAL));
        assert_eq!(ns(i64::MAX, 999_999_999), Ok(NS_MAX));
        let us = |seconds, microseconds| {
            Timeval {
                seconds,
                microseconds,
            }
            .to_ns()
        };
        assert_eq!(us(2, 7), Ok(2_000_007_000));
        assert_eq!(us(0, 1_000_000), Err(Errno::EINVAL));
        assert_eq!(us(0, i64::MIN), Err(Errno::EINVAL));
    }

    #[test]
    fn a_running_timer_never_reports_zero() {
        let schedule = Schedule::starting_at(100, 0);
        assert_eq!(schedule.setting(100).value_ns, 1);
        assert_eq!(schedule.setting(100).to_timevals(), [0, 0, 0, 1]);
        assert_eq!(Schedule::OFF.setting(5), TimerSetting::default());
    }

    #[test]
    fn clock_ids() {
        assert_eq!(ClockId::from_raw(0), Ok(ClockId::Realtime));
        assert_eq!(ClockId::from_raw(1), Ok(ClockId::Monotonic));
        assert_eq!(ClockId::from_raw(3), Ok(ClockId::ThreadCpu(0)));
        // As musl's pthread_getcpuclockid makes it for thread 5.
        assert_eq!(
            ClockId::from_raw((-5 - 1) * 8 + 6),
            Ok(ClockId::ThreadCpu(5))
        );
        // As musl's clock_getcpuclockid makes it for process 1.
        assert_eq!(ClockId::from_raw((-1 - 1) * 8 + 2), Ok(ClockId::ProcessCpu));
        assert_eq!(ClockId::from_raw(99), Err(Errno::EINVAL));
        assert_eq!(ClockId::from_raw(-1), Err(Errno::EINVAL));
    }

    proptest! {
        #[test]
        fn timespec_round_trips(ns in 0..=NS_MAX) {
            prop_assert_eq!(Timespec::from_ns(ns).to_ns(), Ok(ns));
        }

        #[test]
        fn expirations_are_counted_once(first in 1u64..1000, interval in 0u64..50, steps in prop::collection::vec(0u64..200, 1..50)) {
            let mut schedule = Schedule::starting_at(first, interval);
            let (mut now, mut total) = (0, 0);
            for step in steps {
                now += step;
                total += schedule.expire(now);
                let expected = match (now < first, interval) {
                    (true, _) => 0,
                    (false, 0) => 1,
                    (false, interval) => (now - first) / interval + 1,
                };
                prop_assert_eq!(total, expected);
                prop_assert!(schedule.next_ns().is_none_or(|next| next > now));
            }
        }
    }
}
