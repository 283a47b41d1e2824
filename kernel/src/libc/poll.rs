//! Waiting for many files at once: poll(2), select(2).
//!
//! One [`Waiter`] is registered with the wait queue of every file; then the files are asked, and
//! asked again whenever one of the queues tells the waiter. Nothing is polled in between.

use alloc::sync::Arc;
use alloc::vec::Vec;

use linux_raw_sys::general::*;
use smp::{WaitQueue, Waiter, Wake};

use super::dispatch::Calls;
use super::errno::{Errno, SysResult};
use super::signal::{TemporaryMask, has_effect, read_set};
use super::time::{Timespec, Timeval, monotonic_ns};
use crate::fs::description::Description;
use crate::fs::fd_table::FILES;
use crate::fs::file::PollEvents;
use crate::memory::user::{copy_from_user, copy_to_user, read_user, write_user};

/// The calls of this file.
pub const CALLS: Calls = &[(__NR_ppoll, ppoll), (__NR_pselect6, pselect6)];

/// One file and what is asked of it.
struct Watch {
    /// `None`: there is nothing to ask, `found` stays as it is.
    description: Option<Arc<Description>>,
    /// What counts.
    wanted: PollEvents,
    found: PollEvents,
}

impl Watch {
    fn ask(&mut self) -> bool {
        if let Some(description) = &self.description {
            self.found = description.poll() & self.wanted;
        }
        !self.found.is_empty()
    }
}

fn ask_all(watches: &mut [Watch]) -> usize {
    watches
        .iter_mut()
        .map(Watch::ask)
        .filter(|&is_ready| is_ready)
        .count()
}

/// One waiter in the queues of many files, until this is dropped.
struct Registrations {
    descriptions: Vec<Arc<Description>>,
    waiter: Arc<Waiter>,
}

impl Registrations {
    fn new(watches: &[Watch]) -> Self {
        let has_queue = |description: &&Arc<Description>| description.file().wait_queue().is_some();
        let descriptions = watches
            .iter()
            .filter_map(|watch| watch.description.as_ref())
            .filter(has_queue)
            .cloned()
            .collect();
        let registrations = Self {
            descriptions,
            waiter: Waiter::for_current(),
        };
        registrations
            .queues()
            .for_each(|queue| queue.register(&registrations.waiter));
        registrations
    }

    fn queues(&self) -> impl Iterator<Item = &WaitQueue> {
        self.descriptions
            .iter()
            .filter_map(|description| description.file().wait_queue())
    }
}

impl Drop for Registrations {
    fn drop(&mut self) {
        self.queues()
            .for_each(|queue| queue.unregister(&self.waiter));
    }
}

/// Until when to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Patience {
    None,
    Until(u64),
    Endless,
}

impl Patience {
    fn of_span(span_ns: u64) -> Self {
        match span_ns {
            0 => Self::None,
            span_ns => Self::Until(monotonic_ns().saturating_add(span_ns)),
        }
    }

    /// What is left of it.
    fn rest_ns(self) -> u64 {
        match self {
            Self::Until(deadline_ns) => deadline_ns.saturating_sub(monotonic_ns()),
            Self::None | Self::Endless => 0,
        }
    }
}

/// Waits until a file is ready, patience ends, or a signal has an effect; returns how many files
/// are ready.
fn wait_for_any(watches: &mut [Watch], patience: Patience) -> Result<usize, Errno> {
    let ready = ask_all(watches);
    if ready > 0 || patience == Patience::None {
        return Ok(ready);
    }
    let deadline_ns = match patience {
        Patience::Until(deadline_ns) => Some(deadline_ns),
        Patience::None | Patience::Endless => None,
    };
    let registrations = Registrations::new(watches);
    loop {
        // Forgotten before asking: what changes from here on tells the waiter again.
        registrations.waiter.take_notified();
        let ready = ask_all(watches);
        if ready > 0 {
            return Ok(ready);
        }
        match registrations.waiter.wait(deadline_ns, true) {
            Wake::Unparked => {}
            Wake::TimedOut => return Ok(ask_all(watches)),
            Wake::Interrupted if has_effect() => return Err(Errno::EINTR),
            Wake::Interrupted => {}
        }
    }
}

/// Runs `wait` under the signal mask at `mask` (0: as it is).
fn with_mask<R>(
    mask: usize,
    size: usize,
    wait: impl FnOnce() -> Result<R, Errno>,
) -> Result<R, Errno> {
    if mask == 0 {
        return wait();
    }
    if size != size_of::<u64>() {
        return Err(Errno::EINVAL);
    }
    let mask = TemporaryMask::set(read_set(mask)?);
    let result = wait();
    if matches!(result, Err(Errno::EINTR)) {
        mask.leave_to_delivery();
    }
    result
}

/// Bytes of `struct pollfd`: an `int` and two `short`s.
const POLL_FD_SIZE: usize = 8;

fn do_poll(address: usize, count: usize, patience: Patience) -> SysResult {
    let count = count as u32 as usize;
    if count > FILES.limit() {
        return Err(Errno::EINVAL);
    }
    let mut bytes = alloc::vec![0; count * POLL_FD_SIZE];
    copy_from_user(&mut bytes, address)?;
    let mut watches: Vec<Watch> = bytes
        .chunks_exact(POLL_FD_SIZE)
        .map(watch_of_poll_fd)
        .collect();
    let ready = wait_for_any(&mut watches, patience)?;
    for (entry, watch) in bytes.chunks_exact_mut(POLL_FD_SIZE).zip(&watches) {
        entry[6..].copy_from_slice(&(watch.found.bits() as u16).to_ne_bytes());
    }
    copy_to_user(address, &bytes)?;
    Ok(ready)
}

fn watch_of_poll_fd(entry: &[u8]) -> Watch {
    let fd = i32::from_ne_bytes([entry[0], entry[1], entry[2], entry[3]]);
    let events = u16::from_ne_bytes([entry[4], entry[5]]);
    let wanted = PollEvents::from_bits_truncate(u32::from(events)) | PollEvents::ALWAYS;
    let found = PollEvents::empty();
    if fd < 0 {
        return Watch {
            description: None,
            wanted,
            found,
        };
    }
    match FILES.get(fd as usize) {
        Ok(description) => Watch {
            description: Some(description),
            wanted,
            found,
        },
        Err(_) => Watch {
            description: None,
            wanted,
            found: PollEvents::NVAL,
        },
    }
}

/// poll(2), which newer architectures have only as ppoll.
pub fn poll(a: &[usize; 6]) -> SysResult {
    let &[entries, count, timeout_ms, ..] = a;
    let patience = match timeout_ms as i32 {
        ..0 => Patience::Endless,
        ms => Patience::of_span(ms as u64 * 1_000_000),
    };
    do_poll(entries, count, patience)
}

fn read_patience(address: usize) -> Result<Patience, Errno> {
    match address {
        0 => Ok(Patience::Endless),
        address => Ok(Patience::of_span(
            Timespec::from_words(read_user(address)?).to_ns()?,
        )),
    }
}

/// ppoll(2).
fn ppoll(a: &[usize; 6]) -> SysResult {
    let &[entries, count, timeout, mask, mask_size, _] = a;
    let patience = read_patience(timeout)?;
    let result = with_mask(mask, mask_size, || do_poll(entries, count, patience));
    store_rest(timeout, patience, |ns| Timespec::from_ns(ns).to_words());
    result
}

/// Linux tells how much time was left; that it cannot be stored is no error.
fn store_rest(address: usize, patience: Patience, to_words: impl Fn(u64) -> [i64; 2]) {
    if address != 0 {
        let _ = write_user(address, &to_words(patience.rest_ns()));
    }
}

/// What each of select(2)'s three sets is about.
const SELECT_EVENTS: [PollEvents; 3] = [
    PollEvents::READABLE
        .union(PollEvents::RDBAND)
        .union(PollEvents::ALWAYS),
    PollEvents::WRITABLE
        .union(PollEvents::WRBAND)
        .union(PollEvents::ERR),
    PollEvents::PRI,
];

/// Bits of a word of `fd_set`.
const WORD_BITS: usize = 64;

fn do_select(count: usize, sets: [usize; 3], patience: Patience) -> SysResult {
    let count = usize::try_from(count as i32).map_err(|_| Errno::EINVAL)?;
    // Bits beyond the table are not looked at, as on Linux.
    let count = count.min(FILES.len().next_multiple_of(WORD_BITS));
    let words = count.div_ceil(WORD_BITS);
    let mut wanted: [Vec<u64>; 3] = Default::default();
    for (set, &address) in wanted.iter_mut().zip(&sets) {
        *set = alloc::vec![0; words];
        if address != 0 {
            for (i, word) in set.iter_mut().enumerate() {
                *word = read_user(address.wrapping_add(i * 8))?;
            }
        }
    }
    let has = |set: &[u64], fd: usize| set[fd / WORD_BITS] & 1 << (fd % WORD_BITS) != 0;
    let mut watches = Vec::new();
    let mut fds = Vec::new();
    for fd in 0..count {
        let events = wanted
            .iter()
            .zip(SELECT_EVENTS)
            .filter(|(set, _)| has(set, fd))
            .fold(PollEvents::empty(), |all, (_, events)| all | events);
        if !events.is_empty() {
            let description = Some(FILES.get(fd)?);
            watches.push(Watch {
                description,
                wanted: events,
                found: PollEvents::empty(),
            });
            fds.push(fd);
        }
    }
    wait_for_any(&mut watches, patience)?;
    let mut total = 0;
    for ((set, &address), events) in wanted.iter().zip(&sets).zip(SELECT_EVENTS) {
        if address == 0 {
            continue;
        }
        let mut result = alloc::vec![0u64; words];
        for (&fd, watch) in fds.iter().zip(&watches) {
            if has(set, fd) && watch.found.intersects(events) {
                result[fd / WORD_BITS] |= 1 << (fd % WORD_BITS);
                total += 1;
            }
        }
        for (i, word) in result.iter().enumerate() {
            write_user(address.wrapping_add(i * 8), word)?;
        }
    }
    Ok(total)
}

/// select(2), which newer architectures have only as pselect6.
pub fn select(a: &[usize; 6]) -> SysResult {
    let &[count, read, write, except, timeout, _] = a;
    let patience = match timeout {
        0 => Patience::Endless,
        address => Patience::of_span(span_of_timeval(read_user(address)?)?),
    };
    let result = do_select(count, [read, write, except], patience);
    store_rest(timeout, patience, |ns| Timeval::from_ns(ns).to_words());
    result
}

/// select(2) takes more than a second of microseconds.
fn span_of_timeval([seconds, microseconds]: [i64; 2]) -> Result<u64, Errno> {
    if seconds < 0 || microseconds < 0 {
        return Err(Errno::EINVAL);
    }
    let seconds = seconds.saturating_add(microseconds / 1_000_000);
    Timeval {
        seconds,
        microseconds: microseconds % 1_000_000,
    }
    .to_ns()
}

/// pselect6(2): its last argument points to the mask's address and size.
fn pselect6(a: &[usize; 6]) -> SysResult {
    let &[count, read, write, except, timeout, mask] = a;
    let patience = read_patience(timeout)?;
    let [mask, mask_size] = if mask == 0 { [0, 0] } else { read_user(mask)? };
    let result = with_mask(mask, mask_size, || {
        do_select(count, [read, write, except], patience)
    });
    store_rest(timeout, patience, |ns| Timespec::from_ns(ns).to_words());
    result
}
