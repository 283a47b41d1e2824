//! The calls about who runs where and when; see sched(7).

use linux_raw_sys::general as raw;
use linux_raw_sys::general::*;
use smp::{CpuMask, Policy, Scheduling, ThreadRef};

use super::dispatch::Calls;
use super::errno::{Errno, SysResult};
use super::time::Timespec;
use crate::memory::user::{copy_from_user, read_user, write_user};
use crate::process;

/// The calls of this file.
pub const CALLS: Calls = &[
    (__NR_sched_yield, sched_yield),
    (__NR_sched_getaffinity, sched_getaffinity),
    (__NR_sched_setaffinity, sched_setaffinity),
    (__NR_sched_getparam, sched_getparam),
    (__NR_sched_setparam, sched_setparam),
    (__NR_sched_getscheduler, sched_getscheduler),
    (__NR_sched_setscheduler, sched_setscheduler),
    (__NR_sched_rr_get_interval, sched_rr_get_interval),
    (__NR_sched_get_priority_max, sched_get_priority_max),
    (__NR_sched_get_priority_min, sched_get_priority_min),
    (__NR_getpriority, getpriority),
    (__NR_setpriority, setpriority),
    (__NR_getcpu, getcpu),
];

/// Bytes of a set of CPUs as the kernel passes it: one word.
const MASK_SIZE: usize = size_of::<u64>();

/// A turn of a thread at nice 0 while others wait (`smp`'s time slice).
const TURN_NS: u64 = 4_000_000;

/// `SCHED_RESET_ON_FORK`: may be added to a policy.
const RESET_ON_FORK: u32 = 0x4000_0000;

/// The thread that `tid` means; 0 is the calling one.
fn thread_of(tid: usize) -> Result<ThreadRef, Errno> {
    match tid as i32 {
        0 => Ok(smp::current_ref()),
        tid if tid < 0 => Err(Errno::EINVAL),
        tid => process::thread(tid as u32).ok_or(Errno::ESRCH),
    }
}

/// sched_yield(2).
fn sched_yield(_: &[usize; 6]) -> SysResult {
    smp::yield_now();
    Ok(0)
}

/// sched_getaffinity(2): returns how many bytes of the set there are.
fn sched_getaffinity(a: &[usize; 6]) -> SysResult {
    let &[tid, len, out, ..] = a;
    if len < MASK_SIZE || !len.is_multiple_of(MASK_SIZE) {
        return Err(Errno::EINVAL);
    }
    // No thread has a negative id; unlike its siblings this call says so.
    let thread = if (tid as i32) < 0 {
        Err(Errno::ESRCH)
    } else {
        thread_of(tid)
    };
    let cpus = thread?.affinity().and(smp::online_cpus());
    write_user(out, &cpus.bits())?;
    Ok(MASK_SIZE)
}

/// sched_setaffinity(2).
fn sched_setaffinity(a: &[usize; 6]) -> SysResult {
    let &[tid, len, set, ..] = a;
    let mut bytes = [0; MASK_SIZE];
    copy_from_user(&mut bytes[..len.min(MASK_SIZE)], set)?;
    let thread = thread_of(tid)?;
    let cpus = CpuMask::from_bits(u64::from_ne_bytes(bytes));
    thread.set_affinity(cpus).map_err(|_| Errno::EINVAL)?;
    Ok(0)
}

/// The policy that C means by `policy` and `priority`.
fn policy_from(policy: u32, priority: i32) -> Result<Policy, Errno> {
    let real_time = || match priority {
        1..=99 => Ok(priority as u8),
        _ => Err(Errno::EINVAL),
    };
    match policy & !RESET_ON_FORK {
        raw::SCHED_FIFO => real_time().map(Policy::Fifo),
        raw::SCHED_RR => real_time().map(Policy::RoundRobin),
        _ if priority != 0 => Err(Errno::EINVAL),
        raw::SCHED_NORMAL => Ok(Policy::Other),
        raw::SCHED_BATCH => Ok(Policy::Batch),
        raw::SCHED_IDLE => Ok(Policy::Idle),
        _ => Err(Errno::EINVAL),
    }
}

fn policy_number(policy: Policy) -> u32 {
    match policy {
        Policy::Other => raw::SCHED_NORMAL,
        Policy::Batch => raw::SCHED_BATCH,
        Policy::Idle => raw::SCHED_IDLE,
        Policy::Fifo(_) => raw::SCHED_FIFO,
        Policy::RoundRobin(_) => raw::SCHED_RR,
    }
}

/// sched_getparam(2).
fn sched_getparam(a: &[usize; 6]) -> SysResult {
    let &[tid, out, ..] = a;
    if out == 0 {
        return Err(Errno::EINVAL);
    }
    let priority = thread_of(tid)?.scheduling().priority();
    write_user(out, &i32::from(priority))?;
    Ok(0)
}

/// sched_setparam(2).
fn sched_setparam(a: &[usize; 6]) -> SysResult {
    let &[tid, param, ..] = a;
    let thread = thread_of(tid)?;
    set_policy(&thread, policy_number(thread.scheduling().policy), param)
}

/// sched_getscheduler(2).
fn sched_getscheduler(a: &[usize; 6]) -> SysResult {
    Ok(policy_number(thread_of(a[0])?.scheduling().policy) as usize)
}

/// sched_setscheduler(2).
fn sched_setscheduler(a: &[usize; 6]) -> SysResult {
    let &[tid, policy, param, ..] = a;
    set_policy(&thread_of(tid)?, policy as u32, param)
}

fn set_policy(thread: &ThreadRef, policy: u32, param: usize) -> SysResult {
    if param == 0 {
        return Err(Errno::EINVAL);
    }
    let policy = policy_from(policy, read_user(param)?)?;
    thread.set_scheduling(Scheduling {
        policy,
        ..thread.scheduling()
    });
    Ok(0)
}

/// sched_rr_get_interval(2).
fn sched_rr_get_interval(a: &[usize; 6]) -> SysResult {
    let &[tid, out, ..] = a;
    let interval_ns = match thread_of(tid)?.scheduling().policy {
        Policy::Fifo(_) => 0,
        _ => TURN_NS,
    };
    write_user(out, &Timespec::from_ns(interval_ns).to_words())?;
    Ok(0)
}

fn priority_range(policy: usize) -> Result<(usize, usize), Errno> {
    match policy as u32 {
        raw::SCHED_FIFO | raw::SCHED_RR => Ok((1, 99)),
        raw::SCHED_NORMAL | raw::SCHED_BATCH | raw::SCHED_IDLE => Ok((0, 0)),
        _ => Err(Errno::EINVAL),
    }
}

/// sched_get_priority_max(2).
fn sched_get_priority_max(a: &[usize; 6]) -> SysResult {
    priority_range(a[0]).map(|(_, max)| max)
}

/// sched_get_priority_min(2).
fn sched_get_priority_min(a: &[usize; 6]) -> SysResult {
    priority_range(a[0]).map(|(min, _)| min)
}

/// The threads that getpriority(2) and setpriority(2) mean: one thread for `PRIO_PROCESS`, as
/// in Linux; all for the group and the user.
fn threads_of(which: usize, who: usize) -> Result<alloc::vec::Vec<ThreadRef>, Errno> {
    let is_ours = |own: u32| who as u32 == 0 || who as u32 == own;
    match which as u32 {
        raw::PRIO_PROCESS => thread_of(who)
            .map(|thread| alloc::vec![thread])
            .map_err(|_| Errno::ESRCH),
        raw::PRIO_PGRP if is_ours(process::PID) => Ok(process::threads()),
        raw::PRIO_USER if is_ours(super::credentials::real_user()) => Ok(process::threads()),
        raw::PRIO_PGRP | raw::PRIO_USER => Err(Errno::ESRCH),
        _ => Err(Errno::EINVAL),
    }
}

/// getpriority(2): returns 20 minus the nice value, so that it is never an error number.
fn getpriority(a: &[usize; 6]) -> SysResult {
    let threads = threads_of(a[0], a[1])?;
    let nice = threads
        .iter()
        .map(|thread| thread.scheduling().nice)
        .min()
        .ok_or(Errno::ESRCH)?;
    Ok((20 - i32::from(nice)) as usize)
}

/// setpriority(2).
fn setpriority(a: &[usize; 6]) -> SysResult {
    let nice = (a[2] as i32).clamp(-20, 19) as i8;
    for thread in threads_of(a[0], a[1])? {
        thread.set_scheduling(Scheduling {
            nice,
            ..thread.scheduling()
        });
    }
    Ok(0)
}

/// getcpu(2): there is one node.
fn getcpu(a: &[usize; 6]) -> SysResult {
    let &[cpu_out, node_out, ..] = a;
    if cpu_out != 0 {
        write_user(cpu_out, &smp::current().last_cpu().0)?;
    }
    if node_out != 0 {
        write_user(node_out, &0u32)?;
    }
    Ok(0)
}
