//! Reading and writing: calls on an open file and its offset.

use super::args;
use super::dispatch::Calls;
use super::errno::{Errno, SysResult};
use crate::fs::description::Description;
use crate::fs::fd_table::FILES;
use crate::fs::file::DirEntry;
use crate::fs::inode::FileType;
use crate::fs::io::{IoVec, MAX_TRANSFER, Sink, UserBuffers};
use linux_raw_sys::general as raw;

/// The calls of this file.
pub const CALLS: Calls = &[
    (raw::__NR_close, close),
    (raw::__NR_read, read),
    (raw::__NR_write, write),
    (raw::__NR_readv, readv),
    (raw::__NR_writev, writev),
    (raw::__NR_pread64, pread64),
    (raw::__NR_pwrite64, pwrite64),
    (raw::__NR_preadv, preadv),
    (raw::__NR_pwritev, pwritev),
    (raw::__NR_preadv2, preadv2),
    (raw::__NR_pwritev2, pwritev2),
    (raw::__NR_lseek, lseek),
    (raw::__NR_getdents64, getdents64),
    (raw::__NR_ftruncate, ftruncate),
    (raw::__NR_truncate, truncate),
    (raw::__NR_fallocate, fallocate),
    (raw::__NR_fsync, fsync),
    (raw::__NR_fdatasync, fsync),
    (raw::__NR_sync, sync),
    (raw::__NR_syncfs, syncfs),
    (raw::__NR_sync_file_range, sync_file_range),
    (raw::__NR_fadvise64, fadvise64),
    (raw::__NR_readahead, readahead),
];

/// close(2).
fn close(&[fd, ..]: &[usize; 6]) -> SysResult {
    FILES.close(fd)?;
    Ok(0)
}

/// read(2).
fn read(&[fd, base, len, ..]: &[usize; 6]) -> SysResult {
    let description = FILES.get(fd)?;
    description.read(&mut UserBuffers::new(&[IoVec { base, len }]))
}

/// write(2).
fn write(&[fd, base, len, ..]: &[usize; 6]) -> SysResult {
    let description = FILES.get(fd)?;
    description.write(&mut UserBuffers::new(&[IoVec { base, len }]))
}

/// readv(2).
fn readv(&[fd, pieces, count, ..]: &[usize; 6]) -> SysResult {
    let description = FILES.get(fd)?;
    description.read(&mut UserBuffers::new(&args::pieces(pieces, count)?))
}

/// writev(2).
fn writev(&[fd, pieces, count, ..]: &[usize; 6]) -> SysResult {
    let description = FILES.get(fd)?;
    description.write(&mut UserBuffers::new(&args::pieces(pieces, count)?))
}

/// pread(2).
fn pread64(&[fd, base, len, offset, ..]: &[usize; 6]) -> SysResult {
    let offset = args::offset(offset)?;
    FILES
        .get(fd)?
        .read_at(offset, &mut UserBuffers::new(&[IoVec { base, len }]))
}

/// pwrite(2).
fn pwrite64(&[fd, base, len, offset, ..]: &[usize; 6]) -> SysResult {
    let offset = args::offset(offset)?;
    FILES
        .get(fd)?
        .write_at(offset, &mut UserBuffers::new(&[IoVec { base, len }]))
}

/// preadv(2).
fn preadv(&[fd, pieces, count, offset, ..]: &[usize; 6]) -> SysResult {
    let offset = args::offset(offset)?;
    FILES
        .get(fd)?
        .read_at(offset, &mut UserBuffers::new(&args::pieces(pieces, count)?))
}

/// pwritev(2).
fn pwritev(&[fd, pieces, count, offset, ..]: &[usize; 6]) -> SysResult {
    let offset = args::offset(offset)?;
    FILES
        .get(fd)?
        .write_at(offset, &mut UserBuffers::new(&args::pieces(pieces, count)?))
}

/// Flags of preadv2(2) that need nothing here: memory is as fast and as stable as it gets.
const RWF_HARMLESS: u32 = raw::RWF_HIPRI | raw::RWF_DSYNC | raw::RWF_SYNC;

/// preadv2(2): offset -1 is the file's own.
fn preadv2(&[fd, pieces, count, offset, _, flags]: &[usize; 6]) -> SysResult {
    let description = FILES.get(fd)?;
    // RWF_NOWAIT: a file in memory never waits, and others have O_NONBLOCK.
    let known = RWF_HARMLESS
        | if is_in_memory(&description) {
            raw::RWF_NOWAIT
        } else {
            0
        };
    if flags as u32 & !known != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let pieces = args::pieces(pieces, count)?;
    let mut buffers = UserBuffers::new(&pieces);
    match offset.cast_signed() {
        -1 => description.read(&mut buffers),
        _ => description.read_at(args::offset(offset)?, &mut buffers),
    }
}

/// pwritev2(2): offset -1 is the file's own.
fn pwritev2(&[fd, pieces, count, offset, _, flags]: &[usize; 6]) -> SysResult {
    let description = FILES.get(fd)?;
    let known = RWF_HARMLESS
        | if is_in_memory(&description) {
            raw::RWF_APPEND
        } else {
            0
        };
    if flags as u32 & !known != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    let pieces = args::pieces(pieces, count)?;
    let mut buffers = UserBuffers::new(&pieces);
    let appends = flags as u32 & raw::RWF_APPEND != 0;
    match offset.cast_signed() {
        -1 if appends => description.append(&mut buffers),
        -1 => description.write(&mut buffers),
        _ if appends && description.flags().is_writable() => {
            args::offset(offset)?;
            description
                .file()
                .append(&mut buffers)
                .map(|(count, _)| count)
        }
        _ => description.write_at(args::offset(offset)?, &mut buffers),
    }
}

fn is_in_memory(description: &Description) -> bool {
    description.file().is_seekable()
}

/// lseek(2).
fn lseek(&[fd, distance, whence, ..]: &[usize; 6]) -> SysResult {
    let to = FILES
        .get(fd)?
        .seek(distance.cast_signed() as i64, whence as u32)?;
    Ok(to as usize)
}

/// Where the name begins in `struct linux_dirent64`: after inode, offset, length and type.
const DIRENT_NAME: usize = 19;

/// getdents64(2).
fn getdents64(&[fd, base, len, ..]: &[usize; 6]) -> SysResult {
    let description = FILES.get(fd)?;
    let pieces = [IoVec { base, len }];
    let mut to = UserBuffers::new(&pieces);
    let mut result = Ok(());
    description.with_offset(|offset| {
        let mut next = *offset;
        let mut emit = |entry: DirEntry| match put_entry(&mut to, &entry) {
            Ok(true) => {
                next = entry.next;
                true
            }
            // A buffer too small for even one entry is EINVAL.
            Ok(false) => {
                if next == *offset {
                    result = Err(Errno::EINVAL);
                }
                false
            }
            Err(errno) => {
                result = Err(errno);
                false
            }
        };
        description.file().read_dir(*offset, &mut emit)?;
        *offset = next;
        Ok::<_, Errno>(())
    })?;
    let written = len.min(MAX_TRANSFER) - to.remaining();
    match result {
        Err(errno) if written == 0 => Err(errno),
        _ => Ok(written),
    }
}

/// Writes one `struct linux_dirent64`; false if it does not fit.
fn put_entry(to: &mut dyn Sink, entry: &DirEntry) -> Result<bool, Errno> {
    let len = (DIRENT_NAME + entry.name.len() + 1).next_multiple_of(8);
    if len > to.remaining() {
        return Ok(false);
    }
    let mut record = [0u8; (DIRENT_NAME + 256).next_multiple_of(8)];
    record[0..8].copy_from_slice(&entry.inode.to_ne_bytes());
    record[8..16].copy_from_slice(&entry.next.to_ne_bytes());
    record[16..18].copy_from_slice(&(len as u16).to_ne_bytes());
    // DT_* are the type bits of the mode, shifted down.
    record[18] = ((entry.mode & raw::S_IFMT) >> 12) as u8;
    record[DIRENT_NAME..DIRENT_NAME + entry.name.len()].copy_from_slice(entry.name);
    to.put(&record[..len])?;
    Ok(true)
}

/// ftruncate(2).
fn ftruncate(&[fd, size, ..]: &[usize; 6]) -> SysResult {
    let size = args::offset(size)?;
    let description = FILES.get(fd)?;
    if !description.flags().is_writable() {
        return Err(Errno::EINVAL);
    }
    description.file().truncate(size)?;
    Ok(0)
}

/// truncate(2).
fn truncate(&[path, size, ..]: &[usize; 6]) -> SysResult {
    let size = args::offset(size)?;
    let inode = args::resolve(raw::AT_FDCWD as usize, path, crate::fs::walk::Follow::Yes)?;
    if inode.file_type() == FileType::Directory {
        return Err(Errno::EISDIR);
    }
    inode.truncate(size)?;
    Ok(0)
}

/// fallocate(2).
fn fallocate(&[fd, mode, offset, len, ..]: &[usize; 6]) -> SysResult {
    let description = FILES.get(fd)?;
    let (offset, len, mode) = (args::offset(offset)?, args::offset(len)?, mode as u32);
    if len == 0 {
        return Err(Errno::EINVAL);
    }
    if !matches!(mode, 0 | raw::FALLOC_FL_KEEP_SIZE)
        && mode != raw::FALLOC_FL_PUNCH_HOLE | raw::FALLOC_FL_KEEP_SIZE
    {
        return Err(Errno::EOPNOTSUPP);
    }
    if !description.flags().is_writable() {
        return Err(Errno::EBADF);
    }
    let file = description.file();
    match FileType::from_mode(file.metadata()?.mode) {
        Some(FileType::Fifo) => return Err(Errno::ESPIPE),
        Some(FileType::Regular) => {}
        _ => return Err(Errno::ENODEV),
    }
    file.allocate(mode, offset, len)?;
    Ok(0)
}

/// fsync(2) and fdatasync(2).
fn fsync(&[fd, ..]: &[usize; 6]) -> SysResult {
    FILES.get(fd)?.file().sync()?;
    Ok(0)
}

/// sync(2): all file systems here are in memory.
fn sync(_: &[usize; 6]) -> SysResult {
    Ok(0)
}

/// syncfs(2).
fn syncfs(&[fd, ..]: &[usize; 6]) -> SysResult {
    FILES.get(fd)?;
    Ok(0)
}

/// sync_file_range(2).
fn sync_file_range(&[fd, offset, len, flags, ..]: &[usize; 6]) -> SysResult {
    let description = FILES.get(fd)?;
    let known = raw::SYNC_FILE_RANGE_WAIT_BEFORE
        | raw::SYNC_FILE_RANGE_WRITE
        | raw::SYNC_FILE_RANGE_WAIT_AFTER;
    if flags as u32 & !known != 0
        || args::offset(offset)?
            .checked_add(args::offset(len)?)
            .is_none()
    {
        return Err(Errno::EINVAL);
    }
    if !description.file().is_seekable() {
        return Err(Errno::ESPIPE);
    }
    Ok(0)
}

/// posix_fadvise(2): checked, and then there is nothing to prefetch or to drop.
fn fadvise64(&[fd, _, len, advice, ..]: &[usize; 6]) -> SysResult {
    let description = FILES.get(fd)?;
    if FileType::from_mode(description.file().metadata()?.mode) == Some(FileType::Fifo) {
        return Err(Errno::ESPIPE);
    }
    if len.cast_signed() < 0 || advice as u32 > raw::POSIX_FADV_NOREUSE {
        return Err(Errno::EINVAL);
    }
    Ok(0)
}

/// readahead(2).
fn readahead(&[fd, ..]: &[usize; 6]) -> SysResult {
    let description = FILES.get(fd)?;
    if !description.flags().is_readable() {
        return Err(Errno::EBADF);
    }
    if !description.file().is_seekable() {
        return Err(Errno::EINVAL);
    }
    Ok(0)
}
