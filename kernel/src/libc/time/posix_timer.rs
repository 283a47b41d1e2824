//! The timers of timer_create(2): each sends a signal, to the process or to one thread.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};

use linux_raw_sys::general as raw;
use smp::SpinLock;

use super::alarm::{Alarm, Expire};
use super::clock::{self, monotonic_ns};
use super::units::{ClockId, Schedule, TimerSetting};
use crate::libc::errno::Errno;
use crate::libc::signal::{self, Signal, SignalInfo};
use crate::process;

/// The most timers at once (`RLIMIT_SIGPENDING` bounds them on Linux).
const MAX_TIMERS: usize = 1024;

/// What a timer does when it expires: the useful part of `struct sigevent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The signal and the thread that gets it, 0 for the process; `None`: nothing is sent.
    pub signal: Option<(Signal, u32)>,
    /// What the handler finds in `si_value`.
    pub value: u64,
}

struct PosixTimer {
    id: i32,
    clock: ClockId,
    notification: Notification,
    state: SpinLock<State>,
    alarm: Alarm,
    this: Weak<Self>,
}

struct State {
    schedule: Schedule,
    is_absolute: bool,
    /// A signal of this timer is pending: further expirations only count.
    is_pending: bool,
    /// Expirations since the pending signal was sent.
    missed: u64,
    /// What timer_getoverrun(2) reports: those missed up to the last delivery.
    overrun: i32,
}

struct Table {
    timers: BTreeMap<i32, Arc<PosixTimer>>,
    next_id: i32,
}

static TABLE: SpinLock<Table> = SpinLock::new(Table {
    timers: BTreeMap::new(),
    next_id: 0,
});

fn find(id: i32) -> Result<Arc<PosixTimer>, Errno> {
    TABLE.lock().timers.get(&id).cloned().ok_or(Errno::EINVAL)
}

/// Makes a timer, which does not run yet; returns its id.
pub fn create(
    clock: ClockId,
    notification: impl FnOnce(i32) -> Notification,
) -> Result<i32, Errno> {
    if !matches!(clock, ClockId::Realtime | ClockId::Monotonic) {
        return Err(Errno::EOPNOTSUPP);
    }
    let id = {
        let mut table = TABLE.lock();
        if table.timers.len() >= MAX_TIMERS {
            return Err(Errno::EAGAIN);
        }
        while table.timers.contains_key(&table.next_id) {
            table.next_id = table.next_id.checked_add(1).unwrap_or(0);
        }
        let id = table.next_id;
        table.next_id = id.checked_add(1).unwrap_or(0);
        id
    };
    let state = State {
        schedule: Schedule::OFF,
        is_absolute: false,
        is_pending: false,
        missed: 0,
        overrun: 0,
    };
    let timer = Arc::new_cyclic(|this| PosixTimer {
        id,
        clock,
        notification: notification(id),
        state: SpinLock::new(state),
        alarm: Alarm::new(),
        this: this.clone(),
    });
    TABLE.lock().timers.insert(id, timer);
    Ok(id)
}

/// Removes a timer.
pub fn delete(id: i32) -> Result<(), Errno> {
    let removed = TABLE.lock().timers.remove(&id);
    removed
        .map(|timer| timer.alarm.cancel())
        .ok_or(Errno::EINVAL)
}

/// Sets a timer; returns what it was set to.
pub fn set(id: i32, setting: TimerSetting, is_absolute: bool) -> Result<TimerSetting, Errno> {
    let timer = find(id)?;
    let old = {
        let mut state = timer.state.lock();
        let old = state.schedule.setting(timer.now_ns(&state));
        state.is_absolute = is_absolute;
        state.missed = 0;
        state.schedule = match setting.value_ns {
            0 => Schedule::OFF,
            value_ns if is_absolute => Schedule::starting_at(value_ns, setting.interval_ns),
            value_ns => {
                let first_ns = timer.now_ns(&state).saturating_add(value_ns);
                Schedule::starting_at(first_ns, setting.interval_ns)
            }
        };
        old
    };
    timer.set_alarm();
    Ok(old)
}

/// Returns what is left.
pub fn get(id: i32) -> Result<TimerSetting, Errno> {
    let timer = find(id)?;
    let state = timer.state.lock();
    Ok(state.schedule.setting(timer.now_ns(&state)))
}

/// Returns how many expirations the last delivered signal stands for, besides its own.
pub fn overrun(id: i32) -> Result<i32, Errno> {
    let timer = find(id)?;
    let overrun = timer.state.lock().overrun;
    Ok(overrun)
}

/// Notes that a signal of timer `id` is being delivered; returns its overrun count.
pub fn delivered(id: i32) -> i32 {
    let Ok(timer) = find(id) else { return 0 };
    let mut state = timer.state.lock();
    state.is_pending = false;
    // Those of this moment too: the thread that serves the timers may not have come to them yet.
    let now_ns = timer.now_ns(&state);
    state.missed += state.schedule.expire(now_ns);
    state.overrun = i32::try_from(core::mem::take(&mut state.missed)).unwrap_or(i32::MAX);
    state.overrun
}

impl PosixTimer {
    fn now_ns(&self, state: &State) -> u64 {
        match self.clock {
            ClockId::Realtime if state.is_absolute => clock::realtime_ns(),
            _ => monotonic_ns(),
        }
    }

    fn set_alarm(&self) {
        let next = || self.state.lock().schedule.next_ns();
        self.alarm.follow(&self.this, next, |next_ns| {
            let now_ns = self.now_ns(&self.state.lock());
            monotonic_ns().saturating_add(next_ns.saturating_sub(now_ns))
        });
    }

    fn send(&self, signal: Signal, tid: u32) -> Result<(), Errno> {
        let info = SignalInfo::from_timer(signal, self.id, 0, self.notification.value);
        match tid {
            0 => signal::to_process(signal, info),
            tid => signal::to_thread(&process::thread(tid).ok_or(Errno::ESRCH)?, signal, info),
        }
    }
}

impl Expire for PosixTimer {
    fn expired(&self) {
        let sends = {
            let mut state = self.state.lock();
            let now_ns = self.now_ns(&state);
            let count = state.schedule.expire(now_ns);
            if count == 0 {
                None
            } else if state.is_pending {
                state.missed += count;
                None
            } else {
                state.missed += count - 1;
                state.is_pending = self.notification.signal.is_some();
                self.notification.signal
            }
        };
        if let Some((signal, tid)) = sends
            && self.send(signal, tid).is_err()
        {
            self.state.lock().is_pending = false;
        }
        self.set_alarm();
    }

    fn clock_was_set(&self) {
        if self.clock == ClockId::Realtime {
            self.set_alarm();
        }
    }
}

/// Reads the useful part of `struct sigevent`: `EINVAL` for what is not understood.
pub fn notification([value, signo_notify, tid]: [u64; 3]) -> Result<Notification, Errno> {
    let (signo, notify) = (signo_notify as u32, (signo_notify >> 32) as u32);
    let signal = || Signal::new(signo as usize).ok_or(Errno::EINVAL);
    let signal = match notify {
        raw::SIGEV_NONE => None,
        raw::SIGEV_SIGNAL => Some((signal()?, 0)),
        notify
            if notify == raw::SIGEV_THREAD_ID
                || notify == raw::SIGEV_THREAD_ID | raw::SIGEV_SIGNAL =>
        {
            let tid = tid as u32;
            process::thread(tid).ok_or(Errno::EINVAL)?;
            Some((signal()?, tid))
        }
        _ => return Err(Errno::EINVAL),
    };
    Ok(Notification { signal, value })
}
