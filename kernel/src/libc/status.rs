//! Calls that tell about files and file systems, in Linux's layouts: stat(2), statx(2), statfs(2).

use super::args;
use super::dispatch::Calls;
use super::errno::{Errno, SysResult};
use crate::fs::fd_table::FILES;
use crate::fs::file::{Metadata, Timestamp};
use crate::fs::inode::FsStat;
use crate::fs::name::NAME_MAX;
use crate::fs::page::PAGE_SIZE;
use crate::fs::walk::Follow;
use crate::memory::user::{self, Plain};
use linux_raw_sys::general as raw;

/// The calls of this file.
pub const CALLS: Calls = &[
    (raw::__NR_fstat, fstat),
    (raw::__NR_newfstatat, newfstatat),
    (raw::__NR_statx, statx),
    (raw::__NR_statfs, statfs),
    (raw::__NR_fstatfs, fstatfs),
];

// SAFETY: the layouts of Linux's headers: integers, and padding that has names.
unsafe impl Plain for raw::stat {}
// SAFETY: as above.
unsafe impl Plain for raw::statx {}
// SAFETY: as above.
unsafe impl Plain for raw::statfs {}

/// fstat(2).
fn fstat(&[fd, to, ..]: &[usize; 6]) -> SysResult {
    put_stat(to, &FILES.get_any(fd)?.file().metadata()?)
}

/// newfstatat(2).
pub fn newfstatat(&[dirfd, path, to, flags, ..]: &[usize; 6]) -> SysResult {
    let flags = flags as u32;
    if flags & !(raw::AT_SYMLINK_NOFOLLOW | raw::AT_EMPTY_PATH | raw::AT_NO_AUTOMOUNT) != 0 {
        return Err(Errno::EINVAL);
    }
    put_stat(to, &metadata_at(dirfd, path, flags)?)
}

/// Returns the metadata of what a path means; with AT_EMPTY_PATH and no path, of any open file.
fn metadata_at(dirfd: usize, path: usize, flags: u32) -> Result<Metadata, Errno> {
    let is_descriptor = flags & raw::AT_EMPTY_PATH != 0
        && dirfd as i32 != raw::AT_FDCWD
        && (path == 0 || user::read_user::<u8>(path)? == 0);
    if is_descriptor {
        return FILES.get_any(dirfd)?.file().metadata();
    }
    Ok(args::resolve_at(dirfd, path, flags)?.metadata())
}

fn put_stat(to: usize, from: &Metadata) -> SysResult {
    // SAFETY: the struct consists of integers.
    let mut stat: raw::stat = unsafe { core::mem::zeroed() };
    // The widths of some fields differ between architectures, their values fit all of them.
    stat.st_dev = from.device as _;
    stat.st_ino = from.inode as _;
    stat.st_mode = from.mode as _;
    stat.st_nlink = from.links as _;
    stat.st_uid = from.uid as _;
    stat.st_gid = from.gid as _;
    stat.st_rdev = from.represents as _;
    stat.st_size = from.size as _;
    stat.st_blksize = from.block_size as _;
    stat.st_blocks = from.blocks as _;
    stat.st_atime = from.accessed.seconds() as _;
    stat.st_atime_nsec = from.accessed.nanoseconds() as _;
    stat.st_mtime = from.modified.seconds() as _;
    stat.st_mtime_nsec = from.modified.nanoseconds() as _;
    stat.st_ctime = from.changed.seconds() as _;
    stat.st_ctime_nsec = from.changed.nanoseconds() as _;
    user::write_user(to, &stat)?;
    Ok(0)
}

/// statx(2).
fn statx(&[dirfd, path, flags, mask, to, ..]: &[usize; 6]) -> SysResult {
    let (flags, mask) = (flags as u32, mask as u32);
    let known = raw::AT_SYMLINK_NOFOLLOW
        | raw::AT_EMPTY_PATH
        | raw::AT_NO_AUTOMOUNT
        | raw::AT_STATX_SYNC_TYPE;
    let sync = flags & raw::AT_STATX_SYNC_TYPE;
    if flags & !known != 0 || sync == raw::AT_STATX_SYNC_TYPE || mask & raw::STATX__RESERVED != 0 {
        return Err(Errno::EINVAL);
    }
    let from = metadata_at(dirfd, path, flags)?;
    // SAFETY: the struct consists of integers.
    let mut statx: raw::statx = unsafe { core::mem::zeroed() };
    statx.stx_mask = raw::STATX_BASIC_STATS;
    statx.stx_blksize = from.block_size;
    statx.stx_nlink = from.links;
    statx.stx_uid = from.uid;
    statx.stx_gid = from.gid;
    statx.stx_mode = from.mode as u16;
    statx.stx_ino = from.inode;
    statx.stx_size = from.size;
    statx.stx_blocks = from.blocks;
    statx.stx_atime = statx_time(from.accessed);
    statx.stx_mtime = statx_time(from.modified);
    statx.stx_ctime = statx_time(from.changed);
    (statx.stx_rdev_major, statx.stx_rdev_minor) = split_device(from.represents);
    (statx.stx_dev_major, statx.stx_dev_minor) = split_device(from.device);
    user::write_user(to, &statx)?;
    Ok(0)
}

fn statx_time(time: Timestamp) -> raw::statx_timestamp {
    raw::statx_timestamp {
        tv_sec: time.seconds(),
        tv_nsec: time.nanoseconds() as u32,
        __reserved: 0,
    }
}

/// Splits a device number into major and minor (makedev(3)).
fn split_device(device: u64) -> (u32, u32) {
    let major = (device >> 8 & 0xfff) | (device >> 32 & 0xffff_f000);
    let minor = (device & 0xff) | (device >> 12 & 0xffff_ff00);
    (major as u32, minor as u32)
}

/// statfs(2).
fn statfs(&[path, to, ..]: &[usize; 6]) -> SysResult {
    let inode = args::resolve(raw::AT_FDCWD as usize, path, Follow::Yes)?;
    put_statfs(to, inode.fs_stat(), inode.metadata().device)
}

/// fstatfs(2).
fn fstatfs(&[fd, to, ..]: &[usize; 6]) -> SysResult {
    /// Magic of the file system that Linux keeps nameless files in.
    const ANONYMOUS: u64 = 0x0904_1934;
    let file = FILES.get_any(fd)?.file().clone();
    match file.inode() {
        Some(inode) => put_statfs(to, inode.fs_stat(), inode.metadata().device),
        None => put_statfs(
            to,
            FsStat {
                magic: ANONYMOUS,
                ..FsStat::default()
            },
            file.metadata()?.device,
        ),
    }
}

fn put_statfs(to: usize, from: FsStat, device: u64) -> SysResult {
    /// `f_flags` hold something (statfs(2)).
    const ST_VALID: u64 = 0x20;
    // SAFETY: the struct consists of integers.
    let mut statfs: raw::statfs = unsafe { core::mem::zeroed() };
    statfs.f_type = from.magic as _;
    statfs.f_bsize = PAGE_SIZE as _;
    statfs.f_blocks = from.blocks as _;
    statfs.f_bfree = from.blocks_free as _;
    statfs.f_bavail = from.blocks_free as _;
    statfs.f_files = from.files as _;
    statfs.f_ffree = from.files_free as _;
    statfs.f_fsid.val = [device as i32, 0];
    statfs.f_namelen = NAME_MAX as _;
    statfs.f_frsize = PAGE_SIZE as _;
    statfs.f_flags = (from.flags | ST_VALID) as _;
    user::write_user(to, &statfs)?;
    Ok(0)
}
