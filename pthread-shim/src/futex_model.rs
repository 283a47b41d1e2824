//! The futex under loom: check and enqueue under one lock, as the kernel does it.
//!
//! Time-outs are modelled by `expire`, which a test calls from a thread of its own: at
//! whatever moment loom chooses, every sleeper with a deadline gives up, then and later.

use std::{collections::VecDeque, ptr, sync::Arc};

use loom::sync::{Condvar, Mutex};

use crate::{
    prim::{AtomicU32, AtomicU64, Ordering},
    time::Deadline,
};

/// The bits that match every waiter and every waker.
pub const ANY: u32 = u32::MAX;

/// Wakes everybody.
pub const ALL: u32 = u32::MAX;

/// Who may sleep on a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The threads of this process.
    Private,
    /// Other mappings too; the model makes no difference.
    Shared,
}

/// Why a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Somebody woke the caller, or the word no longer had the expected value.
    Look,
    /// The deadline passed first.
    TimedOut,
    /// A signal handler ran first; the model sends none.
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
    /// Whether `pthread_cancel` may end the thread here; nobody calls it in the model.
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

struct Sleeper {
    address: usize,
    bits: u32,
    timed: bool,
    ended: Arc<Mutex<Option<Wake>>>,
    signal: Arc<Condvar>,
}

#[derive(Default)]
struct Table {
    sleepers: VecDeque<Sleeper>,
    expired: bool,
}

loom::lazy_static! {
    static ref TABLE: Mutex<Table> = Mutex::new(Table::default());
}

fn wait_while(address: usize, sleep: Sleep<'_>, unchanged: impl FnOnce() -> bool) -> Wake {
    let ended = Arc::new(Mutex::new(None));
    let signal = Arc::new(Condvar::new());
    {
        let mut table = TABLE.lock().unwrap();
        if !unchanged() {
            return Wake::Look;
        }
        let timed = sleep.deadline.is_some();
        if timed && table.expired {
            return Wake::TimedOut;
        }
        table.sleepers.push_back(Sleeper {
            address,
            bits: sleep.bits,
            timed,
            ended: Arc::clone(&ended),
            signal: Arc::clone(&signal),
        });
    }
    let mut guard = ended.lock().unwrap();
    loop {
        if let Some(wake) = *guard {
            return wake;
        }
        guard = signal.wait(guard).unwrap();
    }
}

fn end(sleeper: &Sleeper, wake: Wake) {
    *sleeper.ended.lock().unwrap() = Some(wake);
    sleeper.signal.notify_one();
}

/// Sleeps while `word` is `expected`.
pub fn wait(word: &AtomicU32, expected: u32, sleep: Sleep<'_>) -> Wake {
    wait_while(ptr::from_ref(word).addr(), sleep, || {
        word.load(Ordering::Relaxed) == expected
    })
}

/// Sleeps while the low half of `word` is `expected`.
pub fn wait_low(word: &AtomicU64, expected: u32, sleep: Sleep<'_>) -> Wake {
    wait_while(ptr::from_ref(word).addr(), sleep, || {
        word.load(Ordering::Relaxed) & u64::from(u32::MAX) == u64::from(expected)
    })
}

/// Wakes at most `count` of the threads that sleep at `word`, the oldest first.
pub fn wake(word: *const AtomicU32, count: u32, scope: Scope) -> u32 {
    wake_bits(word, count, ANY, scope)
}

/// Wakes at most `count` of the threads that sleep at `word` with one of `bits`.
pub fn wake_bits(word: *const AtomicU32, count: u32, bits: u32, _scope: Scope) -> u32 {
    let mut table = TABLE.lock().unwrap();
    let mut woken = 0;
    table.sleepers.retain(|sleeper| {
        let hit = woken < count && sleeper.address == word.addr() && sleeper.bits & bits != 0;
        if hit {
            woken += 1;
            end(sleeper, Wake::Look);
        }
        !hit
    });
    woken
}

/// Wakes at most `count` of the threads that sleep on the low half of `word`.
pub fn wake_low(word: *const AtomicU64, count: u32, scope: Scope) -> u32 {
    wake(word.cast(), count, scope)
}

/// Lets every deadline pass, now and from now on.
pub fn expire() {
    let mut table = TABLE.lock().unwrap();
    table.expired = true;
    table.sleepers.retain(|sleeper| {
        if sleeper.timed {
            end(sleeper, Wake::TimedOut);
        }
        !sleeper.timed
    });
}
