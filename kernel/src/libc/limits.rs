//! Resource limits and use; see getrlimit(2) and getrusage(2).
//!
//! A limit that nothing enforces is not accepted: a program that sets it would rely on it.

use alloc::format;
use alloc::string::String;
use core::sync::atomic::{AtomicUsize, Ordering};

use linux_raw_sys::general as raw;
use linux_raw_sys::general::*;
use smp::SpinLock;

use super::dispatch::Calls;
use super::errno::{Errno, SysResult};
use super::signal;
use super::time::{Timeval, set_cpu_limit};
use crate::fs::{fd_table, limits};
use crate::memory::{self, user};
use crate::process::{self, PROCESS, Usage};

/// The calls of this file.
pub const CALLS: Calls = &[
    (__NR_getrlimit, getrlimit),
    (__NR_setrlimit, setrlimit),
    (__NR_prlimit64, prlimit64),
    (__NR_getrusage, getrusage),
];

/// Name and unit of each limit, as `/proc/self/limits` shows them.
const NAMES: [(&str, &str); COUNT] = [
    ("Max cpu time", "seconds"),
    ("Max file size", "bytes"),
    ("Max data size", "bytes"),
    ("Max stack size", "bytes"),
    ("Max core file size", "bytes"),
    ("Max resident set", "bytes"),
    ("Max processes", "processes"),
    ("Max open files", "files"),
    ("Max locked memory", "bytes"),
    ("Max address space", "bytes"),
    ("Max file locks", "locks"),
    ("Max pending signals", "signals"),
    ("Max msgqueue size", "bytes"),
    ("Max nice priority", ""),
    ("Max realtime priority", ""),
    ("Max realtime timeout", "us"),
];

const INFINITY: u64 = u64::MAX;

/// How many limits there are (`RLIM_NLIMITS`).
const COUNT: usize = 16;

/// More bytes than the address space has for C.
const BEYOND_REACH: u64 = 1 << 47;

/// What a C stack has: threads get as much, and the initial one too.
const STACK_BYTES: u64 = 8 << 20;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Limit {
    soft: u64,
    hard: u64,
}

impl Limit {
    const NONE: Self = Self {
        soft: INFINITY,
        hard: INFINITY,
    };
    const ZERO: Self = Self { soft: 0, hard: 0 };
}

static LIMITS: SpinLock<[Limit; COUNT]> = SpinLock::new(initial_limits());

const fn initial_limits() -> [Limit; COUNT] {
    let mut limits = [Limit::NONE; COUNT];
    limits[raw::RLIMIT_NOFILE as usize] = Limit {
        soft: fd_table::DEFAULT_LIMIT as u64,
        hard: fd_table::MAX_LIMIT as u64,
    };
    limits[raw::RLIMIT_STACK as usize] = Limit {
        soft: STACK_BYTES,
        hard: INFINITY,
    };
    // Never made: core dumps, message queues, locked memory (none is ever paged out).
    limits[raw::RLIMIT_CORE as usize] = Limit::ZERO;
    limits[raw::RLIMIT_MSGQUEUE as usize] = Limit::ZERO;
    limits[raw::RLIMIT_SIGPENDING as usize] = Limit {
        soft: signal::MAX_QUEUED as u64,
        hard: signal::MAX_QUEUED as u64,
    };
    limits
}

fn index_of(resource: usize) -> Result<usize, Errno> {
    let index = resource as u32 as usize;
    if index < COUNT {
        Ok(index)
    } else {
        Err(Errno::EINVAL)
    }
}

fn set_limit(index: usize, new: Limit) -> Result<(), Errno> {
    if new.soft > new.hard {
        return Err(Errno::EINVAL);
    }
    let mut table = LIMITS.lock();
    if table[index] == new {
        return Ok(());
    }
    match index as u32 {
        raw::RLIMIT_NOFILE if new.hard > fd_table::MAX_LIMIT as u64 => return Err(Errno::EPERM),
        raw::RLIMIT_NOFILE => fd_table::FILES.set_limit(new.soft as usize),
        raw::RLIMIT_FSIZE => limits::set_file_size(new.soft),
        raw::RLIMIT_CPU => set_cpu_limit(new.soft, new.hard),
        // It says how large the initial stack may grow, which it has not done by itself since the start.
        raw::RLIMIT_STACK | raw::RLIMIT_CORE => {}
        // What is beyond reach limits nothing, so it needs no enforcing.
        raw::RLIMIT_AS | raw::RLIMIT_DATA | raw::RLIMIT_RSS if new.soft >= BEYOND_REACH => {}
        _ => return Err(Errno::EPERM),
    }
    table[index] = new;
    Ok(())
}

/// Appends the table of `/proc/self/limits`.
pub fn describe(text: &mut String) {
    let shown = |value: u64| {
        if value == INFINITY {
            String::from("unlimited")
        } else {
            format!("{value}")
        }
    };
    let limits = *LIMITS.lock();
    text.push_str(&format!(
        "{:<25} {:<20} {:<20} {:<10}\n",
        "Limit", "Soft Limit", "Hard Limit", "Units"
    ));
    for ((name, unit), limit) in NAMES.iter().zip(limits) {
        text.push_str(&format!(
            "{name:<25} {:<20} {:<20} {unit:<10}\n",
            shown(limit.soft),
            shown(limit.hard)
        ));
    }
}

fn read_limit(address: usize) -> Result<Limit, Errno> {
    let [soft, hard] = user::read_user(address)?;
    Ok(Limit { soft, hard })
}

fn write_limit(address: usize, limit: Limit) -> Result<(), Errno> {
    Ok(user::write_user(address, &[limit.soft, limit.hard])?)
}

/// getrlimit(2).
fn getrlimit(a: &[usize; 6]) -> SysResult {
    let &[resource, out, ..] = a;
    let limit = LIMITS.lock()[index_of(resource)?];
    write_limit(out, limit)?;
    Ok(0)
}

/// setrlimit(2).
fn setrlimit(a: &[usize; 6]) -> SysResult {
    let &[resource, new, ..] = a;
    let index = index_of(resource)?;
    set_limit(index, read_limit(new)?)?;
    Ok(0)
}

/// prlimit(2).
fn prlimit64(a: &[usize; 6]) -> SysResult {
    let &[pid, resource, new, old_out, ..] = a;
    let index = index_of(resource)?;
    if pid as u32 != 0 && process::thread(pid as u32).is_none() {
        return Err(Errno::ESRCH);
    }
    let new = if new == 0 {
        None
    } else {
        Some(read_limit(new)?)
    };
    let old = LIMITS.lock()[index];
    if let Some(new) = new {
        set_limit(index, new)?;
    }
    if old_out != 0 {
        write_limit(old_out, old)?;
    }
    Ok(0)
}

/// The most memory that C was seen to have: now, or when somebody asked before.
fn peak_resident_bytes() -> usize {
    static PEAK: AtomicUsize = AtomicUsize::new(0);
    let stats = memory::memory_stats();
    let now = stats.anonymous + stats.mapped;
    PEAK.fetch_max(now, Ordering::Relaxed).max(now)
}

/// Words of `struct rusage`.
const RUSAGE_WORDS: usize = 18;

/// getrusage(2). All CPU time counts as user time.
fn getrusage(a: &[usize; 6]) -> SysResult {
    let &[who, out, ..] = a;
    let usage = match who as i32 {
        0 => PROCESS.usage(),
        // There are no children.
        -1 => Usage::default(),
        1 => Usage::of(&smp::current()),
        _ => return Err(Errno::EINVAL),
    };
    let mut words = [0i64; RUSAGE_WORDS];
    [words[0], words[1]] = Timeval::from_ns(usage.cpu_ns).to_words();
    if who as i32 != -1 {
        words[4] = (peak_resident_bytes() / 1024) as i64;
    }
    words[16] = usage.voluntary_switches as i64;
    words[17] = usage.involuntary_switches as i64;
    user::write_user(out, &words)?;
    Ok(0)
}
