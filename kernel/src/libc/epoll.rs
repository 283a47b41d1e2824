//! The calls of epoll(7); the set itself is `fs::epoll`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use linux_raw_sys::general as raw;
use linux_raw_sys::general::*;

use super::dispatch::Calls;
use super::errno::{Errno, SysResult};
use super::signal::{TemporaryMask, read_set};
use super::time::{Timespec, monotonic_ns};
use crate::fs::description::Description;
use crate::fs::epoll_set::{EpollSet, Interest, Report};
use crate::fs::fd_table::FILES;
use crate::fs::file::OpenFlags;
use crate::memory::user::{copy_from_user, copy_to_user, read_user};

/// The calls of this file.
pub const CALLS: Calls = &[
    (__NR_epoll_create1, epoll_create1),
    (__NR_epoll_ctl, epoll_ctl),
    (__NR_epoll_pwait, epoll_pwait),
    (__NR_epoll_pwait2, epoll_pwait2),
];

/// Bytes of `struct epoll_event`, which is packed on some architectures.
const EVENT_SIZE: usize = size_of::<raw::epoll_event>();
/// Where its data is: the last eight bytes.
const DATA: usize = EVENT_SIZE - size_of::<u64>();

/// epoll_create1(2).
fn epoll_create1(a: &[usize; 6]) -> SysResult {
    let flags = a[0] as u32;
    if flags & !raw::EPOLL_CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    create(flags & raw::EPOLL_CLOEXEC != 0)
}

/// epoll_create(2), which newer architectures have only as epoll_create1.
pub fn epoll_create(a: &[usize; 6]) -> SysResult {
    if a[0] as i32 <= 0 {
        return Err(Errno::EINVAL);
    }
    create(false)
}

fn create(is_cloexec: bool) -> SysResult {
    FILES.insert(
        Description::new(EpollSet::new(), OpenFlags::RDWR),
        is_cloexec,
        0,
    )
}

fn with_set<R>(fd: usize, run: impl FnOnce(Arc<EpollSet>) -> Result<R, Errno>) -> Result<R, Errno> {
    run(FILES.get(fd)?.file().downcast().ok_or(Errno::EINVAL)?)
}

/// epoll_ctl(2).
fn epoll_ctl(a: &[usize; 6]) -> SysResult {
    let &[set_fd, operation, fd, event, ..] = a;
    let operation = operation as u32;
    let interest = match operation {
        raw::EPOLL_CTL_DEL => None,
        _ => Some(read_interest(event)?),
    };
    let set_description = FILES.get(set_fd)?;
    let target = FILES.get(fd)?;
    if !target.file().is_pollable() {
        return Err(Errno::EPERM);
    }
    if Arc::ptr_eq(&set_description, &target) {
        return Err(Errno::EINVAL);
    }
    let fd = fd as i32;
    with_set(set_fd, |set| match (operation, interest) {
        (raw::EPOLL_CTL_ADD, Some(interest)) => set.add(fd, &target, interest),
        (raw::EPOLL_CTL_MOD, Some(interest)) => set.modify(fd, &target, interest),
        (raw::EPOLL_CTL_DEL, _) => set.remove(fd, &target),
        _ => Err(Errno::EINVAL),
    })?;
    Ok(0)
}

fn read_interest(address: usize) -> Result<Interest, Errno> {
    let mut bytes = [0; EVENT_SIZE];
    copy_from_user(&mut bytes, address)?;
    let word =
        |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let mut data = [0; 8];
    data.copy_from_slice(&bytes[DATA..]);
    Ok(Interest {
        events: word(0),
        data: u64::from_ne_bytes(data),
    })
}

fn event_bytes(report: &Report) -> [u8; EVENT_SIZE] {
    let mut bytes = [0; EVENT_SIZE];
    bytes[..4].copy_from_slice(&report.events.bits().to_ne_bytes());
    bytes[DATA..].copy_from_slice(&report.data.to_ne_bytes());
    bytes
}

/// Until when to wait: `Some(0)` not at all, `None` for ever.
type Deadline = Option<u64>;

fn wait(fd: usize, out: usize, max: usize, deadline_ns: Deadline) -> SysResult {
    let max = usize::try_from(max as i32).map_err(|_| Errno::EINVAL)?;
    if max == 0 || max > i32::MAX as usize / EVENT_SIZE {
        return Err(Errno::EINVAL);
    }
    with_set(fd, |set| {
        let reports: Vec<Report> = set.wait(max, deadline_ns)?;
        for (i, report) in reports.iter().enumerate() {
            copy_to_user(out.wrapping_add(i * EVENT_SIZE), &event_bytes(report))?;
        }
        Ok(reports.len())
    })
}

fn deadline_of_ms(timeout_ms: usize) -> Deadline {
    match timeout_ms as i32 {
        ..0 => None,
        0 => Some(0),
        ms => Some(monotonic_ns().saturating_add(ms as u64 * 1_000_000)),
    }
}

fn wait_under_mask(
    a: &[usize; 6],
    mask: usize,
    mask_size: usize,
    deadline_ns: Deadline,
) -> SysResult {
    let &[fd, out, max, ..] = a;
    if mask == 0 {
        return wait(fd, out, max, deadline_ns);
    }
    if mask_size != size_of::<u64>() {
        return Err(Errno::EINVAL);
    }
    let mask = TemporaryMask::set(read_set(mask)?);
    let result = wait(fd, out, max, deadline_ns);
    if matches!(result, Err(Errno::EINTR)) {
        mask.leave_to_delivery();
    }
    result
}

/// epoll_wait(2), which newer architectures have only as epoll_pwait.
pub fn epoll_wait(a: &[usize; 6]) -> SysResult {
    wait_under_mask(a, 0, 0, deadline_of_ms(a[3]))
}

/// epoll_pwait(2).
fn epoll_pwait(a: &[usize; 6]) -> SysResult {
    wait_under_mask(a, a[4], a[5], deadline_of_ms(a[3]))
}

/// epoll_pwait2(2).
fn epoll_pwait2(a: &[usize; 6]) -> SysResult {
    let deadline_ns = match a[3] {
        0 => None,
        address => match Timespec::from_words(read_user(address)?).to_ns()? {
            0 => Some(0),
            span_ns => Some(monotonic_ns().saturating_add(span_ns)),
        },
    };
    wait_under_mask(a, a[4], a[5], deadline_ns)
}
