//! Mutexes of every kind: normal, recursive, error-checking, and robust ones.
//!
//! A normal mutex is a bare [`lock`]. The others keep their owner in the word:
//!
//! ```text
//!   bit 31 WAITERS      somebody may be asleep
//!   bit 30 OWNER_DIED   the last owner ended while holding it (robust only)
//!   bits 0..30          the owner's thread id, 0 if free, GONE if beyond recovery
//! ```
//!
//! `kind`, `count` and the links belong to the owner; others only look at the word.

use core::ptr;

use crate::{
    error::Error,
    futex::{self, Scope, Sleep, Wake},
    lock,
    prim::{AtomicU32, Cell, Ordering},
    time::Deadline,
};

const WAITERS: u32 = 1 << 31;
const OWNER_DIED: u32 = 1 << 30;
const OWNER: u32 = OWNER_DIED - 1;
const GONE: u32 = OWNER;

/// What a relock by the owner does: `PTHREAD_MUTEX_NORMAL`, `_RECURSIVE`, `_ERRORCHECK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relock {
    /// It waits for ever (a robust mutex reports it instead).
    Deadlocks,
    /// It counts.
    Counts,
    /// It fails.
    Fails,
}

/// A mutex's attributes, in the bits of `pthread_mutexattr_t`; all zero is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Kind(pub u32);

impl Kind {
    const RELOCK: u32 = 3;
    const ROBUST: u32 = 4;
    const SHARED: u32 = 128;

    /// Returns this kind with the `PTHREAD_MUTEX_*` type `number`.
    ///
    /// # Errors
    ///
    /// `Invalid` if POSIX knows no such type.
    pub fn with_type(self, number: u32) -> Result<Self, Error> {
        if number > 2 {
            Err(Error::Invalid)
        } else {
            Ok(Self(self.0 & !Self::RELOCK | number))
        }
    }

    /// Returns this kind, robust or not.
    #[must_use]
    pub fn with_robust(self, robust: bool) -> Self {
        Self(self.0 & !Self::ROBUST | if robust { Self::ROBUST } else { 0 })
    }

    /// Returns this kind, shared between processes or not.
    #[must_use]
    pub fn with_shared(self, shared: bool) -> Self {
        Self(self.0 & !Self::SHARED | if shared { Self::SHARED } else { 0 })
    }

    /// Returns what a relock does.
    #[must_use]
    pub fn relock(self) -> Relock {
        match self.0 & Self::RELOCK {
            1 => Relock::Counts,
            2 => Relock::Fails,
            _ => Relock::Deadlocks,
        }
    }

    /// Returns the `PTHREAD_MUTEX_*` type.
    #[must_use]
    pub fn type_number(self) -> u32 {
        self.0 & Self::RELOCK
    }

    /// Tells whether the death of the owner is reported.
    #[must_use]
    pub fn is_robust(self) -> bool {
        self.0 & Self::ROBUST != 0
    }

    /// Returns whom the mutex is shared with.
    #[must_use]
    pub fn scope(self) -> Scope {
        if self.0 & Self::SHARED == 0 {
            Scope::Private
        } else {
            Scope::Shared
        }
    }

    /// Tells whether the word says no more than held or free.
    fn is_plain(self) -> bool {
        self.0 & (Self::RELOCK | Self::ROBUST) == 0
    }
}

/// The robust mutexes that a thread holds, newest first. Only that thread touches it.
#[repr(C)]
pub struct HeldRobust {
    // musl's __init_tp points the first thread's head at itself; so do we for the end.
    head: Cell<*const Mutex>,
}

impl HeldRobust {
    /// Returns an empty list.
    #[cfg(any(test, loom))]
    #[must_use]
    pub fn new() -> Self {
        Self {
            head: Cell::new(ptr::null()),
        }
    }

    fn first(&self) -> *const Mutex {
        let head = self.head.get();
        if ptr::addr_eq(head, ptr::from_ref(self)) {
            ptr::null()
        } else {
            head
        }
    }

    fn push(&self, mutex: &Mutex) {
        let next = self.first();
        mutex.previous.set(ptr::null());
        mutex.next.set(next);
        // SAFETY: mutexes on the list are held by this thread, so nobody may have
        // destroyed or freed them.
        if let Some(next) = unsafe { next.as_ref() } {
            next.previous.set(mutex);
        }
        self.head.set(mutex);
    }

    fn remove(&self, mutex: &Mutex) {
        let (previous, next) = (mutex.previous.get(), mutex.next.get());
        // SAFETY: as in `push`.
        match unsafe { previous.as_ref() } {
            Some(previous) => previous.next.set(next),
            None => self.head.set(next),
        }
        // SAFETY: as in `push`.
        if let Some(next) = unsafe { next.as_ref() } {
            next.previous.set(previous);
        }
    }

    /// Gives up every mutex on the list as its owner ends: the next holder learns of it.
    pub fn abandon_all(&self) {
        while let mutex = self.first()
            // SAFETY: as in `push`; the mutex leaves the list before it is given up.
            && let Some(mutex) = unsafe { mutex.as_ref() }
        {
            self.remove(mutex);
            mutex.abandon();
        }
    }
}

#[cfg(any(test, loom))]
impl Default for HeldRobust {
    fn default() -> Self {
        Self::new()
    }
}

/// The calling thread, as a mutex needs to know it.
#[derive(Clone, Copy)]
pub struct Me<'a> {
    /// Its id, not 0 and below 2^30 - 1.
    pub tid: u32,
    /// The robust mutexes it holds.
    pub robust: &'a HeldRobust,
}

/// `pthread_mutex_t`; all zero is a free mutex of the default kind.
#[repr(C, align(8))]
pub struct Mutex {
    kind: Kind,
    word: AtomicU32,
    count: Cell<u32>,
    _unused: [u32; 3],
    previous: Cell<*const Mutex>,
    next: Cell<*const Mutex>,
}

// SAFETY: `count` and the links are touched by the thread that the word names as owner,
// and ownership passes with Acquire and Release on the word.
unsafe impl Sync for Mutex {}
// SAFETY: nothing in a mutex that is not held belongs to a thread.
unsafe impl Send for Mutex {}

impl Mutex {
    /// Returns a free mutex.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            word: AtomicU32::new(lock::FREE),
            count: Cell::new(0),
            _unused: [0; 3],
            previous: Cell::new(ptr::null()),
            next: Cell::new(ptr::null()),
        }
    }

    /// Returns what the mutex was made as.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Tells whether some thread holds the mutex.
    #[must_use]
    pub fn is_held(&self) -> bool {
        let value = self.word.load(Ordering::Relaxed);
        if self.kind.is_plain() {
            value != lock::FREE
        } else {
            !matches!(value & OWNER, 0 | GONE)
        }
    }

    /// Tells whether `me` may wait on a condition with this mutex; a plain one cannot know.
    #[must_use]
    pub fn may_be_held_by(&self, me: Me<'_>) -> bool {
        self.kind.is_plain() || self.word.load(Ordering::Relaxed) & OWNER == me.tid
    }

    /// Takes the mutex, asleep until it is free or `deadline` has passed.
    ///
    /// # Errors
    ///
    /// `Deadlock`, `Exhausted` (the count), `TimedOut`, `Invalid` (the deadline),
    /// `NotRecoverable`; with `OwnerDied` the mutex is taken all the same.
    pub fn lock(&self, me: Me<'_>, deadline: Option<&Deadline>) -> Result<(), Error> {
        if self.kind.is_plain() {
            return lock::lock(&self.word, deadline, self.kind.scope());
        }
        match self.try_lock_owned(me) {
            Err(Error::Busy) => self.lock_owned(me, deadline),
            other => other,
        }
    }

    /// Takes the mutex if that needs no waiting.
    ///
    /// # Errors
    ///
    /// `Busy`, `Exhausted` (the count), `NotRecoverable`; with `OwnerDied` the mutex is
    /// taken all the same.
    pub fn try_lock(&self, me: Me<'_>) -> Result<(), Error> {
        if self.kind.is_plain() {
            return if lock::try_lock(&self.word) {
                Ok(())
            } else {
                Err(Error::Busy)
            };
        }
        self.try_lock_owned(me)
    }

    fn try_lock_owned(&self, me: Me<'_>) -> Result<(), Error> {
        loop {
            let value = self.word.load(Ordering::Relaxed);
            match value & OWNER {
                0 => {
                    if self.take(value, me.tid | value & !OWNER) {
                        return self.taken(value, me);
                    }
                }
                GONE if self.kind.is_robust() => return Err(Error::NotRecoverable),
                owner if owner == me.tid && self.kind.relock() == Relock::Counts => {
                    let count = self.count.get().checked_add(1).ok_or(Error::Exhausted)?;
                    self.count.set(count);
                    return Ok(());
                }
                _ => return Err(Error::Busy),
            }
        }
    }

    #[cold]
    fn lock_owned(&self, me: Me<'_>, deadline: Option<&Deadline>) -> Result<(), Error> {
        loop {
            let value = self.word.load(Ordering::Relaxed);
            match value & OWNER {
                // WAITERS, as others may sleep on after this thread was woken.
                0 => {
                    if self.take(value, me.tid | WAITERS | value & OWNER_DIED) {
                        return self.taken(value, me);
                    }
                    continue;
                }
                GONE if self.kind.is_robust() => return Err(Error::NotRecoverable),
                owner
                    if owner == me.tid
                        && (self.kind.is_robust() || self.kind.relock() == Relock::Fails) =>
                {
                    return Err(Error::Deadlock);
                }
                _ => {}
            }
            let waited = value | WAITERS;
            // Relaxed: the futex compares again, and the owner's unlock is one exchange.
            if value != waited
                && self
                    .word
                    .compare_exchange(value, waited, Ordering::Relaxed, Ordering::Relaxed)
                    .is_err()
            {
                continue;
            }
            match futex::wait(&self.word, waited, Sleep::new(deadline, self.kind.scope())) {
                Wake::Look | Wake::Interrupted => {}
                Wake::TimedOut => return Err(Error::TimedOut),
                Wake::Invalid => return Err(Error::Invalid),
            }
        }
    }

    fn take(&self, value: u32, new: u32) -> bool {
        // Acquire: sees what the last owner wrote before its Release in `release`.
        self.word
            .compare_exchange(value, new, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Books the mutex that this thread just took from the state `before`.
    fn taken(&self, before: u32, me: Me<'_>) -> Result<(), Error> {
        self.count.set(0);
        if !self.kind.is_robust() {
            return Ok(());
        }
        me.robust.push(self);
        if before & OWNER_DIED == 0 {
            Ok(())
        } else {
            Err(Error::OwnerDied)
        }
    }

    /// Gives the mutex back.
    ///
    /// # Errors
    ///
    /// `NotOwner`, except for a plain mutex, which cannot know.
    pub fn unlock(&self, me: Me<'_>) -> Result<(), Error> {
        let kind = self.kind;
        if kind.is_plain() {
            lock::unlock(&self.word, kind.scope());
            return Ok(());
        }
        let value = self.word.load(Ordering::Relaxed);
        if value & OWNER != me.tid {
            return Err(Error::NotOwner);
        }
        if self.count.get() > 0 {
            self.count.set(self.count.get() - 1);
            return Ok(());
        }
        if kind.is_robust() {
            me.robust.remove(self);
        }
        // Nobody called `make_consistent` after the last owner's death.
        if value & OWNER_DIED != 0 {
            self.release(GONE, futex::ALL)
        } else {
            self.release(0, 1)
        }
        Ok(())
    }

    fn release(&self, new: u32, wake: u32) {
        // Read before the exchange: after it the mutex may be destroyed and freed.
        let (address, scope) = (ptr::from_ref(&self.word), self.kind.scope());
        // Release: the next owner sees what this one wrote.
        if self.word.swap(new, Ordering::Release) & WAITERS != 0 {
            futex::wake(address, wake, scope);
        }
    }

    /// Gives up a robust mutex whose owner ends.
    fn abandon(&self) {
        self.release(OWNER_DIED, 1);
    }

    /// Declares that the data a dead owner left is in order again.
    ///
    /// # Errors
    ///
    /// `Invalid` unless the mutex is robust and its last owner died, `NotOwner` if
    /// another thread holds it.
    pub fn make_consistent(&self, me: Me<'_>) -> Result<(), Error> {
        let value = self.word.load(Ordering::Relaxed);
        if !self.kind.is_robust() || value & OWNER_DIED == 0 {
            return Err(Error::Invalid);
        }
        if value & OWNER != me.tid {
            return Err(Error::NotOwner);
        }
        // Relaxed: only waiters look at the word meanwhile, and only at their own bit.
        self.word.fetch_and(!OWNER_DIED, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(not(loom))]
const _: () = assert!(
    size_of::<Mutex>() == 40 && align_of::<Mutex>() == 8,
    "musl's pthread_mutex_t"
);
