//! Locks on files: whole ones of flock(2), and ranges of fcntl(2).
//!
//! Locks of the process (F_SETLK) never conflict with each other: there is one process. Those of
//! an open file (F_OFD_SETLK, flock) do conflict with those of another open file, and range locks of
//! the process with range locks of an open file. Whole-file and range locks ignore each other.

use crate::libc::errno::Errno;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use smp::{Mutex, WaitQueue};

/// The file that a lock is on: its device and inode number.
pub type FileId = (u64, u64);

/// Who holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The process (record locks of POSIX).
    Process,
    /// An open file, by the address of its description: range locks.
    OpenFile(usize),
    /// An open file: the lock of flock(2).
    Whole(usize),
}

impl Owner {
    /// Tells whether locks of the two can conflict.
    fn may_conflict(self, other: Owner) -> bool {
        self != other && matches!(self, Owner::Whole(_)) == matches!(other, Owner::Whole(_))
    }
}

/// A lock on the bytes `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Who holds it.
    pub owner: Owner,
    /// Nobody else may hold even a shared one there.
    pub is_exclusive: bool,
    /// First byte.
    pub start: u64,
    /// First byte behind it; `u64::MAX`: to the end of the file, however long it grows.
    pub end: u64,
}

impl Lock {
    fn conflicts(&self, other: &Lock) -> bool {
        self.owner.may_conflict(other.owner)
            && (self.is_exclusive || other.is_exclusive)
            && self.start < other.end
            && other.start < self.end
    }
}

/// The locks of all files; a file without any has no entry.
pub struct LockTable {
    files: Mutex<BTreeMap<FileId, Vec<Lock>>>,
    released: WaitQueue,
}

/// The locks of the process.
pub static LOCKS: LockTable = LockTable::new();

impl LockTable {
    /// Makes a table without locks.
    pub const fn new() -> Self {
        LockTable {
            files: Mutex::new(BTreeMap::new()),
            released: WaitQueue::new(),
        }
    }

    /// Returns a lock that stands in the way of `wanted` (F_GETLK).
    pub fn find_conflict(&self, file: FileId, wanted: &Lock) -> Option<Lock> {
        let files = self.files.lock();
        files
            .get(&file)?
            .iter()
            .find(|held| held.conflicts(wanted))
            .copied()
    }

    /// Takes a lock, in the place of what its owner holds there; `EAGAIN` if somebody is in the way
    /// and `waits` is false. An interrupted wait is `RESTART`.
    pub fn lock(&self, file: FileId, wanted: Lock, waits: bool) -> Result<(), Errno> {
        let attempt = || {
            let mut files = self.files.lock();
            let held = files.entry(file).or_default();
            if held.iter().any(|lock| lock.conflicts(&wanted)) {
                return None;
            }
            cut(held, &wanted);
            held.push(wanted);
            Some(())
        };
        if waits {
            self.released
                .wait(None, true, attempt)
                .map_err(|_| Errno::RESTART)?;
        } else {
            attempt().ok_or(Errno::EAGAIN)?;
        }
        // A lock that became shared may let others in.
        self.released.wake_all();
        Ok(())
    }

    /// Gives up what `range.owner` holds in a range.
    pub fn unlock(&self, file: FileId, range: &Lock) {
        {
            let mut files = self.files.lock();
            let Some(held) = files.get_mut(&file) else {
                return;
            };
            cut(held, range);
            if held.is_empty() {
                files.remove(&file);
            }
        }
        self.released.wake_all();
    }

    /// Gives up all that an owner holds on a file.
    pub fn unlock_all(&self, file: FileId, owner: Owner) {
        self.unlock(
            file,
            &Lock {
                owner,
                is_exclusive: false,
                start: 0,
                end: u64::MAX,
            },
        );
    }
}

impl Default for LockTable {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes a range out of the locks of its owner.
fn cut(held: &mut Vec<Lock>, range: &Lock) {
    let mut rest = Vec::new();
    held.retain(|lock| {
        if lock.owner != range.owner || lock.end <= range.start || range.end <= lock.start {
            return true;
        }
        if lock.start < range.start {
            rest.push(Lock {
                end: range.start,
                ..*lock
            });
        }
        if range.end < lock.end {
            rest.push(Lock {
                start: range.end,
                ..*lock
            });
        }
        false
    });
    held.append(&mut rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: FileId = (1, 1);

    fn lock(owner: Owner, is_exclusive: bool, start: u64, end: u64) -> Lock {
        Lock {
            owner,
            is_exclusive,
            start,
            end,
        }
    }

    #[test]
    fn open_files_exclude_each_other_and_the_process_never_itself() {
        let table = LockTable::new();
        let (a, b) = (Owner::OpenFile(1), Owner::OpenFile(2));
        assert_eq!(table.lock(FILE, lock(a, true, 0, 10), false), Ok(()));
        assert_eq!(
            table.lock(FILE, lock(b, false, 5, 6), false),
            Err(Errno::EAGAIN)
        );
        assert_eq!(table.lock(FILE, lock(b, true, 10, 20), false), Ok(()));
        assert_eq!(
            table.lock(FILE, lock(Owner::Process, true, 0, 1), false),
            Err(Errno::EAGAIN)
        );
        assert_eq!(
            table.lock(FILE, lock(Owner::Process, true, 30, 40), false),
            Ok(())
        );
        assert_eq!(
            table.lock(FILE, lock(Owner::Process, true, 35, 50), false),
            Ok(())
        );
        assert_eq!(
            table.lock(FILE, lock(Owner::Whole(3), true, 0, u64::MAX), false),
            Ok(())
        );
        assert_eq!(
            table.lock(FILE, lock(Owner::Whole(4), false, 0, u64::MAX), false),
            Err(Errno::EAGAIN)
        );
    }

    #[test]
    fn unlocking_the_middle_leaves_both_sides() {
        let table = LockTable::new();
        let (a, b) = (Owner::OpenFile(1), Owner::OpenFile(2));
        table.lock(FILE, lock(a, true, 0, 30), false).unwrap();
        table.unlock(FILE, &lock(a, false, 10, 20));
        assert_eq!(table.lock(FILE, lock(b, true, 10, 20), false), Ok(()));
        assert_eq!(
            table.lock(FILE, lock(b, true, 9, 10), false),
            Err(Errno::EAGAIN)
        );
        assert_eq!(
            table.lock(FILE, lock(b, true, 20, 21), false),
            Err(Errno::EAGAIN)
        );
        table.unlock_all(FILE, a);
        assert_eq!(table.find_conflict(FILE, &lock(b, true, 0, 40)), None);
    }
}
