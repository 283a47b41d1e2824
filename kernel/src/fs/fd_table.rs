//! File descriptors: small numbers for open files. There is one process, hence one table.

use super::description::Description;
use crate::libc::errno::Errno;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};
use smp::SpinLock;

/// The table of the process.
pub static FILES: FdTable = FdTable::new();

/// `RLIMIT_NOFILE` at start: the number of descriptors, soft and hard.
pub const DEFAULT_LIMIT: usize = 1024;
/// The most that the limit can be raised to.
pub const MAX_LIMIT: usize = 65536;

#[derive(Clone)]
struct Slot {
    description: Arc<Description>,
    is_cloexec: bool,
}

struct Slots {
    slots: Vec<Option<Slot>>,
    /// No slot below this one is free.
    first_free: usize,
}

/// Descriptors and what they refer to.
pub struct FdTable {
    /// Nothing is dropped while it is held: closing a file may wait.
    slots: SpinLock<Slots>,
    limit: AtomicUsize,
}

impl Slots {
    fn find_free(&self, from: usize) -> usize {
        let start = from.max(self.first_free);
        let tail = self.slots.get(start..).unwrap_or_default();
        match tail.iter().position(Option::is_none) {
            Some(index) => start + index,
            None => start + tail.len(),
        }
    }

    fn put(&mut self, fd: usize, slot: Slot) -> Option<Slot> {
        if fd >= self.slots.len() {
            self.slots.resize(fd + 1, None);
        }
        let old = self.slots[fd].replace(slot);
        if fd == self.first_free {
            self.first_free = fd + 1;
        }
        old
    }

    fn take(&mut self, fd: usize) -> Option<Slot> {
        let slot = self.slots.get_mut(fd)?.take()?;
        self.first_free = self.first_free.min(fd);
        Some(slot)
    }
}

impl FdTable {
    /// Makes an empty table.
    pub const fn new() -> Self {
        FdTable {
            slots: SpinLock::new(Slots {
                slots: Vec::new(),
                first_free: 0,
            }),
            limit: AtomicUsize::new(DEFAULT_LIMIT),
        }
    }

    /// Returns the open file of a descriptor, also one opened with O_PATH.
    pub fn get_any(&self, fd: usize) -> Result<Arc<Description>, Errno> {
        let slots = self.slots.lock();
        match slots.slots.get(fd_index(fd)?) {
            Some(Some(slot)) => Ok(slot.description.clone()),
            _ => Err(Errno::EBADF),
        }
    }

    /// Returns the open file of a descriptor; EBADF for O_PATH, which cannot be read, written or changed.
    pub fn get(&self, fd: usize) -> Result<Arc<Description>, Errno> {
        let description = self.get_any(fd)?;
        if description.is_path_only() {
            Err(Errno::EBADF)
        } else {
            Ok(description)
        }
    }

    /// Gives the lowest free descriptor not below `from` to an open file.
    pub fn insert(
        &self,
        description: Arc<Description>,
        is_cloexec: bool,
        from: usize,
    ) -> Result<usize, Errno> {
        let mut slots = self.slots.lock();
        let fd = slots.find_free(from);
        if fd >= self.limit() {
            drop(slots);
            return Err(Errno::EMFILE);
        }
        slots.put(
            fd,
            Slot {
                description,
                is_cloexec,
            },
        );
        Ok(fd)
    }

    /// Opens two at once, or none (pipe(2), socketpair(2)).
    pub fn insert_pair(
        &self,
        pair: [Arc<Description>; 2],
        is_cloexec: bool,
    ) -> Result<[usize; 2], Errno> {
        let [first, second] = pair;
        let a = self.insert(first, is_cloexec, 0)?;
        match self.insert(second, is_cloexec, 0) {
            Ok(b) => Ok([a, b]),
            Err(errno) => {
                let _ = self.close(a);
                Err(errno)
            }
        }
    }

    /// Makes `fd` refer to an open file; what it referred to before is closed (dup2(2)).
    pub fn replace(
        &self,
        fd: usize,
        description: Arc<Description>,
        is_cloexec: bool,
    ) -> Result<usize, Errno> {
        let index = fd_index(fd)?;
        if index >= self.limit() {
            return Err(Errno::EBADF);
        }
        let old = self.slots.lock().put(
            index,
            Slot {
                description,
                is_cloexec,
            },
        );
        finish_close(old);
        Ok(index)
    }

    /// Gives a descriptor up (close(2)).
    pub fn close(&self, fd: usize) -> Result<(), Errno> {
        let index = fd_index(fd)?;
        let old = self.slots.lock().take(index);
        if old.is_none() {
            return Err(Errno::EBADF);
        }
        finish_close(old);
        Ok(())
    }

    /// Tells whether execve(2) would close it.
    pub fn is_cloexec(&self, fd: usize) -> Result<bool, Errno> {
        let slots = self.slots.lock();
        match slots.slots.get(fd_index(fd)?) {
            Some(Some(slot)) => Ok(slot.is_cloexec),
            _ => Err(Errno::EBADF),
        }
    }

    /// Sets whether execve(2) would close it.
    pub fn set_cloexec(&self, fd: usize, is_cloexec: bool) -> Result<(), Errno> {
        let index = fd_index(fd)?;
        match self.slots.lock().slots.get_mut(index) {
            Some(Some(slot)) => {
                slot.is_cloexec = is_cloexec;
                Ok(())
            }
            _ => Err(Errno::EBADF),
        }
    }

    /// Returns the open descriptors in order.
    pub fn collect_open(&self) -> Vec<usize> {
        let slots = self.slots.lock();
        let is_open = |(fd, slot): (usize, &Option<Slot>)| slot.as_ref().map(|_| fd);
        slots.slots.iter().enumerate().filter_map(is_open).collect()
    }

    /// Returns one more than the highest descriptor in use.
    pub fn len(&self) -> usize {
        self.slots.lock().slots.len()
    }

    /// Tells whether no descriptor was ever used.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the soft limit: descriptors are below it.
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// Sets the soft limit (setrlimit(2)); descriptors above it stay open.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit.min(MAX_LIMIT), Ordering::Relaxed);
    }
}

impl Default for FdTable {
    fn default() -> Self {
        Self::new()
    }
}

/// C passes an `int` in a register; its upper half means nothing.
fn fd_index(fd: usize) -> Result<usize, Errno> {
    usize::try_from(fd as i32).map_err(|_| Errno::EBADF)
}

/// Ends what a descriptor referred to, outside the table's lock.
fn finish_close(slot: Option<Slot>) {
    if let Some(slot) = slot {
        slot.description.descriptor_closed();
    }
}
