//! The open file description (open(2)): one file as one `open` made it, shared by all
//! descriptors that were duplicated from that one.

use super::file::{File, OpenFlags, PollEvents};
use super::inode::Inode;
use super::io::{Sink, Source};
use super::locks::{LOCKS, Owner};
use crate::libc::errno::{Errno, SysResult};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use linux_raw_sys::general as raw;
use smp::Mutex;

/// The highest offset that C's `off_t` can hold.
pub const MAX_OFFSET: u64 = i64::MAX as u64;

/// The process has ever taken a record lock.
static HAS_PROCESS_LOCKS: AtomicBool = AtomicBool::new(false);

/// Fails for a transfer that would end past what `off_t` can say.
fn check_range(offset: u64, len: usize) -> Result<(), Errno> {
    let end = offset.checked_add(len as u64);
    if end.is_some_and(|end| end <= MAX_OFFSET) {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

/// Where a file was found when it was opened, for `/proc/self/fd`.
pub struct Place {
    /// The directory.
    pub directory: Arc<dyn Inode>,
    /// The name in it.
    pub name: Vec<u8>,
}

/// An open file.
pub struct Description {
    file: Arc<dyn File>,
    flags: AtomicU32,
    /// Held over each read and write that uses it, so that two threads which share the
    /// descriptor never get the same bytes (POSIX.1-2024, 2.9.7).
    offset: Mutex<u64>,
    place: Option<Place>,
    /// Some lock of this open file, or of the process through it, may be in the lock table.
    has_locks: AtomicBool,
}

impl Drop for Description {
    fn drop(&mut self) {
        if self.has_locks.load(Ordering::Relaxed)
            && let Ok(metadata) = self.file.metadata()
        {
            let file = (metadata.device, metadata.inode);
            let address = core::ptr::from_ref(self).addr();
            LOCKS.unlock_all(file, Owner::OpenFile(address));
            LOCKS.unlock_all(file, Owner::Whole(address));
        }
    }
}

impl Description {
    /// Opens `file`; `flags` lose those that only matter while opening.
    pub fn new(file: Arc<dyn File>, flags: OpenFlags) -> Arc<Self> {
        Self::at_place(file, flags, None)
    }

    /// Like `new`, and remembers where the file was found.
    pub fn at_place(file: Arc<dyn File>, flags: OpenFlags, place: Option<Place>) -> Arc<Self> {
        let flags = AtomicU32::new((flags & OpenFlags::STATUS).bits());
        Arc::new(Description {
            file,
            flags,
            offset: Mutex::new(0),
            place,
            has_locks: AtomicBool::new(false),
        })
    }

    /// Returns the file.
    pub fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// Returns the flags as F_GETFL shows them.
    pub fn flags(&self) -> OpenFlags {
        OpenFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// Changes those flags that F_SETFL may change.
    pub fn set_flags(&self, flags: OpenFlags) {
        let wanted = (flags & OpenFlags::SETTABLE).bits();
        let keep = !OpenFlags::SETTABLE.bits();
        let _ = self
            .flags
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| {
                Some(old & keep | wanted)
            });
    }

    /// Switches `O_NONBLOCK` (ioctl FIONBIO).
    pub fn set_nonblocking(&self, is_on: bool) {
        let bit = OpenFlags::NONBLOCK.bits();
        if is_on {
            self.flags.fetch_or(bit, Ordering::Relaxed);
        } else {
            self.flags.fetch_and(!bit, Ordering::Relaxed);
        }
    }

    /// Returns where the file was found.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Tells whether it is a handle on a path only (O_PATH).
    pub fn is_path_only(&self) -> bool {
        self.flags().contains(OpenFlags::PATH)
    }

    /// Notes that a lock is about to be taken, so that closing gives it up.
    pub fn note_lock(&self, owner: Owner) {
        self.has_locks.store(true, Ordering::Relaxed);
        if owner == Owner::Process {
            HAS_PROCESS_LOCKS.store(true, Ordering::Relaxed);
        }
    }

    /// Runs at each close of a descriptor: the process loses its record locks on the file then,
    /// also those that it took through another descriptor (fcntl(2)).
    pub fn descriptor_closed(&self) {
        if HAS_PROCESS_LOCKS.load(Ordering::Relaxed)
            && let Ok(metadata) = self.file.metadata()
        {
            LOCKS.unlock_all((metadata.device, metadata.inode), Owner::Process);
        }
        self.file.closed();
    }

    fn check_readable(&self) -> Result<OpenFlags, Errno> {
        let flags = self.flags();
        if flags.is_readable() {
            Ok(flags)
        } else {
            Err(Errno::EBADF)
        }
    }

    fn check_writable(&self) -> Result<OpenFlags, Errno> {
        let flags = self.flags();
        if flags.is_writable() {
            Ok(flags)
        } else {
            Err(Errno::EBADF)
        }
    }

    /// Reads from the offset on, and moves it (read(2)).
    pub fn read(&self, to: &mut dyn Sink) -> SysResult {
        let flags = self.check_readable()?;
        if !self.file.is_seekable() {
            return self.file.read(to, flags);
        }
        let mut offset = self.offset.lock();
        check_range(*offset, to.remaining())?;
        let count = self.file.read_at(*offset, to)?;
        *offset += count as u64;
        Ok(count)
    }

    /// Writes at the offset, or at the end with O_APPEND, and moves the offset (write(2)).
    pub fn write(&self, from: &mut dyn Source) -> SysResult {
        let flags = self.check_writable()?;
        if !self.file.is_seekable() {
            return self.file.write(from, flags);
        }
        let mut offset = self.offset.lock();
        check_range(*offset, from.remaining())?;
        if flags.contains(OpenFlags::APPEND) {
            let (count, end) = self.file.append(from)?;
            *offset = end;
            return Ok(count);
        }
        let count = self.file.write_at(*offset, from)?;
        *offset += count as u64;
        Ok(count)
    }

    /// Writes at the end whatever the flags say, and moves the offset there (pwritev2(2) RWF_APPEND).
    pub fn append(&self, from: &mut dyn Source) -> SysResult {
        self.check_writable()?;
        let mut offset = self.offset.lock();
        let (count, end) = self.file.append(from)?;
        *offset = end;
        Ok(count)
    }

    /// Fails for calls with an offset of their own on what has none.
    fn check_seekable(&self) -> Result<(), Errno> {
        if self.file.is_seekable() || self.is_directory() {
            Ok(())
        } else {
            Err(Errno::ESPIPE)
        }
    }

    /// Reads at an offset and leaves the file's own alone (pread(2)).
    pub fn read_at(&self, offset: u64, to: &mut dyn Sink) -> SysResult {
        self.check_seekable()?;
        self.check_readable()?;
        check_range(offset, to.remaining())?;
        if !self.file.is_seekable() {
            return Err(Errno::EISDIR);
        }
        self.file.read_at(offset, to)
    }

    /// Writes at an offset (pwrite(2)); with O_APPEND at the end all the same, as Linux does.
    pub fn write_at(&self, offset: u64, from: &mut dyn Source) -> SysResult {
        self.check_seekable()?;
        let flags = self.check_writable()?;
        check_range(offset, from.remaining())?;
        if flags.contains(OpenFlags::APPEND) {
            return self.file.append(from).map(|(count, _)| count);
        }
        self.file.write_at(offset, from)
    }

    /// Moves the offset (lseek(2)).
    pub fn seek(&self, distance: i64, whence: u32) -> Result<u64, Errno> {
        if self.is_path_only() {
            return Err(Errno::EBADF);
        }
        if whence > raw::SEEK_HOLE {
            return Err(Errno::EINVAL);
        }
        if self.file.ignores_seek() {
            return Ok(0);
        }
        let is_directory = self.is_directory();
        if !self.file.is_seekable() && !is_directory {
            return Err(Errno::ESPIPE);
        }
        let mut offset = self.offset.lock();
        let from = |base: u64| {
            let sum = base
                .cast_signed()
                .checked_add(distance)
                .ok_or(Errno::EOVERFLOW)?;
            u64::try_from(sum).map_err(|_| Errno::EINVAL)
        };
        let sparse = |wants_hole| match u64::try_from(distance) {
            Ok(start) => self.file.seek_sparse(start, wants_hole),
            Err(_) => Err(Errno::ENXIO),
        };
        let to = match whence {
            raw::SEEK_SET => from(0)?,
            raw::SEEK_CUR => from(*offset)?,
            raw::SEEK_END if is_directory => return Err(Errno::EINVAL),
            raw::SEEK_END => from(self.file.size()?)?,
            raw::SEEK_DATA => sparse(false)?,
            raw::SEEK_HOLE => sparse(true)?,
            _ => return Err(Errno::EINVAL),
        };
        *offset = to;
        Ok(to)
    }

    /// Runs `work` on the offset, which stays locked meanwhile (getdents64(2), sendfile(2)).
    pub fn with_offset<R>(&self, work: impl FnOnce(&mut u64) -> R) -> R {
        work(&mut self.offset.lock())
    }

    /// Returns what it is ready for.
    pub fn poll(&self) -> PollEvents {
        self.file.poll()
    }

    fn is_directory(&self) -> bool {
        self.file
            .inode()
            .is_some_and(|inode| inode.file_type() == super::inode::FileType::Directory)
    }
}
