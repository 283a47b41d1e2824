//! The calls of signal(7).

use linux_raw_sys::general as raw;
use linux_raw_sys::general::*;
use smp::{NOTIFY_SIGNAL, Wake};

use super::action::{Action, Disposition};
use super::deliver::has_effect;
use super::info::SignalInfo;
use super::send::{self, data_of};
use super::set::{Signal, SignalSet};
use super::state::AlternateStack;
use crate::arch;
use crate::libc::dispatch::Calls;
use crate::libc::errno::{Errno, SysResult};
use crate::libc::time::{Timespec, monotonic_ns};
use crate::memory::user::{copy_to_user, read_user, write_user};
use crate::process::{self, PROCESS, ThreadData};

/// The calls of this file.
pub const CALLS: Calls = &[
    (__NR_rt_sigaction, rt_sigaction),
    (__NR_rt_sigprocmask, rt_sigprocmask),
    (__NR_rt_sigpending, rt_sigpending),
    (__NR_rt_sigsuspend, rt_sigsuspend),
    (__NR_rt_sigtimedwait, rt_sigtimedwait),
    (__NR_rt_sigqueueinfo, rt_sigqueueinfo),
    (__NR_rt_tgsigqueueinfo, rt_tgsigqueueinfo),
    (__NR_kill, kill),
    (__NR_tkill, tkill),
    (__NR_tgkill, tgkill),
    (__NR_sigaltstack, sigaltstack),
    (__NR_rt_sigreturn, |_| Err(Errno::ENOSYS)),
    (__NR_signalfd4, |_| Err(Errno::ENOSYS)),
];

/// What C must pass as the size of a `sigset_t`.
const SET_SIZE: usize = size_of::<u64>();

fn check_set_size(size: usize) -> Result<(), Errno> {
    if size == SET_SIZE {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

/// A signal number as C passes it: an `int`.
fn signal_of(number: usize) -> Result<Signal, Errno> {
    Signal::new(number as u32 as usize).ok_or(Errno::EINVAL)
}

/// Like [`signal_of`], but 0 is no signal: only the target is checked.
fn signal_or_none(number: usize) -> Result<Option<Signal>, Errno> {
    if number as u32 == 0 {
        Ok(None)
    } else {
        signal_of(number).map(Some)
    }
}

/// Reads a signal set of C.
pub fn read_set(address: usize) -> Result<SignalSet, Errno> {
    Ok(SignalSet::from_bits(read_user(address)?))
}

/// rt_sigaction(2).
fn rt_sigaction(a: &[usize; 6]) -> SysResult {
    let &[number, new, old, size, ..] = a;
    check_set_size(size)?;
    let signal = signal_of(number)?;
    let action = if new == 0 {
        None
    } else {
        Some(Action::from_words(read_user(new)?))
    };
    if action.is_some() && SignalSet::UNBLOCKABLE.contains(signal) {
        return Err(Errno::EINVAL);
    }
    let previous = {
        let mut process = PROCESS.signals.lock();
        match action {
            Some(action) => process.actions.set(signal, action),
            None => process.actions.get(signal),
        }
    };
    if action.is_some_and(|action| action.disposition(signal) == Disposition::Ignore) {
        discard_everywhere(signal);
    }
    if old != 0 {
        write_user(old, &previous.to_words())?;
    }
    Ok(0)
}

/// Has a function of C handle `signal`; calls that it interrupts are not made again.
pub fn set_handler(signal: Signal, handler: extern "C" fn(i32)) {
    let words = [handler as *const () as u64, 0, 0, 0];
    PROCESS
        .signals
        .lock()
        .actions
        .set(signal, Action::from_words(words));
}

/// A signal that begins to be ignored is not pending any more, blocked or not (POSIX.1, 2.4.3).
fn discard_everywhere(signal: Signal) {
    let set = SignalSet::of(&[signal]);
    PROCESS.signals.lock().pending.discard(set);
    for thread in process::threads() {
        data_of(&thread).signals.lock().pending.discard(set);
    }
}

/// rt_sigprocmask(2).
fn rt_sigprocmask(a: &[usize; 6]) -> SysResult {
    let &[how, new, old, size, ..] = a;
    check_set_size(size)?;
    let current = smp::current();
    let before = data_of(&current).signals.lock().mask;
    if new != 0 {
        let set = read_set(new)?;
        let mask = match how as u32 {
            raw::SIG_BLOCK => before.union(set),
            raw::SIG_UNBLOCK => before.without(set),
            raw::SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL),
        };
        if mask != before {
            send::set_mask(mask);
        }
    }
    if old != 0 {
        write_user(old, &before.bits())?;
    }
    Ok(0)
}

/// rt_sigpending(2).
fn rt_sigpending(a: &[usize; 6]) -> SysResult {
    let &[set, size, ..] = a;
    if size > SET_SIZE {
        return Err(Errno::EINVAL);
    }
    let pending = {
        let process = PROCESS.signals.lock();
        let current = smp::current();
        let state = data_of(&current).signals.lock();
        process
            .pending
            .members()
            .union(state.pending.members())
            .intersection(state.mask)
    };
    copy_to_user(set, &pending.bits().to_ne_bytes()[..size])?;
    Ok(0)
}

/// A mask that holds for one wait. If a handler ends the wait, it still runs under this mask and
/// the old one comes back after it; else the old one is back when this is dropped.
pub struct TemporaryMask {
    is_kept: bool,
}

impl TemporaryMask {
    /// Sets the mask of the current thread.
    pub fn set(mask: SignalSet) -> Self {
        let current = smp::current();
        let mut state = data_of(&current).signals.lock();
        let old = state.set_mask(mask);
        state.saved_mask = Some(old);
        current.set_notify(NOTIFY_SIGNAL);
        Self { is_kept: false }
    }

    /// Leaves it to the delivery of signals to set the old mask again.
    pub fn leave_to_delivery(mut self) {
        self.is_kept = true;
    }
}

impl Drop for TemporaryMask {
    fn drop(&mut self) {
        if !self.is_kept {
            let saved = data_of(&smp::current()).signals.lock().saved_mask.take();
            if let Some(mask) = saved {
                send::set_mask(mask);
            }
        }
    }
}

/// Sleeps until a signal has an effect.
fn wait_for_signal() {
    loop {
        if smp::park(None, true) == Wake::Interrupted && has_effect() {
            return;
        }
    }
}

/// rt_sigsuspend(2).
fn rt_sigsuspend(a: &[usize; 6]) -> SysResult {
    let &[mask, size, ..] = a;
    check_set_size(size)?;
    let mask = TemporaryMask::set(read_set(mask)?);
    wait_for_signal();
    mask.leave_to_delivery();
    Err(Errno::EINTR)
}

/// pause(2).
pub fn pause(_: &[usize; 6]) -> SysResult {
    wait_for_signal();
    Err(Errno::EINTR)
}

/// rt_sigtimedwait(2).
fn rt_sigtimedwait(a: &[usize; 6]) -> SysResult {
    let &[set, info_out, timeout, size, ..] = a;
    check_set_size(size)?;
    let wanted = read_set(set)?.without(SignalSet::UNBLOCKABLE);
    let deadline_ns = match timeout {
        0 => None,
        address => {
            Some(monotonic_ns().saturating_add(Timespec::from_words(read_user(address)?).to_ns()?))
        }
    };
    let current = smp::current();
    let data = data_of(&current);
    let result = loop {
        // Cleared before looking, see `deliver::thread_notify`.
        current.clear_notify(NOTIFY_SIGNAL);
        let taken = {
            let mut process = PROCESS.signals.lock();
            let mut state = data.signals.lock();
            state.awaited = wanted;
            process.take(&mut state, wanted)
        };
        if let Some(taken) = taken {
            break Ok(taken);
        }
        if has_effect() {
            break Err(Errno::EINTR);
        }
        if smp::park(deadline_ns, true) == Wake::TimedOut {
            let mut process = PROCESS.signals.lock();
            break process
                .take(&mut data.signals.lock(), wanted)
                .ok_or(Errno::EAGAIN);
        }
    };
    data.signals.lock().awaited = SignalSet::EMPTY;
    // Other signals may have come meanwhile.
    current.set_notify(NOTIFY_SIGNAL);
    let (signal, info) = result?;
    if info_out != 0 {
        copy_to_user(info_out, info.as_bytes())?;
    }
    Ok(signal.number() as usize)
}

/// Finds out whom kill(2) means; `Ok(false)`: a group without any other process.
fn check_target(pid: i32) -> Result<(), Errno> {
    let own = process::PID as i32;
    match pid {
        0 => Ok(()),
        // Every process but the caller: there is none.
        -1 => Err(Errno::ESRCH),
        pid if pid == own || pid == -own => Ok(()),
        // Linux takes the id of any thread for its process.
        pid if pid > 0 && process::thread(pid as u32).is_some() => Ok(()),
        _ => Err(Errno::ESRCH),
    }
}

/// kill(2).
fn kill(a: &[usize; 6]) -> SysResult {
    let &[pid, number, ..] = a;
    let signal = signal_or_none(number)?;
    check_target(pid as i32)?;
    if let Some(signal) = signal {
        send::to_process(signal, SignalInfo::from_user(signal, process::PID as i32))?;
    }
    Ok(0)
}

fn send_to_thread(
    tid: i32,
    signal: Option<Signal>,
    info: impl FnOnce(Signal) -> SignalInfo,
) -> SysResult {
    if tid <= 0 {
        return Err(Errno::EINVAL);
    }
    let thread = process::thread(tid as u32).ok_or(Errno::ESRCH)?;
    if let Some(signal) = signal {
        send::to_thread(&thread, signal, info(signal))?;
    }
    Ok(0)
}

/// tkill(2).
fn tkill(a: &[usize; 6]) -> SysResult {
    let &[tid, number, ..] = a;
    let signal = signal_or_none(number)?;
    send_to_thread(tid as i32, signal, |signal| {
        SignalInfo::from_thread(signal, process::PID as i32)
    })
}

/// tgkill(2).
fn tgkill(a: &[usize; 6]) -> SysResult {
    let &[pid, tid, number, ..] = a;
    let signal = signal_or_none(number)?;
    if pid as i32 <= 0 {
        return Err(Errno::EINVAL);
    }
    if pid as u32 != process::PID {
        return Err(Errno::ESRCH);
    }
    send_to_thread(tid as i32, signal, |signal| {
        SignalInfo::from_thread(signal, process::PID as i32)
    })
}

/// Reads the `siginfo_t` that a caller made up.
fn read_info(signal: Signal, address: usize) -> Result<SignalInfo, Errno> {
    Ok(SignalInfo::from_bytes(signal, read_user(address)?))
}

/// rt_sigqueueinfo(2).
fn rt_sigqueueinfo(a: &[usize; 6]) -> SysResult {
    let &[pid, number, info, ..] = a;
    let signal = signal_of(number)?;
    let info = read_info(signal, info)?;
    check_target(pid as i32)?;
    send::to_process(signal, info)?;
    Ok(0)
}

/// rt_tgsigqueueinfo(2).
fn rt_tgsigqueueinfo(a: &[usize; 6]) -> SysResult {
    let &[pid, tid, number, info, ..] = a;
    let signal = signal_of(number)?;
    let info = read_info(signal, info)?;
    if pid as u32 != process::PID {
        return Err(Errno::ESRCH);
    }
    send_to_thread(tid as i32, Some(signal), |_| info)
}

/// sigaltstack(2).
fn sigaltstack(a: &[usize; 6]) -> SysResult {
    let &[new, old, ..] = a;
    let current = smp::current();
    let data: &ThreadData = data_of(&current);
    let before = data.signals.lock().alternate;
    let is_on_it = before.len != 0 && before.contains(arch::user_stack_pointer());
    if new != 0 {
        let [base, flags, len]: [u64; 3] = read_user(new)?;
        // `ss_flags` is an int; the word's upper half is padding.
        let flags = flags as u32;
        if is_on_it {
            return Err(Errno::EPERM);
        }
        let after = match flags & !raw::SS_AUTODISARM {
            raw::SS_DISABLE => AlternateStack::NONE,
            0 | raw::SS_ONSTACK if len < u64::from(raw::MINSIGSTKSZ) => return Err(Errno::ENOMEM),
            0 | raw::SS_ONSTACK => AlternateStack {
                base: base as usize,
                len: len as usize,
                is_auto_disarmed: flags & raw::SS_AUTODISARM != 0,
            },
            _ => return Err(Errno::EINVAL),
        };
        data.signals.lock().alternate = after;
    }
    if old != 0 {
        let mut flags = if before.is_auto_disarmed {
            raw::SS_AUTODISARM
        } else {
            0
        };
        if before.len == 0 {
            flags |= raw::SS_DISABLE;
        } else if is_on_it {
            flags |= raw::SS_ONSTACK;
        }
        write_user(
            old,
            &[before.base as u64, u64::from(flags), before.len as u64],
        )?;
    }
    Ok(0)
}
