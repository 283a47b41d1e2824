//! The options of level SOL_SOCKET that are the same for all families (socket(7)).

use crate::libc::errno::Errno;
use crate::libc::time::{NS_PER_SEC, Timeval};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use linux_raw_sys::net as raw;
use smp::{WaitError, WaitQueue};

/// The send and receive buffers of a new socket.
pub const DEFAULT_BUFFER: u32 = 212_992;
/// What they can be set to, after the doubling that Linux does for its bookkeeping.
const BUFFER_MIN: u32 = 4608;
const BUFFER_MAX: u32 = 4 * DEFAULT_BUFFER;

/// Switches that are kept and shown.
const SWITCHES: [u32; 8] = [
    raw::SO_DEBUG,
    raw::SO_REUSEADDR,
    raw::SO_DONTROUTE,
    raw::SO_BROADCAST,
    raw::SO_KEEPALIVE,
    raw::SO_OOBINLINE,
    raw::SO_REUSEPORT,
    raw::SO_PASSCRED,
];

/// The options of one socket.
pub struct Options {
    switches: AtomicU32,
    send_buffer: AtomicU32,
    receive_buffer: AtomicU32,
    /// Nanoseconds; 0: wait for ever.
    send_timeout_ns: AtomicU64,
    receive_timeout_ns: AtomicU64,
    receive_low: AtomicU32,
    lingers: AtomicBool,
    linger_seconds: AtomicU32,
    /// An errno that the next call reports (SO_ERROR).
    error: AtomicU32,
}

impl Options {
    /// Makes the options of a new socket.
    pub const fn new() -> Self {
        Options {
            switches: AtomicU32::new(0),
            send_buffer: AtomicU32::new(DEFAULT_BUFFER),
            receive_buffer: AtomicU32::new(DEFAULT_BUFFER),
            send_timeout_ns: AtomicU64::new(0),
            receive_timeout_ns: AtomicU64::new(0),
            receive_low: AtomicU32::new(1),
            lingers: AtomicBool::new(false),
            linger_seconds: AtomicU32::new(0),
            error: AtomicU32::new(0),
        }
    }

    /// Tells whether a switch is on.
    pub fn is_on(&self, name: u32) -> bool {
        let index = SWITCHES.iter().position(|&each| each == name);
        index.is_some_and(|index| self.switches.load(Ordering::Relaxed) & 1 << index != 0)
    }

    /// Returns the send buffer's size.
    pub fn send_buffer(&self) -> usize {
        self.send_buffer.load(Ordering::Relaxed) as usize
    }

    /// Returns the receive buffer's size.
    pub fn receive_buffer(&self) -> usize {
        self.receive_buffer.load(Ordering::Relaxed) as usize
    }

    /// Returns how long close(2) takes to deliver what is still to be sent (SO_LINGER), if set.
    pub fn linger_seconds(&self) -> Option<u32> {
        let lingers = self.lingers.load(Ordering::Relaxed);
        lingers.then(|| self.linger_seconds.load(Ordering::Relaxed))
    }

    /// Takes over another socket's switches, as an accepted connection does from its listener.
    pub fn copy_switches(&self, other: &Options) {
        self.switches
            .store(other.switches.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Leaves an error for the next call to report.
    pub fn set_error(&self, errno: Errno) {
        self.error.store(errno.number() as u32, Ordering::Release);
    }

    /// Tells whether an error waits to be reported.
    pub fn has_error(&self) -> bool {
        self.error.load(Ordering::Acquire) != 0
    }

    /// Takes the error that waits to be reported; 0 if there is none.
    pub fn take_error(&self) -> u32 {
        self.error.swap(0, Ordering::AcqRel)
    }

    /// Reports the error that waits, once.
    pub fn check_error(&self) -> Result<(), Errno> {
        Errno::from_number(self.take_error() as i32).map_or(Ok(()), Err)
    }

    /// Waits on `queue` for a receive, or a send, as long as the options allow.
    pub fn wait<R>(
        &self,
        queue: &WaitQueue,
        direction: Direction,
        is_nonblocking: bool,
        mut attempt: impl FnMut() -> Option<R>,
    ) -> Result<R, Errno> {
        if is_nonblocking {
            return attempt().ok_or(Errno::EAGAIN);
        }
        let timeout_ns = match direction {
            Direction::Receive => self.receive_timeout_ns.load(Ordering::Relaxed),
            Direction::Send => self.send_timeout_ns.load(Ordering::Relaxed),
        };
        let deadline = (timeout_ns > 0).then(|| smp::now_ns().saturating_add(timeout_ns));
        queue
            .wait(deadline, true, attempt)
            .map_err(|error| match error {
                WaitError::TimedOut => Errno::EAGAIN,
                // A wait with a time-out is never started again (signal(7)).
                WaitError::Interrupted if timeout_ns > 0 => Errno::EINTR,
                WaitError::Interrupted => Errno::RESTART,
            })
    }

    /// Returns an option's value; `ENOPROTOOPT` for those that the family has to know.
    pub fn get(&self, name: u32) -> Result<Vec<u8>, Errno> {
        let number = match name {
            raw::SO_ERROR => self.take_error(),
            raw::SO_SNDBUF => self.send_buffer.load(Ordering::Relaxed),
            raw::SO_RCVBUF => self.receive_buffer.load(Ordering::Relaxed),
            raw::SO_RCVLOWAT => self.receive_low.load(Ordering::Relaxed),
            raw::SO_SNDLOWAT => 1,
            raw::SO_PRIORITY => 0,
            raw::SO_LINGER => {
                let lingers = u32::from(self.lingers.load(Ordering::Relaxed));
                return Ok(words(&[
                    lingers,
                    self.linger_seconds.load(Ordering::Relaxed),
                ]));
            }
            raw::SO_RCVTIMEO_OLD => {
                return Ok(timeval(self.receive_timeout_ns.load(Ordering::Relaxed)));
            }
            raw::SO_SNDTIMEO_OLD => {
                return Ok(timeval(self.send_timeout_ns.load(Ordering::Relaxed)));
            }
            name if SWITCHES.contains(&name) => u32::from(self.is_on(name)),
            _ => return Err(Errno::ENOPROTOOPT),
        };
        Ok(words(&[number]))
    }

    /// Sets an option; `ENOPROTOOPT` for those that the family has to know.
    pub fn set(&self, name: u32, value: &[u8]) -> Result<(), Errno> {
        let number = || word(value, 0);
        match name {
            raw::SO_SNDBUF | raw::SO_SNDBUFFORCE => self
                .send_buffer
                .store(buffer_size(number()?), Ordering::Relaxed),
            raw::SO_RCVBUF | raw::SO_RCVBUFFORCE => self
                .receive_buffer
                .store(buffer_size(number()?), Ordering::Relaxed),
            raw::SO_RCVLOWAT => self.receive_low.store(number()?.max(1), Ordering::Relaxed),
            raw::SO_RCVTIMEO_OLD => self
                .receive_timeout_ns
                .store(timeout(value)?, Ordering::Relaxed),
            raw::SO_SNDTIMEO_OLD => self
                .send_timeout_ns
                .store(timeout(value)?, Ordering::Relaxed),
            raw::SO_LINGER => {
                let (lingers, seconds) = (number()? != 0, word(value, 1)?);
                self.lingers.store(lingers, Ordering::Relaxed);
                if lingers {
                    self.linger_seconds.store(seconds, Ordering::Relaxed);
                }
            }
            _ => {
                let index = SWITCHES
                    .iter()
                    .position(|&each| each == name)
                    .ok_or(Errno::ENOPROTOOPT)?;
                if number()? != 0 {
                    self.switches.fetch_or(1 << index, Ordering::Relaxed);
                } else {
                    self.switches.fetch_and(!(1 << index), Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

/// Which time-out applies to a wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// SO_RCVTIMEO.
    Receive,
    /// SO_SNDTIMEO.
    Send,
}

/// Returns option values of C's `int`s.
pub fn words(numbers: &[u32]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_ne_bytes())
        .collect()
}

fn word(value: &[u8], index: usize) -> Result<u32, Errno> {
    let bytes = value
        .get(index * 4..index * 4 + 4)
        .and_then(|bytes| bytes.try_into().ok());
    bytes.map(u32::from_ne_bytes).ok_or(Errno::EINVAL)
}

fn buffer_size(wanted: u32) -> u32 {
    wanted
        .cast_signed()
        .max(0)
        .cast_unsigned()
        .saturating_mul(2)
        .clamp(BUFFER_MIN, BUFFER_MAX)
}

fn timeval(ns: u64) -> Vec<u8> {
    let (seconds, microseconds) = (ns / NS_PER_SEC, ns % NS_PER_SEC / 1000);
    [seconds, microseconds]
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .collect()
}

fn timeout(value: &[u8]) -> Result<u64, Errno> {
    let bytes: [u8; 16] = value
        .get(..16)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(Errno::EINVAL)?;
    let half = |from: usize| {
        let bytes: [u8; 8] = core::array::from_fn(|index| bytes[from + index]);
        i64::from_ne_bytes(bytes)
    };
    let (seconds, microseconds) = (half(0), half(8));
    if seconds < 0 && (0..1_000_000).contains(&microseconds) {
        // Linux: a negative time is no waiting at all, told apart from 0, which is for ever.
        return Ok(1);
    }
    Timeval {
        seconds,
        microseconds,
    }
    .to_ns()
    .map_err(|_| Errno::EDOM)
}
