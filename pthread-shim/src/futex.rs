//! Sleeping on a word of memory, the one way in which this crate waits: `futex(2)`.
//!
//! `wake` takes an address, not a reference: once a waiter knows that it may go on, it may
//! free the memory it slept on, so a waker can arrive too late to touch it. A late wake-up
//! costs whoever sleeps at that address now one look at its word.

use core::ptr;

use linux_raw_sys::{
    errno::{EAGAIN, EFAULT, EINTR, EINVAL, ETIMEDOUT},
    general::{
        __NR_futex, FUTEX_BITSET_MATCH_ANY, FUTEX_CLOCK_REALTIME, FUTEX_PRIVATE_FLAG,
        FUTEX_WAIT_BITSET, FUTEX_WAKE_BITSET,
    },
};

use crate::{
    prim::{AtomicU32, AtomicU64},
    sys,
    time::{Clock, Deadline, Timespec},
};

/// The bits that match every waiter and every waker.
pub const ANY: u32 = FUTEX_BITSET_MATCH_ANY;

/// Wakes everybody.
pub const ALL: u32 = i32::MAX.cast_unsigned();

/// Who may sleep on a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The threads of this process, by one address.
    Private,
    /// Also those that reach the memory by another mapping of it.
    Shared,
}

/// Why a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Somebody woke the caller, or the word no longer had the expected value.
    Look,
    /// The deadline passed first.
    TimedOut,
    /// A signal handler ran first.
    Interrupted,
    /// The deadline is no valid time.
    Invalid,
}

/// What a waiter asks for besides the word and its value.
#[derive(Clone, Copy)]
pub struct Sleep<'a> {
    /// When to give up; never, if absent.
    pub deadline: Option<&'a Deadline>,
    /// Who may wake the caller.
    pub scope: Scope,
    /// Which wake-ups reach the caller: those that share a bit.
    pub bits: u32,
    /// Whether `pthread_cancel` may end the thread here.
    pub is_point: bool,
}

impl<'a> Sleep<'a> {
    /// A sleep that any wake-up ends.
    #[must_use]
    pub fn new(deadline: Option<&'a Deadline>, scope: Scope) -> Self {
        Self {
            deadline,
            scope,
            bits: ANY,
            is_point: false,
        }
    }
}

/// Sleeps while `word` is `expected`; may return early for no reason.
pub fn wait(word: &AtomicU32, expected: u32, sleep: Sleep<'_>) -> Wake {
    wait_at(ptr::from_ref(word), expected, sleep)
}

/// Sleeps while the low half of `word` is `expected`; may return early for no reason.
pub fn wait_low(word: &AtomicU64, expected: u32, sleep: Sleep<'_>) -> Wake {
    const {
        assert!(
            cfg!(target_endian = "little"),
            "the low half has the address of the whole"
        )
    }
    wait_at(ptr::from_ref(word).cast(), expected, sleep)
}

fn operation(command: u32, scope: Scope) -> usize {
    let private = if scope == Scope::Private {
        FUTEX_PRIVATE_FLAG
    } else {
        0
    };
    (command | private) as usize
}

fn wait_at(word: *const AtomicU32, expected: u32, sleep: Sleep<'_>) -> Wake {
    let mut command = operation(FUTEX_WAIT_BITSET, sleep.scope);
    let mut timeout: *const Timespec = ptr::null();
    if let Some(deadline) = sleep.deadline {
        if !deadline.at.is_valid() {
            return Wake::Invalid;
        }
        // The kernel refuses times before its epoch; they have passed all the same.
        if deadline.at.seconds < 0 {
            return Wake::TimedOut;
        }
        if deadline.clock == Clock::Realtime {
            command |= FUTEX_CLOCK_REALTIME as usize;
        }
        timeout = ptr::from_ref(&deadline.at);
    }
    // SAFETY: futex reads the word and the timeout, both alive for the length of the call
    // by the references the caller holds, and writes nothing.
    let call = || unsafe {
        sys::call(
            __NR_futex,
            [
                word.expose_provenance(),
                command,
                expected as usize,
                timeout.expose_provenance(),
                0,
                sleep.bits as usize,
            ],
        )
    };
    match if sleep.is_point {
        sys::cancellable(call)
    } else {
        call()
    } {
        Ok(_) => Wake::Look,
        Err(error) => match error.number() {
            EAGAIN => Wake::Look,
            ETIMEDOUT => Wake::TimedOut,
            EINTR => Wake::Interrupted,
            // Both mean that the word's memory is gone or was never a word: a bug of the
            // program, which must not become a loop of failing calls.
            EFAULT | EINVAL => panic!("futex: no word to wait on at {word:p}"),
            _ => panic!("futex: waiting failed with error {}", error.number()),
        },
    }
}

/// Wakes at most `count` of the threads that sleep at `word`; returns how many.
pub fn wake(word: *const AtomicU32, count: u32, scope: Scope) -> u32 {
    wake_bits(word, count, ANY, scope)
}

/// Wakes at most `count` of the threads that sleep at `word` with one of `bits`.
pub fn wake_bits(word: *const AtomicU32, count: u32, bits: u32, scope: Scope) -> u32 {
    // SAFETY: futex only compares the address; it neither reads nor writes there.
    let result = unsafe {
        sys::call(
            __NR_futex,
            [
                word.expose_provenance(),
                operation(FUTEX_WAKE_BITSET, scope),
                count as usize,
                0,
                0,
                bits as usize,
            ],
        )
    };
    // A shared word that is no longer mapped has no key; nobody can sleep there.
    result.map_or(0, |woken| u32::try_from(woken).unwrap_or(u32::MAX))
}

/// Wakes at most `count` of the threads that sleep on the low half of `word`.
pub fn wake_low(word: *const AtomicU64, count: u32, scope: Scope) -> u32 {
    wake(word.cast(), count, scope)
}
