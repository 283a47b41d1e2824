//! Timers as files; see timerfd_create(2).

use alloc::sync::{Arc, Weak};

use linux_raw_sys::general as raw;
use smp::{SpinLock, WaitQueue};

use super::alarm::{Alarm, Expire};
use super::clock::{self, monotonic_ns};
use super::units::{ClockId, Schedule, TimerSetting};
use crate::fs::anonymous;
use crate::fs::file::{File, Metadata, OpenFlags, PollEvents};
use crate::fs::io::Sink;
use crate::libc::errno::{Errno, SysResult};

/// A timer that counts its expirations until somebody reads them.
pub struct TimerFd {
    clock: ClockId,
    state: SpinLock<State>,
    readable: WaitQueue,
    alarm: Alarm,
    metadata: Metadata,
    /// For `alarm`, which tells the timer and must not keep it alive.
    this: Weak<Self>,
}

struct State {
    schedule: Schedule,
    /// Expirations that nobody has read.
    ticks: u64,
    /// The deadline is a time of day: it moves when that is set.
    is_absolute: bool,
    /// Reads fail once after the time of day was set (`TFD_TIMER_CANCEL_ON_SET`).
    cancels_on_set: bool,
    was_cancelled: bool,
}

impl TimerFd {
    /// A timer that does not run. `EINVAL` for a clock that has no timers.
    pub fn new(clock: ClockId) -> Result<Arc<Self>, Errno> {
        if !matches!(clock, ClockId::Realtime | ClockId::Monotonic) {
            return Err(Errno::EINVAL);
        }
        let state = State {
            schedule: Schedule::OFF,
            ticks: 0,
            is_absolute: false,
            cancels_on_set: false,
            was_cancelled: false,
        };
        Ok(Arc::new_cyclic(|this| Self {
            clock,
            state: SpinLock::new(state),
            readable: WaitQueue::new(),
            alarm: Alarm::new(),
            metadata: anonymous::metadata(0o600),
            this: this.clone(),
        }))
    }

    /// Reads the clock that the schedule is on. A span of time does not change with the
    /// time of day, so a relative timer of CLOCK_REALTIME runs on the monotonic clock.
    fn now_ns(&self, state: &State) -> u64 {
        match self.clock {
            ClockId::Realtime if state.is_absolute => clock::realtime_ns(),
            _ => monotonic_ns(),
        }
    }

    /// Counts what has expired and sets the alarm for the next time somebody could care: while
    /// expirations are unread, more of them wake nobody.
    fn refresh(&self, state: &mut State) {
        let now_ns = self.now_ns(state);
        state.ticks = state.ticks.saturating_add(state.schedule.expire(now_ns));
    }

    fn set_alarm(&self) {
        let next = || {
            let state = self.state.lock();
            state.schedule.next_ns().filter(|_| state.ticks == 0)
        };
        self.alarm.follow(&self.this, next, |next_ns| {
            let now_ns = self.now_ns(&self.state.lock());
            monotonic_ns().saturating_add(next_ns.saturating_sub(now_ns))
        });
    }

    /// Sets the timer, and returns what it was set to; see timerfd_settime(2).
    pub fn set(&self, setting: TimerSetting, flags: u32) -> Result<TimerSetting, Errno> {
        if flags & !(raw::TFD_TIMER_ABSTIME | raw::TFD_TIMER_CANCEL_ON_SET) != 0 {
            return Err(Errno::EINVAL);
        }
        let old = {
            let mut state = self.state.lock();
            self.refresh(&mut state);
            let old = state.schedule.setting(self.now_ns(&state));
            state.is_absolute = flags & raw::TFD_TIMER_ABSTIME != 0;
            state.cancels_on_set = self.clock == ClockId::Realtime
                && flags == raw::TFD_TIMER_ABSTIME | raw::TFD_TIMER_CANCEL_ON_SET;
            state.was_cancelled = false;
            state.ticks = 0;
            state.schedule = match setting.value_ns {
                0 => Schedule::stopped(setting.interval_ns),
                value_ns if state.is_absolute => {
                    Schedule::starting_at(value_ns, setting.interval_ns)
                }
                value_ns => {
                    let first_ns = self.now_ns(&state).saturating_add(value_ns);
                    Schedule::starting_at(first_ns, setting.interval_ns)
                }
            };
            old
        };
        self.set_alarm();
        Ok(old)
    }

    /// Returns what is left; see timerfd_gettime(2).
    pub fn get(&self) -> TimerSetting {
        let mut state = self.state.lock();
        self.refresh(&mut state);
        state.schedule.setting(self.now_ns(&state))
    }

    /// Takes the count of expirations; `None` while there is none.
    fn take(&self) -> Option<Result<u64, Errno>> {
        let mut state = self.state.lock();
        if core::mem::take(&mut state.was_cancelled) {
            return Some(Err(Errno::ECANCELED));
        }
        self.refresh(&mut state);
        (state.ticks > 0).then(|| Ok(core::mem::take(&mut state.ticks)))
    }
}

impl File for TimerFd {
    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.metadata)
    }

    fn read(&self, to: &mut dyn Sink, flags: OpenFlags) -> SysResult {
        if to.remaining() < size_of::<u64>() {
            return Err(Errno::EINVAL);
        }
        let taken = if flags.is_nonblocking() {
            self.take().ok_or(Errno::EAGAIN)?
        } else {
            self.readable
                .wait(None, true, || self.take())
                .map_err(|_| Errno::RESTART)?
        };
        self.set_alarm();
        to.put(&taken?.to_ne_bytes())?;
        Ok(size_of::<u64>())
    }

    fn poll(&self) -> PollEvents {
        let mut state = self.state.lock();
        self.refresh(&mut state);
        if state.ticks > 0 || state.was_cancelled {
            PollEvents::READABLE
        } else {
            PollEvents::empty()
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.readable)
    }

    fn ignores_seek(&self) -> bool {
        true
    }

    fn label(&self) -> &'static str {
        "timerfd"
    }
}

impl Expire for TimerFd {
    fn expired(&self) {
        self.readable.wake_all();
        // Early by the clock of the schedule, if the time of day was set back meanwhile.
        if !self.poll().contains(PollEvents::IN) {
            self.set_alarm();
        }
    }

    fn clock_was_set(&self) {
        let concerns_us = {
            let mut state = self.state.lock();
            state.was_cancelled |= state.cancels_on_set;
            self.clock == ClockId::Realtime && state.is_absolute
        };
        if concerns_us {
            self.set_alarm();
            self.readable.wake_all();
        }
    }
}
