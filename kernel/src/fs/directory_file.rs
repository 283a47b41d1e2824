//! Open directories: their names, in an order that stays while they are read.
//!
//! The names are copied when reading starts, so offsets are stable (telldir(3)) whatever happens to
//! the directory meanwhile; going back to offset 0 (rewinddir(3)) takes a new copy.

use super::file::{DirEntry, File, Metadata};
use super::inode::{FileType, Inode};
use crate::libc::errno::Errno;
use alloc::sync::Arc;
use alloc::vec::Vec;
use smp::Mutex;

struct Entry {
    /// Where its name ends in `names`; it begins where the one before ends.
    name_end: usize,
    inode: u64,
    file_type: FileType,
}

#[derive(Default)]
struct Snapshot {
    names: Vec<u8>,
    entries: Vec<Entry>,
}

/// An open directory.
pub struct DirectoryFile {
    inode: Arc<dyn Inode>,
    snapshot: Mutex<Option<Snapshot>>,
}

impl DirectoryFile {
    /// Opens a directory.
    pub fn new(inode: Arc<dyn Inode>) -> Self {
        DirectoryFile {
            inode,
            snapshot: Mutex::new(None),
        }
    }

    fn take_snapshot(&self) -> Result<Snapshot, Errno> {
        let mut snapshot = Snapshot::default();
        let own = self.inode.metadata().inode;
        let up = self
            .inode
            .parent()
            .map_or(own, |parent| parent.metadata().inode);
        snapshot.push(b".", own, FileType::Directory);
        snapshot.push(b"..", up, FileType::Directory);
        self.inode
            .list(&mut |name, inode, file_type| snapshot.push(name, inode, file_type))?;
        Ok(snapshot)
    }
}

impl Snapshot {
    fn push(&mut self, name: &[u8], inode: u64, file_type: FileType) {
        self.names.extend_from_slice(name);
        self.entries.push(Entry {
            name_end: self.names.len(),
            inode,
            file_type,
        });
    }
}

impl File for DirectoryFile {
    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.inode.metadata())
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    fn read(
        &self,
        _to: &mut dyn super::io::Sink,
        _flags: super::file::OpenFlags,
    ) -> crate::libc::errno::SysResult {
        Err(Errno::EISDIR)
    }

    fn read_dir(&self, cursor: u64, emit: &mut dyn FnMut(DirEntry) -> bool) -> Result<(), Errno> {
        let mut slot = self.snapshot.lock();
        if cursor == 0 || slot.is_none() {
            *slot = Some(self.take_snapshot()?);
        }
        let Some(snapshot) = slot.as_ref() else {
            return Ok(());
        };
        let start = usize::try_from(cursor)
            .unwrap_or(usize::MAX)
            .min(snapshot.entries.len());
        let mut name_start = start
            .checked_sub(1)
            .map_or(0, |before| snapshot.entries[before].name_end);
        for (index, entry) in snapshot.entries.iter().enumerate().skip(start) {
            let is_taken = emit(DirEntry {
                name: &snapshot.names[name_start..entry.name_end],
                inode: entry.inode,
                mode: entry.file_type as u32,
                next: index as u64 + 1,
            });
            if !is_taken {
                break;
            }
            name_start = entry.name_end;
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), Errno> {
        Ok(())
    }
}
