//! Calls on descriptors themselves: dup(2), fcntl(2), ioctl(2), flock(2), close_range(2).

use super::dispatch::Calls;
use super::errno::{Errno, SysResult};
use crate::fs::description::Description;
use crate::fs::fd_table::FILES;
use crate::fs::file::OpenFlags;
use crate::fs::locks::{FileId, LOCKS, Lock, Owner};
use crate::fs::pipe::PipeEnd;
use crate::fs::tmpfs::RegularFile;
use crate::memory::user;
use crate::net::interfaces;
use alloc::sync::Arc;
use linux_raw_sys::{general as raw, ioctl};

/// The calls of this file.
pub const CALLS: Calls = &[
    (raw::__NR_dup, dup),
    (raw::__NR_dup3, dup3),
    (raw::__NR_fcntl, fcntl),
    (raw::__NR_ioctl, ioctl_call),
    (raw::__NR_flock, flock),
    (raw::__NR_close_range, close_range),
];

/// dup(2).
fn dup(&[fd, ..]: &[usize; 6]) -> SysResult {
    FILES.insert(FILES.get_any(fd)?, false, 0)
}

/// dup3(2).
fn dup3(&[old, new, flags, ..]: &[usize; 6]) -> SysResult {
    let flags = flags as u32;
    if flags & !raw::O_CLOEXEC != 0 || old as i32 == new as i32 {
        return Err(Errno::EINVAL);
    }
    FILES.replace(new, FILES.get_any(old)?, flags & raw::O_CLOEXEC != 0)
}

/// dup2(2): unlike dup3, equal descriptors are only checked.
pub fn dup2(&[old, new, ..]: &[usize; 6]) -> SysResult {
    let description = FILES.get_any(old)?;
    if old as i32 == new as i32 {
        return Ok(old as u32 as usize);
    }
    FILES.replace(new, description, false)
}

/// Flags of close_range(2), from `linux/close_range.h`.
const CLOSE_RANGE_UNSHARE: u32 = 1 << 1;
const CLOSE_RANGE_CLOEXEC: u32 = 1 << 2;

/// close_range(2).
fn close_range(&[first, last, flags, ..]: &[usize; 6]) -> SysResult {
    let (first, last, flags) = (first as u32, last as u32, flags as u32);
    // CLOSE_RANGE_UNSHARE changes nothing: nobody shares the table with another process.
    if first > last || flags & !(CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE) != 0 {
        return Err(Errno::EINVAL);
    }
    let range = first as usize..=last as usize;
    for fd in FILES
        .collect_open()
        .into_iter()
        .filter(|fd| range.contains(fd))
    {
        // Another thread may have closed it meanwhile.
        let _ = if flags & CLOSE_RANGE_CLOEXEC != 0 {
            FILES.set_cloexec(fd, true)
        } else {
            FILES.close(fd)
        };
    }
    Ok(0)
}

/// fcntl(2).
fn fcntl(&[fd, command, argument, ..]: &[usize; 6]) -> SysResult {
    let command = command as u32;
    match command {
        raw::F_DUPFD | raw::F_DUPFD_CLOEXEC => {
            let description = FILES.get_any(fd)?;
            let from = argument as i32;
            let from = usize::try_from(from)
                .ok()
                .filter(|&from| from < FILES.limit())
                .ok_or(Errno::EINVAL)?;
            return FILES.insert(description, command == raw::F_DUPFD_CLOEXEC, from);
        }
        raw::F_GETFD => return Ok(usize::from(FILES.is_cloexec(fd)?) * raw::FD_CLOEXEC as usize),
        raw::F_SETFD => {
            FILES.set_cloexec(fd, argument as u32 & raw::FD_CLOEXEC != 0)?;
            return Ok(0);
        }
        raw::F_GETFL => return Ok(FILES.get_any(fd)?.flags().bits() as usize),
        _ => {}
    }
    let description = FILES.get(fd)?;
    match command {
        raw::F_SETFL => {
            description.set_flags(OpenFlags::from_bits_retain(argument as u32));
            Ok(0)
        }
        raw::F_GETLK | raw::F_OFD_GETLK => get_lock(&description, command, argument),
        raw::F_SETLK | raw::F_SETLKW | raw::F_OFD_SETLK | raw::F_OFD_SETLKW => {
            set_lock(&description, command, argument)
        }
        raw::F_GETPIPE_SZ => Ok(pipe_end(&description)?.capacity()),
        raw::F_SETPIPE_SZ => pipe_end(&description)?.set_capacity(argument as u32 as usize),
        raw::F_GET_SEALS => Ok(regular(&description)?.node().seals()? as usize),
        raw::F_ADD_SEALS => {
            if !description.flags().is_writable() {
                return Err(Errno::EPERM);
            }
            regular(&description)?.node().add_seals(argument as u32)?;
            Ok(0)
        }
        // Who gets SIGIO: nobody, and that is all that can be asked for.
        raw::F_GETOWN => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

fn pipe_end(description: &Description) -> Result<&PipeEnd, Errno> {
    description.file().downcast_ref().ok_or(Errno::EBADF)
}

fn regular(description: &Description) -> Result<&RegularFile, Errno> {
    description.file().downcast_ref().ok_or(Errno::EINVAL)
}

/// `struct flock`, the same on every 64-bit Linux.
#[repr(C)]
#[derive(Clone, Copy)]
struct Flock {
    kind: i16,
    whence: i16,
    padding: i32,
    start: i64,
    len: i64,
    pid: i32,
    padding_at_end: i32,
}

// SAFETY: integers only, and padding is made explicit.
unsafe impl user::Plain for Flock {}

/// Returns what identifies the file of a description for locks.
fn file_id(description: &Description) -> Result<FileId, Errno> {
    let metadata = description.file().metadata()?;
    Ok((metadata.device, metadata.inode))
}

fn address_of(description: &Arc<Description>) -> usize {
    Arc::as_ptr(description).addr()
}

/// Reads what a lock call asks for: the range in bytes of the file, and whose lock it is.
fn read_lock(description: &Arc<Description>, command: u32, flock: &Flock) -> Result<Lock, Errno> {
    let is_of_file = matches!(
        command,
        raw::F_OFD_GETLK | raw::F_OFD_SETLK | raw::F_OFD_SETLKW
    );
    if is_of_file && flock.pid != 0 {
        return Err(Errno::EINVAL);
    }
    let base = match u32::from(flock.whence as u16) {
        raw::SEEK_SET => 0,
        raw::SEEK_CUR => description.with_offset(|offset| *offset),
        raw::SEEK_END => description.file().size()?,
        _ => return Err(Errno::EINVAL),
    };
    let start = base
        .cast_signed()
        .checked_add(flock.start)
        .ok_or(Errno::EOVERFLOW)?;
    let end = match flock.len {
        0 => i64::MAX,
        len => start.checked_add(len).ok_or(Errno::EOVERFLOW)?,
    };
    // A negative length means the bytes before the start.
    let (start, end) = if end < start {
        (end, start)
    } else {
        (start, end)
    };
    let start = u64::try_from(start).map_err(|_| Errno::EINVAL)?;
    let end = if flock.len == 0 {
        u64::MAX
    } else {
        end.cast_unsigned()
    };
    let owner = if is_of_file {
        Owner::OpenFile(address_of(description))
    } else {
        Owner::Process
    };
    Ok(Lock {
        owner,
        is_exclusive: flock.kind as u32 == raw::F_WRLCK,
        start,
        end,
    })
}

/// F_GETLK: tells who would be in the way.
fn get_lock(description: &Arc<Description>, command: u32, address: usize) -> SysResult {
    let mut flock = user::read_user::<Flock>(address)?;
    if !matches!(flock.kind as u32, raw::F_RDLCK | raw::F_WRLCK) {
        return Err(Errno::EINVAL);
    }
    let wanted = read_lock(description, command, &flock)?;
    match LOCKS.find_conflict(file_id(description)?, &wanted) {
        None => flock.kind = raw::F_UNLCK as i16,
        Some(held) => {
            flock.kind = (if held.is_exclusive {
                raw::F_WRLCK
            } else {
                raw::F_RDLCK
            }) as i16;
            flock.whence = raw::SEEK_SET as i16;
            flock.start = held.start.cast_signed();
            flock.len = if held.end == u64::MAX {
                0
            } else {
                (held.end - held.start).cast_signed()
            };
            flock.pid = if held.owner == Owner::Process {
                crate::process::PID as i32
            } else {
                -1
            };
        }
    }
    user::write_user(address, &flock)?;
    Ok(0)
}

/// F_SETLK and its like.
fn set_lock(description: &Arc<Description>, command: u32, address: usize) -> SysResult {
    let flock = user::read_user::<Flock>(address)?;
    let wanted = read_lock(description, command, &flock)?;
    let file = file_id(description)?;
    let flags = description.flags();
    match flock.kind as u32 {
        raw::F_UNLCK => {
            LOCKS.unlock(file, &wanted);
            return Ok(0);
        }
        raw::F_RDLCK if !flags.is_readable() => return Err(Errno::EBADF),
        raw::F_WRLCK if !flags.is_writable() => return Err(Errno::EBADF),
        raw::F_RDLCK | raw::F_WRLCK => {}
        _ => return Err(Errno::EINVAL),
    }
    let waits = matches!(command, raw::F_SETLKW | raw::F_OFD_SETLKW);
    description.note_lock(wanted.owner);
    LOCKS.lock(file, wanted, waits)?;
    Ok(0)
}

/// flock(2).
fn flock(&[fd, operation, ..]: &[usize; 6]) -> SysResult {
    let operation = operation as u32;
    let is_exclusive = match operation & !raw::LOCK_NB {
        raw::LOCK_SH => Some(false),
        raw::LOCK_EX => Some(true),
        raw::LOCK_UN => None,
        _ => return Err(Errno::EINVAL),
    };
    let description = FILES.get(fd)?;
    let owner = Owner::Whole(address_of(&description));
    let file = file_id(&description)?;
    let Some(is_exclusive) = is_exclusive else {
        LOCKS.unlock_all(file, owner);
        return Ok(0);
    };
    let flags = description.flags();
    if !flags.is_readable() && !flags.is_writable() {
        return Err(Errno::EBADF);
    }
    description.note_lock(owner);
    let lock = Lock {
        owner,
        is_exclusive,
        start: 0,
        end: u64::MAX,
    };
    LOCKS.lock(file, lock, operation & raw::LOCK_NB == 0)?;
    Ok(0)
}

/// ioctl(2): what is the same for all files is done here, the rest by the file.
fn ioctl_call(&[fd, request, argument, ..]: &[usize; 6]) -> SysResult {
    let description = FILES.get(fd)?;
    match request as u32 {
        ioctl::FIOCLEX => FILES.set_cloexec(fd, true)?,
        ioctl::FIONCLEX => FILES.set_cloexec(fd, false)?,
        ioctl::FIONBIO => description.set_nonblocking(user::read_user::<i32>(argument)? != 0),
        ioctl::FIONREAD if description.file().is_seekable() => {
            let size = description.file().size()?;
            // Negative past the end, as on Linux.
            let left = size.wrapping_sub(description.with_offset(|offset| *offset));
            user::write_user(argument, &(left as i32))?;
        }
        request => {
            let file = description.file();
            let about_interfaces = file
                .socket()
                .and_then(|_| interfaces::ioctl(request, argument));
            return about_interfaces.unwrap_or_else(|| file.ioctl(request, argument));
        }
    }
    Ok(0)
}
