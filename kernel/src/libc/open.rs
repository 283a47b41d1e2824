//! Calls that make a descriptor: open(2), pipe(2), eventfd(2), memfd_create(2).

use super::args;
use super::dispatch::Calls;
use super::errno::{Errno, SysResult};
use crate::fs::description::Description;
use crate::fs::eventfd::EventFd;
use crate::fs::fd_table::FILES;
use crate::fs::file::OpenFlags;
use crate::fs::pipe::Pipe;
use crate::fs::{memfd, open};
use crate::memory::user;
use alloc::sync::Arc;
use linux_raw_sys::general as raw;

/// The calls of this file.
pub const CALLS: Calls = &[
    (raw::__NR_openat, openat),
    (raw::__NR_openat2, openat2),
    (raw::__NR_pipe2, pipe2),
    (raw::__NR_eventfd2, eventfd2),
    (raw::__NR_memfd_create, memfd_create),
];

/// openat(2).
pub fn openat(&[dirfd, path, flags, mode, ..]: &[usize; 6]) -> SysResult {
    // O_LARGEFILE is what a 64-bit process always has; unknown flags are ignored, as on Linux.
    let flags = OpenFlags::from_bits_truncate(flags as u32) | OpenFlags::LARGEFILE;
    open_path(dirfd, path, flags, mode as u32)
}

fn open_path(dirfd: usize, path: usize, flags: OpenFlags, mode: u32) -> SysResult {
    open::check_flags(flags)?;
    let path = args::path(path)?;
    let base = args::base(dirfd, &path)?;
    let description = open::open(&base, &path, flags, mode)?;
    FILES.insert(description, flags.contains(OpenFlags::CLOEXEC), 0)
}

/// openat2(2), without the RESOLVE_* restrictions, which are EAGAIN-free to refuse: EINVAL.
fn openat2(&[dirfd, path, how, size, ..]: &[usize; 6]) -> SysResult {
    const HOW_SIZE: usize = size_of::<[u64; 3]>();
    if size < HOW_SIZE {
        return Err(Errno::EINVAL);
    }
    if size > HOW_SIZE {
        return Err(Errno::E2BIG);
    }
    let [flags, mode, resolve] = user::read_user::<[u64; 3]>(how)?;
    let flags = u32::try_from(flags)
        .ok()
        .and_then(OpenFlags::from_bits)
        .ok_or(Errno::EINVAL)?;
    let creates = flags.intersects(OpenFlags::CREAT) || flags.contains(OpenFlags::TMPFILE);
    if resolve != 0 || mode & !0o7777 != 0 || (mode != 0 && !creates) {
        return Err(Errno::EINVAL);
    }
    open_path(dirfd, path, flags, mode as u32)
}

/// pipe2(2).
pub fn pipe2(&[fds, flags, ..]: &[usize; 6]) -> SysResult {
    let flags = OpenFlags::from_bits_retain(flags as u32);
    let known = OpenFlags::CLOEXEC | OpenFlags::NONBLOCK | OpenFlags::DIRECT;
    // O_DIRECT asks for a pipe that keeps packets apart, which this is not.
    if !known.contains(flags) || flags.contains(OpenFlags::DIRECT) {
        return Err(Errno::EINVAL);
    }
    let (reader, writer) = Pipe::pair();
    let status = flags & OpenFlags::NONBLOCK;
    let pair = [
        Description::new(reader, status),
        Description::new(writer, status | OpenFlags::WRONLY),
    ];
    let opened = FILES.insert_pair(pair, flags.contains(OpenFlags::CLOEXEC))?;
    put_pair(fds, opened)
}

/// Tells C the two descriptors; closes them if it cannot be told.
pub fn put_pair(address: usize, opened: [usize; 2]) -> SysResult {
    if user::write_user(address, &opened.map(|fd| fd as i32)).is_err() {
        for fd in opened {
            FILES.close(fd)?;
        }
        return Err(Errno::EFAULT);
    }
    Ok(0)
}

/// eventfd2(2).
pub fn eventfd2(&[count, flags, ..]: &[usize; 6]) -> SysResult {
    let flags = flags as u32;
    if flags & !(raw::EFD_CLOEXEC | raw::EFD_NONBLOCK | raw::EFD_SEMAPHORE) != 0 {
        return Err(Errno::EINVAL);
    }
    let file = Arc::new(EventFd::new(count as u32, flags & raw::EFD_SEMAPHORE != 0));
    let status = OpenFlags::from_bits_retain(flags & raw::EFD_NONBLOCK) | OpenFlags::RDWR;
    FILES.insert(
        Description::new(file, status),
        flags & raw::EFD_CLOEXEC != 0,
        0,
    )
}

/// memfd_create(2).
fn memfd_create(&[name, flags, ..]: &[usize; 6]) -> SysResult {
    /// The name with its prefix `memfd:` is at most NAME_MAX.
    const NAME_LIMIT: usize = 249;
    let flags = flags as u32;
    if flags & !(raw::MFD_CLOEXEC | raw::MFD_ALLOW_SEALING | raw::MFD_NOEXEC_SEAL | raw::MFD_EXEC)
        != 0
    {
        return Err(Errno::EINVAL);
    }
    let name = args::string(name, NAME_LIMIT).map_err(|errno| match errno {
        Errno::ENAMETOOLONG => Errno::EINVAL,
        errno => errno,
    })?;
    let is_sealable = flags & (raw::MFD_ALLOW_SEALING | raw::MFD_NOEXEC_SEAL) != 0;
    let mode = if flags & raw::MFD_NOEXEC_SEAL != 0 {
        0o666
    } else {
        0o777
    };
    let description = memfd::create(&name, mode, is_sealable)?;
    FILES.insert(description, flags & raw::MFD_CLOEXEC != 0, 0)
}
