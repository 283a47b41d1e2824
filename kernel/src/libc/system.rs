//! The calls about the system as a whole: its name, its state, its end.

use alloc::vec::Vec;

use linux_raw_sys::general::*;
use smp::SpinLock;

use super::dispatch::Calls;
use super::errno::{Errno, SysResult};
use super::time::{NS_PER_SEC, monotonic_ns};
use crate::memory::user::{copy_from_user, copy_to_user, read_user, write_user};
use crate::{arch, log, memory, power, process};

/// The calls of this file.
pub const CALLS: Calls = &[
    (__NR_uname, uname),
    (__NR_sethostname, |a| set_name(&HOST_NAME, a)),
    (__NR_setdomainname, |a| set_name(&DOMAIN_NAME, a)),
    (__NR_sysinfo, sysinfo),
    (__NR_syslog, syslog),
    (__NR_reboot, reboot),
    (__NR_membarrier, membarrier),
    (__NR_personality, personality),
    (__NR_capget, capget),
    (__NR_capset, |_| Err(Errno::EPERM)),
    (__NR_wait4, |_| Err(Errno::ECHILD)),
    (__NR_waitid, |_| Err(Errno::ECHILD)),
    (__NR_ptrace, |_| Err(Errno::EPERM)),
];

/// The system's name (uname(2)).
pub const NAME: &str = "PythonOS";

/// Its release.
pub const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// What kind of build it is.
pub const VERSION: &str = "#1 SMP PREEMPT";

/// Bytes of a name in `struct utsname`, with its NUL.
const FIELD: usize = 65;

static HOST_NAME: SpinLock<Vec<u8>> = SpinLock::new(Vec::new());
static DOMAIN_NAME: SpinLock<Vec<u8>> = SpinLock::new(Vec::new());

/// What the machine is called until somebody names it.
const DEFAULT_HOST_NAME: &[u8] = b"pythonos";
const DEFAULT_DOMAIN_NAME: &[u8] = b"(none)";

/// Returns what the machine is called (gethostname(2)).
pub fn host_name() -> Vec<u8> {
    name_or(&HOST_NAME, DEFAULT_HOST_NAME)
}

fn name_or(name: &SpinLock<Vec<u8>>, default: &[u8]) -> Vec<u8> {
    let name = name.lock().clone();
    if name.is_empty() {
        default.to_vec()
    } else {
        name
    }
}

/// Names the machine (sethostname(2)).
pub fn set_host_name(new: &[u8]) -> Result<(), Errno> {
    if new.len() >= FIELD {
        return Err(Errno::EINVAL);
    }
    let old = core::mem::replace(&mut *HOST_NAME.lock(), new.to_vec());
    drop(old);
    Ok(())
}

/// sethostname(2), setdomainname(2).
fn set_name(name: &SpinLock<Vec<u8>>, a: &[usize; 6]) -> SysResult {
    let &[new, len, ..] = a;
    if len >= FIELD {
        return Err(Errno::EINVAL);
    }
    let mut bytes = alloc::vec![0; len];
    copy_from_user(&mut bytes, new)?;
    let old = core::mem::replace(&mut *name.lock(), bytes);
    drop(old);
    Ok(0)
}

/// uname(2).
fn uname(a: &[usize; 6]) -> SysResult {
    let mut fields = [0u8; 6 * FIELD];
    let host_name = host_name();
    let domain_name = name_or(&DOMAIN_NAME, DEFAULT_DOMAIN_NAME);
    let values: [&[u8]; 6] = [
        NAME.as_bytes(),
        &host_name,
        RELEASE.as_bytes(),
        VERSION.as_bytes(),
        arch::MACHINE_NAME.as_bytes(),
        &domain_name,
    ];
    for (field, value) in fields.chunks_exact_mut(FIELD).zip(values) {
        field[..value.len()].copy_from_slice(value);
    }
    copy_to_user(a[0], &fields)?;
    Ok(0)
}

/// sysinfo(2). Nobody averages the load here: it reads 0, as on an idle system.
fn sysinfo(a: &[usize; 6]) -> SysResult {
    /// Bytes of `struct sysinfo`.
    const SIZE: usize = size_of::<linux_raw_sys::system::sysinfo>();
    let stats = memory::memory_stats();
    let mut bytes = [0u8; SIZE];
    let mut put = |word: usize, value: u64| {
        bytes[word * 8..word * 8 + 8].copy_from_slice(&value.to_ne_bytes())
    };
    put(0, monotonic_ns() / NS_PER_SEC);
    // 1 to 3: loads.
    put(4, stats.total as u64);
    put(5, stats.free as u64);
    // 6 shared, 7 buffers, 8 and 9 swap: none.
    let threads = process::threads().len().min(usize::from(u16::MAX)) as u16;
    bytes[80..82].copy_from_slice(&threads.to_ne_bytes());
    // 11 and 12: high memory. Then the unit of all these: one byte.
    bytes[104..108].copy_from_slice(&1u32.to_ne_bytes());
    copy_to_user(a[0], &bytes)?;
    Ok(0)
}

/// syslog(2): reading the kernel log. It is never cleared, and the console level is fixed.
fn syslog(a: &[usize; 6]) -> SysResult {
    const READ: u32 = 2;
    const READ_ALL: u32 = 3;
    const SIZE_UNREAD: u32 = 9;
    const SIZE_BUFFER: u32 = 10;
    /// Up to where `READ` has got.
    static READ_POSITION: SpinLock<u64> = SpinLock::new(0);

    let &[action, out, len, ..] = a;
    let (start, end) = log::bounds();
    match action as u32 {
        // Open and close do nothing on Linux either.
        0 | 1 => Ok(0),
        READ => {
            let from = (*READ_POSITION.lock()).max(start);
            let (to, count) = copy_log(from, end, out, len)?;
            *READ_POSITION.lock() = to;
            Ok(count)
        }
        READ_ALL => {
            let from = start.max(end.saturating_sub(len as u64));
            copy_log(from, end, out, len).map(|(_, count)| count)
        }
        SIZE_UNREAD => Ok((end - (*READ_POSITION.lock()).clamp(start, end)) as usize),
        SIZE_BUFFER => Ok(log::capacity()),
        4..=8 => Err(Errno::EPERM),
        _ => Err(Errno::EINVAL),
    }
}

/// Copies the log from position `from`; returns where it stopped and how many bytes that were.
fn copy_log(from: u64, end: u64, out: usize, len: usize) -> Result<(u64, usize), Errno> {
    let mut chunk = [0; 512];
    let (mut position, mut count) = (from, 0);
    while count < len && position < end {
        let want = chunk.len().min(len - count);
        let (at, got) = log::read(position, &mut chunk[..want]);
        if got == 0 {
            break;
        }
        copy_to_user(out.wrapping_add(count), &chunk[..got])?;
        position = at + got as u64;
        count += got;
    }
    Ok((position, count))
}

/// reboot(2).
fn reboot(a: &[usize; 6]) -> SysResult {
    const MAGIC: u32 = 0xfee1_dead;
    const MAGIC2: [u32; 4] = [0x2812_1969, 0x0512_1996, 0x1604_1998, 0x2011_2000];
    const RESTART: u32 = 0x0123_4567;
    const HALT: u32 = 0xcdef_0123;
    const POWER_OFF: u32 = 0x4321_fedc;
    const CAD_ON: u32 = 0x89ab_cdef;
    const CAD_OFF: u32 = 0;

    let &[magic, magic2, command, ..] = a;
    if magic as u32 != MAGIC || !MAGIC2.contains(&(magic2 as u32)) {
        return Err(Errno::EINVAL);
    }
    match command as u32 {
        RESTART => power::reboot(),
        POWER_OFF => power::poweroff(),
        HALT => power::halt(),
        // No key combination reboots this machine.
        CAD_OFF => Ok(0),
        CAD_ON => Err(Errno::EINVAL),
        _ => Err(Errno::EINVAL),
    }
}

/// membarrier(2).
fn membarrier(a: &[usize; 6]) -> SysResult {
    const QUERY: u32 = 0;
    const GLOBAL: u32 = 1 << 0;
    const PRIVATE_EXPEDITED: u32 = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: u32 = 1 << 4;

    let &[command, flags, ..] = a;
    if flags as u32 != 0 {
        return Err(Errno::EINVAL);
    }
    match command as u32 {
        QUERY => Ok((GLOBAL | PRIVATE_EXPEDITED | REGISTER_PRIVATE_EXPEDITED) as usize),
        GLOBAL | PRIVATE_EXPEDITED => {
            // Every other CPU that runs a thread answers an interrupt, which orders its memory
            // accesses as a barrier does; the page named is never mapped.
            smp::shootdown(0, memory::PAGE_SIZE);
            Ok(0)
        }
        REGISTER_PRIVATE_EXPEDITED => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

/// personality(2): the only one is Linux's own.
fn personality(a: &[usize; 6]) -> SysResult {
    const QUERY: u32 = 0xffff_ffff;
    match a[0] as u32 {
        0 | QUERY => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

/// capget(2): user 0 may do everything.
fn capget(a: &[usize; 6]) -> SysResult {
    const VERSION_3: u32 = 0x2008_0522;
    /// The capabilities that Linux defines, 0 to 40.
    const ALL: u64 = (1 << 41) - 1;

    let &[header, data, ..] = a;
    let [version, pid]: [u32; 2] = read_user(header)?;
    if version != VERSION_3 {
        write_user(header, &VERSION_3)?;
        return if data == 0 { Ok(0) } else { Err(Errno::EINVAL) };
    }
    if pid != 0 && process::thread(pid).is_none() {
        return Err(Errno::ESRCH);
    }
    if data != 0 {
        let (low, high) = (ALL as u32, (ALL >> 32) as u32);
        // Effective, permitted, inheritable: low words, then high words.
        write_user(data, &[low, low, 0, high, high, 0])?;
    }
    Ok(0)
}
