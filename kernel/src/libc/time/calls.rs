//! The calls about time; see time(7).

use linux_raw_sys::general as raw;
use linux_raw_sys::general::*;
use smp::{WaitError, Wake};

use super::clock::{self, STEPPED, monotonic_ns, realtime_ns};
use super::timer_fd::TimerFd;
use super::units::{ClockId, NS_PER_SEC, TICKS_PER_SEC, TimerSetting, Timespec, Timeval};
use super::{interval, posix_timer};
use crate::fs::description::Description;
use crate::fs::fd_table::FILES;
use crate::fs::file::OpenFlags;
use crate::libc::dispatch::Calls;
use crate::libc::errno::{Errno, SysResult};
use crate::libc::signal::{Signal, has_effect};
use crate::memory::user::{read_user, write_user};
use crate::process::PROCESS;

/// The calls of this file.
pub const CALLS: Calls = &[
    (__NR_clock_gettime, clock_gettime),
    (__NR_clock_settime, clock_settime),
    (__NR_clock_getres, clock_getres),
    (__NR_clock_nanosleep, clock_nanosleep),
    (__NR_nanosleep, nanosleep),
    (__NR_gettimeofday, gettimeofday),
    (__NR_settimeofday, settimeofday),
    (__NR_times, times),
    (__NR_getitimer, getitimer),
    (__NR_setitimer, setitimer),
    (__NR_timer_create, timer_create),
    (__NR_timer_delete, timer_delete),
    (__NR_timer_settime, timer_settime),
    (__NR_timer_gettime, timer_gettime),
    (__NR_timer_getoverrun, timer_getoverrun),
    (__NR_timerfd_create, timerfd_create),
    (__NR_timerfd_settime, timerfd_settime),
    (__NR_timerfd_gettime, timerfd_gettime),
    // Nothing disciplines the clock here.
    (__NR_adjtimex, |_| Err(Errno::ENOSYS)),
    (__NR_clock_adjtime, |_| Err(Errno::ENOSYS)),
];

fn read_timespec(address: usize) -> Result<u64, Errno> {
    Timespec::from_words(read_user(address)?).to_ns()
}

/// clock_gettime(2).
fn clock_gettime(a: &[usize; 6]) -> SysResult {
    let &[id, out, ..] = a;
    // The two that are asked thousands of times a second go first.
    let ns = match id as u32 {
        raw::CLOCK_MONOTONIC => monotonic_ns(),
        raw::CLOCK_REALTIME => realtime_ns(),
        id => ClockId::from_raw(id as i32)?.now_ns()?,
    };
    write_user(out, &Timespec::from_ns(ns).to_words())?;
    Ok(0)
}

/// clock_settime(2).
fn clock_settime(a: &[usize; 6]) -> SysResult {
    let &[id, time, ..] = a;
    // TAI follows the time of day here but is not set by itself.
    if id as u32 != raw::CLOCK_REALTIME {
        return Err(Errno::EINVAL);
    }
    clock::set_realtime_ns(read_timespec(time)?);
    Ok(0)
}

/// clock_getres(2): every clock is counted in nanoseconds.
fn clock_getres(a: &[usize; 6]) -> SysResult {
    let &[id, out, ..] = a;
    // Asks the clock too: a thread's exists only while the thread does.
    ClockId::from_raw(id as i32)?.now_ns()?;
    if out != 0 {
        write_user(out, &Timespec::from_ns(1).to_words())?;
    }
    Ok(0)
}

/// Sleeps until a deadline, past signals that have no effect. `Err` is `EINTR`.
fn sleep_until(deadline_ns: u64) -> Result<(), Errno> {
    loop {
        match smp::sleep_until(deadline_ns, true) {
            Wake::Interrupted if has_effect() => return Err(Errno::EINTR),
            Wake::TimedOut => return Ok(()),
            Wake::Interrupted | Wake::Unparked => {}
        }
    }
}

/// Sleeps until the time of day is `target_ns`, however it is set meanwhile.
fn sleep_until_realtime(target_ns: u64) -> Result<(), Errno> {
    loop {
        let steps = clock::steps();
        if realtime_ns() >= target_ns {
            return Ok(());
        }
        let deadline_ns = clock::deadline_of_realtime(target_ns);
        let stepped = STEPPED.wait(Some(deadline_ns), true, || {
            (clock::steps() != steps).then_some(())
        });
        if stepped == Err(WaitError::Interrupted) && has_effect() {
            return Err(Errno::EINTR);
        }
    }
}

/// Sleeps for a span; on `EINTR` tells C what was left of it.
fn sleep_for(span_ns: u64, rest_out: usize) -> SysResult {
    let deadline_ns = monotonic_ns().saturating_add(span_ns);
    let slept = sleep_until(deadline_ns);
    if slept.is_err() && rest_out != 0 {
        let rest_ns = deadline_ns.saturating_sub(monotonic_ns());
        write_user(rest_out, &Timespec::from_ns(rest_ns).to_words())?;
    }
    slept.map(|()| 0)
}

/// nanosleep(2).
fn nanosleep(a: &[usize; 6]) -> SysResult {
    let &[span, rest_out, ..] = a;
    sleep_for(read_timespec(span)?, rest_out)
}

/// clock_nanosleep(2).
fn clock_nanosleep(a: &[usize; 6]) -> SysResult {
    let &[id, flags, time, rest_out, ..] = a;
    let is_absolute = flags as u32 & raw::TIMER_ABSTIME != 0;
    let ns = read_timespec(time)?;
    match (ClockId::from_raw(id as i32)?, is_absolute) {
        (ClockId::ThreadCpu(_), _) => Err(Errno::EINVAL),
        (ClockId::ProcessCpu, _) => Err(Errno::EOPNOTSUPP),
        (_, false) => sleep_for(ns, rest_out),
        (ClockId::Monotonic, true) => sleep_until(ns).map(|()| 0),
        (ClockId::Realtime, true) => sleep_until_realtime(ns).map(|()| 0),
    }
}

/// gettimeofday(2); the time zone is UTC.
fn gettimeofday(a: &[usize; 6]) -> SysResult {
    let &[time_out, zone_out, ..] = a;
    if time_out != 0 {
        write_user(time_out, &Timeval::from_ns(realtime_ns()).to_words())?;
    }
    if zone_out != 0 {
        write_user(zone_out, &[0u32; 2])?;
    }
    Ok(0)
}

/// settimeofday(2). A time zone is refused: the C library keeps it, not the kernel.
fn settimeofday(a: &[usize; 6]) -> SysResult {
    let &[time, zone, ..] = a;
    if zone != 0 {
        return Err(Errno::EINVAL);
    }
    if time != 0 {
        clock::set_realtime_ns(Timeval::from_words(read_user(time)?).to_ns()?);
    }
    Ok(0)
}

/// time(2).
pub fn time(a: &[usize; 6]) -> SysResult {
    let seconds = realtime_ns() / NS_PER_SEC;
    if a[0] != 0 {
        write_user(a[0], &seconds)?;
    }
    Ok(seconds as usize)
}

/// times(2). All CPU time counts as user time.
fn times(a: &[usize; 6]) -> SysResult {
    const TICK_NS: u64 = NS_PER_SEC / TICKS_PER_SEC;
    let out = a[0];
    if out != 0 {
        write_user(out, &[PROCESS.usage().cpu_ns / TICK_NS, 0, 0, 0])?;
    }
    Ok((monotonic_ns() / TICK_NS) as usize)
}

/// getitimer(2).
fn getitimer(a: &[usize; 6]) -> SysResult {
    let &[which, out, ..] = a;
    write_user(out, &interval::get(which as u32)?.to_timevals())?;
    Ok(0)
}

/// setitimer(2).
fn setitimer(a: &[usize; 6]) -> SysResult {
    let &[which, new, old_out, ..] = a;
    // A null pointer stops the timer, as on Linux.
    let setting = if new == 0 {
        TimerSetting::default()
    } else {
        TimerSetting::from_timevals(read_user(new)?)?
    };
    let old = interval::set(which as u32, setting)?;
    if old_out != 0 {
        write_user(old_out, &old.to_timevals())?;
    }
    Ok(0)
}

/// alarm(2).
pub fn alarm(a: &[usize; 6]) -> SysResult {
    let value_ns = u64::from(a[0] as u32) * NS_PER_SEC;
    let old = interval::set(
        raw::ITIMER_REAL,
        TimerSetting {
            interval_ns: 0,
            value_ns,
        },
    )?;
    // Rounded, but a running alarm is never reported as none.
    let seconds = (old.value_ns + NS_PER_SEC / 2) / NS_PER_SEC;
    Ok(seconds.max(u64::from(old.value_ns > 0)) as usize)
}

/// timer_create(2).
fn timer_create(a: &[usize; 6]) -> SysResult {
    let &[clock, event, id_out, ..] = a;
    let clock = ClockId::from_raw(clock as i32)?;
    let notification = match event {
        0 => None,
        event => Some(posix_timer::notification(read_user(event)?)?),
    };
    let id = posix_timer::create(clock, |id| {
        notification.unwrap_or(posix_timer::Notification {
            signal: Some((Signal::SIGALRM, 0)),
            value: id as u64,
        })
    })?;
    if let Err(fault) = write_user(id_out, &id) {
        posix_timer::delete(id)?;
        return Err(fault.into());
    }
    Ok(0)
}

/// timer_delete(2).
fn timer_delete(a: &[usize; 6]) -> SysResult {
    posix_timer::delete(a[0] as i32).map(|()| 0)
}

/// timer_settime(2).
fn timer_settime(a: &[usize; 6]) -> SysResult {
    let &[id, flags, new, old_out, ..] = a;
    let setting = TimerSetting::from_timespecs(read_user(new)?)?;
    let old = posix_timer::set(id as i32, setting, flags as u32 & raw::TIMER_ABSTIME != 0)?;
    if old_out != 0 {
        write_user(old_out, &old.to_timespecs())?;
    }
    Ok(0)
}

/// timer_gettime(2).
fn timer_gettime(a: &[usize; 6]) -> SysResult {
    let &[id, out, ..] = a;
    write_user(out, &posix_timer::get(id as i32)?.to_timespecs())?;
    Ok(0)
}

/// timer_getoverrun(2).
fn timer_getoverrun(a: &[usize; 6]) -> SysResult {
    posix_timer::overrun(a[0] as i32).map(|count| count as usize)
}

/// timerfd_create(2).
fn timerfd_create(a: &[usize; 6]) -> SysResult {
    let &[clock, flags, ..] = a;
    let flags = flags as u32;
    if flags & !(raw::TFD_CLOEXEC | raw::TFD_NONBLOCK) != 0 || (clock as i32) < 0 {
        return Err(Errno::EINVAL);
    }
    let timer = TimerFd::new(ClockId::from_raw(clock as i32)?)?;
    let mut open_flags = OpenFlags::RDWR;
    open_flags.set(OpenFlags::NONBLOCK, flags & raw::TFD_NONBLOCK != 0);
    FILES.insert(
        Description::new(timer, open_flags),
        flags & raw::TFD_CLOEXEC != 0,
        0,
    )
}

fn with_timer<R>(fd: usize, run: impl FnOnce(&TimerFd) -> Result<R, Errno>) -> Result<R, Errno> {
    let description = FILES.get(fd)?;
    run(description.file().downcast_ref().ok_or(Errno::EINVAL)?)
}

/// timerfd_settime(2).
fn timerfd_settime(a: &[usize; 6]) -> SysResult {
    let &[fd, flags, new, old_out, ..] = a;
    let setting = TimerSetting::from_timespecs(read_user(new)?)?;
    let old = with_timer(fd, |timer| timer.set(setting, flags as u32))?;
    if old_out != 0 {
        write_user(old_out, &old.to_timespecs())?;
    }
    Ok(0)
}

/// timerfd_gettime(2).
fn timerfd_gettime(a: &[usize; 6]) -> SysResult {
    let &[fd, out, ..] = a;
    let setting = with_timer(fd, |timer| Ok(timer.get()))?;
    write_user(out, &setting.to_timespecs())?;
    Ok(0)
}
