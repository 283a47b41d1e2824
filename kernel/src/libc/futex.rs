//! The futex call: sleeping at an address, waking there; see futex(2).
//!
//! Addresses are unique in the one address space, so private and shared futexes are the same.
//! Priority inheritance and robust lists are not offered: their calls fail with `ENOSYS`, and
//! the C library then reports such mutex types as unsupported.

use alloc::sync::Arc;

use linux_raw_sys::general as raw;
use linux_raw_sys::general::*;
use smp::{FutexError, Waiter};

use super::dispatch::Calls;
use super::errno::{Errno, SysResult};
use super::signal::has_effect;
use super::time::{self, STEPPED, Timespec, monotonic_ns};
use crate::memory::user::{self, read_user};

/// The calls of this file.
pub const CALLS: Calls = &[
    (__NR_futex, futex),
    (__NR_set_robust_list, |_| Err(Errno::ENOSYS)),
    (__NR_get_robust_list, |_| Err(Errno::ENOSYS)),
];

const ANY_BIT: u32 = u32::MAX;

/// Until when a wait lasts.
#[derive(Clone, Copy)]
enum Deadline {
    Never,
    Monotonic(u64),
    Realtime(u64),
}

fn futex(a: &[usize; 6]) -> SysResult {
    let &[
        address,
        operation,
        value,
        timeout_or_count,
        second_address,
        last,
    ] = a;
    let operation = operation as u32;
    let value = value as u32;
    let is_realtime = operation & raw::FUTEX_CLOCK_REALTIME != 0;
    let command = operation & !(raw::FUTEX_PRIVATE_FLAG | raw::FUTEX_CLOCK_REALTIME);
    if is_realtime && command != raw::FUTEX_WAIT_BITSET {
        return Err(Errno::ENOSYS);
    }
    check_address(address)?;
    match command {
        raw::FUTEX_WAIT => {
            let deadline = match read_timeout(timeout_or_count)? {
                None => Deadline::Never,
                Some(span_ns) => Deadline::Monotonic(monotonic_ns().saturating_add(span_ns)),
            };
            wait(address, value, deadline, ANY_BIT)
        }
        raw::FUTEX_WAIT_BITSET => {
            let deadline = match read_timeout(timeout_or_count)? {
                None => Deadline::Never,
                Some(at_ns) if is_realtime => Deadline::Realtime(at_ns),
                Some(at_ns) => Deadline::Monotonic(at_ns),
            };
            wait(address, value, deadline, check_bits(last)?)
        }
        raw::FUTEX_WAKE => Ok(smp::futex_wake(address, wake_count(value), ANY_BIT)),
        raw::FUTEX_WAKE_BITSET => Ok(smp::futex_wake(
            address,
            wake_count(value),
            check_bits(last)?,
        )),
        raw::FUTEX_REQUEUE => requeue(address, second_address, value, timeout_or_count, None),
        raw::FUTEX_CMP_REQUEUE => requeue(
            address,
            second_address,
            value,
            timeout_or_count,
            Some(last as u32),
        ),
        _ => Err(Errno::ENOSYS),
    }
}

fn check_address(address: usize) -> Result<(), Errno> {
    if address.is_multiple_of(size_of::<u32>()) {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

fn check_bits(bits: usize) -> Result<u32, Errno> {
    match bits as u32 {
        0 => Err(Errno::EINVAL),
        bits => Ok(bits),
    }
}

/// Linux wakes one thread even if asked for none.
fn wake_count(value: u32) -> usize {
    (value as i32).max(1) as usize
}

fn read_timeout(address: usize) -> Result<Option<u64>, Errno> {
    if address == 0 {
        return Ok(None);
    }
    Timespec::from_words(read_user(address)?).to_ns().map(Some)
}

/// Sleeps while the word at `address` is `value`, past signals that have no effect.
fn wait(address: usize, value: u32, deadline: Deadline, bits: u32) -> SysResult {
    // The word may not be there; `smp` only asks whether it is as expected.
    let mut seen = Ok(value);
    // A realtime deadline moves when the time of day is set: that ends the sleep like a signal,
    // and it begins again with the new deadline.
    let _step_listener = matches!(deadline, Deadline::Realtime(_)).then(StepListener::new);
    loop {
        let deadline_ns = match deadline {
            Deadline::Never => None,
            Deadline::Monotonic(at_ns) => Some(at_ns),
            Deadline::Realtime(at_ns) => Some(time::deadline_of_realtime(at_ns)),
        };
        let check = || {
            seen = user::load_user_u32(address);
            seen == Ok(value)
        };
        let result = smp::futex_wait(address, check, deadline_ns, bits, true);
        seen?;
        match result {
            Ok(()) => return Ok(0),
            Err(FutexError::Again) => return Err(Errno::EAGAIN),
            Err(FutexError::TimedOut) => return Err(Errno::ETIMEDOUT),
            Err(FutexError::Interrupted) if has_effect() => {
                // With a deadline the call cannot start again: a relative one would start anew.
                let is_timed = !matches!(deadline, Deadline::Never);
                return Err(if is_timed {
                    Errno::EINTR
                } else {
                    Errno::RESTART
                });
            }
            Err(FutexError::Interrupted) => {}
        }
    }
}

fn requeue(from: usize, to: usize, wake: u32, requeue: usize, expected: Option<u32>) -> SysResult {
    check_address(to)?;
    let (wake, requeue) = (wake as i32, requeue as i32);
    if wake < 0 || requeue < 0 {
        return Err(Errno::EINVAL);
    }
    let mut seen = Ok(0);
    let check = || match expected {
        None => true,
        Some(expected) => {
            seen = user::load_user_u32(from);
            seen == Ok(expected)
        }
    };
    let moved = smp::futex_requeue(from, to, wake as usize, requeue as usize, check);
    seen?;
    moved.map_err(|_| Errno::EAGAIN)
}

/// Interrupts the current thread's sleep whenever the time of day is set, while it lives.
struct StepListener {
    waiter: Arc<Waiter>,
}

impl StepListener {
    fn new() -> Self {
        let thread = smp::current_ref();
        let waiter = Waiter::with_callback(move || thread.interrupt());
        STEPPED.register(&waiter);
        Self { waiter }
    }
}

impl Drop for StepListener {
    fn drop(&mut self) {
        STEPPED.unregister(&self.waiter);
    }
}
