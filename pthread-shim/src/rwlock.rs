//! Read-write locks that let readers in whenever no writer holds them, so that a thread may
//! read-lock again what it has read-locked.
//!
//! ```text
//!   bit 31 WRITERS     a writer may be asleep
//!   bit 30 READERS     a reader may be asleep; only while a writer holds the lock
//!   bits 0..30         how many readers hold it, or WRITER
//! ```
//!
//! Both kinds sleep on this word, told apart by futex bits. The thread that gives the lock
//! back touches it once; a writer that was woken puts WRITERS back, since others may sleep
//! on.

use core::ptr;

use crate::{
    error::Error,
    futex::{self, Scope, Sleep, Wake},
    prim::{AtomicU32, Ordering},
    time::Deadline,
};

const WRITERS: u32 = 1 << 31;
const READERS: u32 = 1 << 30;
const HOLDERS: u32 = READERS - 1;
const WRITER: u32 = HOLDERS;

const WAKE_READERS: u32 = 1;
const WAKE_WRITERS: u32 = 2;

/// `pthread_rwlock_t`; all zero is a free, private lock.
#[repr(C, align(8))]
pub struct RwLock {
    word: AtomicU32,
    /// The thread that holds the lock for writing, if any, for reporting deadlock.
    writer: AtomicU32,
    is_shared: u32,
    _unused: [u32; 11],
}

impl RwLock {
    /// Returns a free lock.
    #[must_use]
    pub fn new(scope: Scope) -> Self {
        Self {
            word: AtomicU32::new(0),
            writer: AtomicU32::new(0),
            is_shared: u32::from(scope == Scope::Shared),
            _unused: [0; 11],
        }
    }

    fn scope(&self) -> Scope {
        if self.is_shared == 0 {
            Scope::Private
        } else {
            Scope::Shared
        }
    }

    /// Tells whether some thread holds the lock.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.word.load(Ordering::Relaxed) & HOLDERS != 0
    }

    /// Takes the lock for reading, if that needs no waiting.
    ///
    /// # Errors
    ///
    /// `Busy`, or `Exhausted` if too many readers hold it.
    pub fn try_read(&self) -> Result<(), Error> {
        let mut value = self.word.load(Ordering::Relaxed);
        loop {
            match value & HOLDERS {
                WRITER => return Err(Error::Busy),
                holders if holders == WRITER - 1 => return Err(Error::Exhausted),
                _ => {}
            }
            // Acquire: sees what the last writer wrote before its Release in `unlock`.
            match self.word.compare_exchange_weak(
                value,
                value + 1,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(current) => value = current,
            }
        }
    }

    /// Takes the lock for reading, asleep while a writer holds it.
    ///
    /// # Errors
    ///
    /// `Deadlock` if thread `tid`, the caller, holds it for writing; `Exhausted`,
    /// `TimedOut`, `Invalid` (the deadline).
    pub fn read(&self, tid: u32, deadline: Option<&Deadline>) -> Result<(), Error> {
        loop {
            match self.try_read() {
                Err(Error::Busy) => {}
                other => return other,
            }
            self.refuse_writer(tid)?;
            let value = self.word.load(Ordering::Relaxed);
            if value & HOLDERS == WRITER {
                self.sleep(value, READERS, WAKE_READERS, deadline)?;
            }
        }
    }

    /// Takes the lock for writing, if that needs no waiting.
    ///
    /// # Errors
    ///
    /// `Busy`.
    pub fn try_write(&self, tid: u32) -> Result<(), Error> {
        self.take_for_writing(tid, 0)
    }

    fn take_for_writing(&self, tid: u32, waiters: u32) -> Result<(), Error> {
        let mut value = self.word.load(Ordering::Relaxed);
        while value & HOLDERS == 0 {
            // Acquire: sees what the last holders did before their Release in `unlock`.
            let new = value | WRITER | waiters;
            match self
                .word
                .compare_exchange_weak(value, new, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => {
                    // Relaxed: only this thread ever finds its own id in it.
                    self.writer.store(tid, Ordering::Relaxed);
                    return Ok(());
                }
                Err(current) => value = current,
            }
        }
        Err(Error::Busy)
    }

    /// Takes the lock for writing, asleep while anybody holds it.
    ///
    /// # Errors
    ///
    /// `Deadlock` if thread `tid`, the caller, holds it for writing; `TimedOut`,
    /// `Invalid` (the deadline).
    pub fn write(&self, tid: u32, deadline: Option<&Deadline>) -> Result<(), Error> {
        let mut waiters = 0;
        while self.take_for_writing(tid, waiters).is_err() {
            self.refuse_writer(tid)?;
            let value = self.word.load(Ordering::Relaxed);
            if value & HOLDERS != 0 {
                self.sleep(value, WRITERS, WAKE_WRITERS, deadline)?;
                waiters = WRITERS;
            }
        }
        Ok(())
    }

    fn refuse_writer(&self, tid: u32) -> Result<(), Error> {
        if self.writer.load(Ordering::Relaxed) == tid {
            Err(Error::Deadlock)
        } else {
            Ok(())
        }
    }

    /// Sleeps once while the word is `value` and announces it there as `flag`.
    fn sleep(
        &self,
        value: u32,
        flag: u32,
        bits: u32,
        deadline: Option<&Deadline>,
    ) -> Result<(), Error> {
        let waited = value | flag;
        // Relaxed: the futex compares again, and giving back is one exchange.
        if value != waited
            && self
                .word
                .compare_exchange(value, waited, Ordering::Relaxed, Ordering::Relaxed)
                .is_err()
        {
            return Ok(());
        }
        match futex::wait(
            &self.word,
            waited,
            Sleep {
                bits,
                ..Sleep::new(deadline, self.scope())
            },
        ) {
            Wake::Look | Wake::Interrupted => Ok(()),
            Wake::TimedOut => Err(Error::TimedOut),
            Wake::Invalid => Err(Error::Invalid),
        }
    }

    /// Gives the lock back, whichever way thread `tid`, the caller, holds it.
    ///
    /// # Errors
    ///
    /// `NotOwner` if nobody holds it, or another thread for writing.
    pub fn unlock(&self, tid: u32) -> Result<(), Error> {
        let (word, scope) = (ptr::from_ref(&self.word), self.scope());
        let mut value = self.word.load(Ordering::Relaxed);
        match value & HOLDERS {
            0 => return Err(Error::NotOwner),
            WRITER => {
                if self.writer.load(Ordering::Relaxed) != tid {
                    return Err(Error::NotOwner);
                }
                self.writer.store(0, Ordering::Relaxed);
            }
            _ => {}
        }
        loop {
            let holders = value & HOLDERS;
            let new = match holders {
                // Readers go first; then the word still has to name the writers.
                WRITER if value & READERS != 0 => value & WRITERS,
                WRITER | 1 => 0,
                _ => value - 1,
            };
            // Release: the next holder sees what this one did. After it, others may free
            // the lock: from here on it is an address.
            match self
                .word
                .compare_exchange_weak(value, new, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) if new & HOLDERS != 0 => return Ok(()),
                Ok(_) => break,
                Err(current) => value = current,
            }
        }
        // READERS may be stale, its readers timed out: then nobody would wake the writers.
        let readers = if value & READERS == 0 {
            0
        } else {
            futex::wake_bits(word, futex::ALL, WAKE_READERS, scope)
        };
        if readers == 0 && value & WRITERS != 0 {
            futex::wake_bits(word, 1, WAKE_WRITERS, scope);
        }
        Ok(())
    }
}

#[cfg(not(loom))]
const _: () = assert!(
    size_of::<RwLock>() == 56 && align_of::<RwLock>() == 8,
    "musl's pthread_rwlock_t"
);
