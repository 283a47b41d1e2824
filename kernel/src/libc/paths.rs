//! Calls on names: making, moving, removing, and the metadata that goes with them.

use super::args;
use super::dispatch::Calls;
use super::errno::{Errno, SysResult};
use crate::fs::context;
use crate::fs::fd_table::FILES;
use crate::fs::file::Timestamp;
use crate::fs::inode::{FileType, Inode, NewNode};
use crate::fs::walk::{self, Follow, Last};
use crate::fs::{clock, inode};
use crate::memory::user;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general as raw;

/// The calls of this file.
pub const CALLS: Calls = &[
    (raw::__NR_mkdirat, mkdirat),
    (raw::__NR_mknodat, mknodat),
    (raw::__NR_symlinkat, symlinkat),
    (raw::__NR_linkat, linkat),
    (raw::__NR_unlinkat, unlinkat),
    (raw::__NR_renameat, renameat),
    (raw::__NR_renameat2, renameat2),
    (raw::__NR_readlinkat, readlinkat),
    (raw::__NR_fchmod, fchmod),
    (raw::__NR_fchmodat, fchmodat),
    (raw::__NR_fchmodat2, fchmodat2),
    (raw::__NR_fchown, fchown),
    (raw::__NR_fchownat, fchownat),
    (raw::__NR_utimensat, utimensat),
    (raw::__NR_faccessat, faccessat),
    (raw::__NR_faccessat2, faccessat2),
    (raw::__NR_getcwd, getcwd),
    (raw::__NR_chdir, chdir),
    (raw::__NR_fchdir, fchdir),
    (raw::__NR_chroot, chroot),
    (raw::__NR_umask, umask),
];

/// Creates a name that must not exist.
fn create(dirfd: usize, path: usize, mode: u32, node: NewNode) -> SysResult {
    let found = args::find(dirfd, path, Follow::Never)?;
    if found.inode.is_some() {
        return Err(Errno::EEXIST);
    }
    let Last::Name(name) = found.last else {
        return Err(Errno::EEXIST);
    };
    if found.wants_directory && !matches!(node, NewNode::Directory) {
        return Err(Errno::ENOENT);
    }
    found.directory.create(&name, mode, node)?;
    Ok(0)
}

/// mkdirat(2).
pub fn mkdirat(&[dirfd, path, mode, ..]: &[usize; 6]) -> SysResult {
    create(
        dirfd,
        path,
        mode as u32 & 0o1777 & !context::mask(),
        NewNode::Directory,
    )
}

/// mknodat(2): files, FIFOs and socket addresses; devices are the kernel's alone to make.
pub fn mknodat(&[dirfd, path, mode, ..]: &[usize; 6]) -> SysResult {
    let mode = mode as u32;
    let node = match mode & raw::S_IFMT {
        0 | raw::S_IFREG => NewNode::Regular,
        raw::S_IFIFO => NewNode::Fifo,
        raw::S_IFSOCK => NewNode::Socket,
        raw::S_IFCHR | raw::S_IFBLK => return Err(Errno::EPERM),
        raw::S_IFDIR => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    };
    create(dirfd, path, mode & 0o7777 & !context::mask(), node)
}

/// symlinkat(2).
pub fn symlinkat(&[target, dirfd, path, ..]: &[usize; 6]) -> SysResult {
    let target = args::path(target)?;
    if target.is_empty() {
        return Err(Errno::ENOENT);
    }
    create(dirfd, path, 0o777, NewNode::Symlink(&target))
}

/// linkat(2).
pub fn linkat(&[old_dirfd, old_path, new_dirfd, new_path, flags, ..]: &[usize; 6]) -> SysResult {
    let flags = flags as u32;
    if flags & !(raw::AT_SYMLINK_FOLLOW | raw::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let no_follow = if flags & raw::AT_SYMLINK_FOLLOW != 0 {
        0
    } else {
        raw::AT_SYMLINK_NOFOLLOW
    };
    let target = args::resolve_at(old_dirfd, old_path, no_follow | flags & raw::AT_EMPTY_PATH)?;
    let found = args::find(new_dirfd, new_path, Follow::Never)?;
    if found.inode.is_some() {
        return Err(Errno::EEXIST);
    }
    let Last::Name(name) = found.last else {
        return Err(Errno::EEXIST);
    };
    if found.wants_directory {
        return Err(Errno::ENOENT);
    }
    if found.directory.metadata().device != target.metadata().device {
        return Err(Errno::EXDEV);
    }
    found.directory.link(&name, &target)?;
    Ok(0)
}

/// unlinkat(2).
pub fn unlinkat(&[dirfd, path, flags, ..]: &[usize; 6]) -> SysResult {
    let flags = flags as u32;
    if flags & !raw::AT_REMOVEDIR != 0 {
        return Err(Errno::EINVAL);
    }
    let is_rmdir = flags & raw::AT_REMOVEDIR != 0;
    let found = args::find(dirfd, path, Follow::Never)?;
    let name = match found.last {
        Last::Name(name) => name,
        _ if !is_rmdir => return Err(Errno::EISDIR),
        Last::Dot => return Err(Errno::EINVAL),
        Last::DotDot => return Err(Errno::ENOTEMPTY),
        Last::None => return Err(Errno::EBUSY),
    };
    let inode = found.inode.ok_or(Errno::ENOENT)?;
    if inode.file_type() == FileType::Directory && is_mount_root(&found.directory, &inode) {
        return Err(Errno::EBUSY);
    }
    if !is_rmdir && found.wants_directory {
        return Err(if inode.file_type() == FileType::Directory {
            Errno::EISDIR
        } else {
            Errno::ENOTDIR
        });
    }
    found.directory.unlink(&name, is_rmdir)?;
    Ok(0)
}

/// Tells whether `inode` is the root of something mounted in `directory`.
fn is_mount_root(directory: &Arc<dyn Inode>, inode: &Arc<dyn Inode>) -> bool {
    directory.metadata().device != inode.metadata().device
}

/// renameat(2).
pub fn renameat(&[old_dirfd, old_path, new_dirfd, new_path, ..]: &[usize; 6]) -> SysResult {
    renameat2(&[old_dirfd, old_path, new_dirfd, new_path, 0, 0])
}

/// renameat2(2).
fn renameat2(&[old_dirfd, old_path, new_dirfd, new_path, flags, ..]: &[usize; 6]) -> SysResult {
    let flags = flags as u32;
    // RENAME_WHITEOUT is for file systems that lie over others.
    if flags & !(raw::RENAME_NOREPLACE | raw::RENAME_EXCHANGE) != 0 || flags.count_ones() > 1 {
        return Err(Errno::EINVAL);
    }
    let (is_exchange, is_new) = (
        flags & raw::RENAME_EXCHANGE != 0,
        flags & raw::RENAME_NOREPLACE != 0,
    );
    let from = args::find(old_dirfd, old_path, Follow::Never)?;
    let to = args::find(new_dirfd, new_path, Follow::Never)?;
    if from.directory.metadata().device != to.directory.metadata().device {
        return Err(Errno::EXDEV);
    }
    let Last::Name(from_name) = &from.last else {
        return Err(Errno::EBUSY);
    };
    let Last::Name(to_name) = &to.last else {
        return Err(if is_new { Errno::EEXIST } else { Errno::EBUSY });
    };
    let moved = from.inode.as_ref().ok_or(Errno::ENOENT)?;
    let is_directory = |inode: &Arc<dyn Inode>| inode.file_type() == FileType::Directory;
    match &to.inode {
        Some(_) if is_new => return Err(Errno::EEXIST),
        None if is_exchange => return Err(Errno::ENOENT),
        Some(target) if is_exchange && to.wants_directory && !is_directory(target) => {
            return Err(Errno::ENOTDIR);
        }
        _ => {}
    }
    // A slash after a name means a directory, on either side.
    if !is_directory(moved) && (from.wants_directory || (to.wants_directory && !is_exchange)) {
        return Err(Errno::ENOTDIR);
    }
    if is_directory(moved) && is_mount_root(&from.directory, moved) {
        return Err(Errno::EBUSY);
    }
    from.directory
        .rename(from_name, &to.directory, to_name, flags)?;
    Ok(0)
}

/// readlinkat(2); an empty path means the link that `dirfd` refers to (opened with O_PATH).
pub fn readlinkat(&[dirfd, path, buffer, len, ..]: &[usize; 6]) -> SysResult {
    if len as i32 <= 0 {
        return Err(Errno::EINVAL);
    }
    let path = args::path(path)?;
    let inode = if path.is_empty() && dirfd as i32 != raw::AT_FDCWD {
        let inode = FILES.get_any(dirfd)?.file().inode();
        inode
            .filter(|inode| inode.file_type() == FileType::Symlink)
            .ok_or(Errno::ENOENT)?
    } else {
        walk::resolve(&args::base(dirfd, &path)?, &path, Follow::No)?
    };
    let target = inode.read_link()?;
    let count = target.len().min(len);
    user::copy_to_user(buffer, &target[..count])?;
    Ok(count)
}

/// fchmod(2).
fn fchmod(&[fd, mode, ..]: &[usize; 6]) -> SysResult {
    let description = FILES.get(fd)?;
    // A pipe or socket has nothing that its mode would guard.
    if let Some(inode) = description.file().inode() {
        inode.set_mode(mode as u32)?;
    }
    Ok(0)
}

/// fchmodat(2), which has no flags.
pub fn fchmodat(&[dirfd, path, mode, ..]: &[usize; 6]) -> SysResult {
    fchmodat2(&[dirfd, path, mode, 0, 0, 0])
}

/// fchmodat2(2).
fn fchmodat2(&[dirfd, path, mode, flags, ..]: &[usize; 6]) -> SysResult {
    let flags = flags as u32;
    if flags & !(raw::AT_SYMLINK_NOFOLLOW | raw::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    args::resolve_at(dirfd, path, flags)?.set_mode(mode as u32)?;
    Ok(0)
}

/// An id argument; -1 leaves the id alone.
fn id(word: usize) -> Option<u32> {
    Some(word as u32).filter(|&id| id != u32::MAX)
}

/// fchown(2).
fn fchown(&[fd, uid, gid, ..]: &[usize; 6]) -> SysResult {
    let description = FILES.get(fd)?;
    if let Some(inode) = description.file().inode() {
        inode.set_owner(id(uid), id(gid))?;
    }
    Ok(0)
}

/// fchownat(2).
pub fn fchownat(&[dirfd, path, uid, gid, flags, ..]: &[usize; 6]) -> SysResult {
    let flags = flags as u32;
    if flags & !(raw::AT_SYMLINK_NOFOLLOW | raw::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    args::resolve_at(dirfd, path, flags)?.set_owner(id(uid), id(gid))?;
    Ok(0)
}

/// utimensat(2); a null path means `dirfd` itself (futimens(3)).
pub fn utimensat(&[dirfd, path, times, flags, ..]: &[usize; 6]) -> SysResult {
    let flags = flags as u32;
    if times == 0 {
        let now = Some(clock::now());
        return set_times(dirfd, path, flags, || Ok([now; 2]));
    }
    let [a_sec, a_nsec, m_sec, m_nsec] = user::read_user::<[i64; 4]>(times)?;
    if a_nsec == UTIME_OMIT && m_nsec == UTIME_OMIT {
        // Not even the path is looked at.
        return Ok(0);
    }
    let now = clock::now();
    set_times(dirfd, path, flags, || {
        Ok([time(a_sec, a_nsec, now)?, time(m_sec, m_nsec, now)?])
    })
}

/// Sets the times of what a path, or without one a descriptor, means; `times` are checked when
/// that is known to exist.
pub fn set_times(
    dirfd: usize,
    path: usize,
    flags: u32,
    times: impl FnOnce() -> Result<[Option<Timestamp>; 2], Errno>,
) -> SysResult {
    if flags & !(raw::AT_SYMLINK_NOFOLLOW | raw::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let inode = if path == 0 && dirfd as i32 != raw::AT_FDCWD {
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        FILES.get(dirfd)?.file().inode().ok_or(Errno::EPERM)?
    } else {
        args::resolve_at(dirfd, path, flags)?
    };
    let [accessed, modified] = times()?;
    inode.set_times(accessed, modified)?;
    Ok(0)
}

fn time(seconds: i64, nanoseconds: i64, now: Timestamp) -> Result<Option<Timestamp>, Errno> {
    match nanoseconds {
        UTIME_NOW => Ok(Some(now)),
        UTIME_OMIT => Ok(None),
        0..1_000_000_000 => Ok(Some(Timestamp::new(seconds, nanoseconds))),
        _ => Err(Errno::EINVAL),
    }
}

/// Values of `tv_nsec` with a meaning of their own (utimensat(2)).
const UTIME_NOW: i64 = raw::UTIME_NOW as i64;
const UTIME_OMIT: i64 = raw::UTIME_OMIT as i64;

/// faccessat(2), which has no flags.
pub fn faccessat(&[dirfd, path, mode, ..]: &[usize; 6]) -> SysResult {
    faccessat2(&[dirfd, path, mode, 0, 0, 0])
}

/// faccessat2(2): root may do all, but execute only what somebody may execute.
fn faccessat2(&[dirfd, path, mode, flags, ..]: &[usize; 6]) -> SysResult {
    const READ_WRITE_EXECUTE: u32 = raw::R_OK | raw::W_OK | raw::X_OK;
    let (mode, flags) = (mode as u32, flags as u32);
    let known = raw::AT_EACCESS | raw::AT_SYMLINK_NOFOLLOW | raw::AT_EMPTY_PATH;
    if mode & !READ_WRITE_EXECUTE != 0 || flags & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let inode = args::resolve_at(dirfd, path, flags)?;
    let may_execute = || {
        matches!(inode.file_type(), FileType::Directory | FileType::Symlink)
            || inode.metadata().mode & 0o111 != 0
    };
    if mode & raw::X_OK != 0 && !may_execute() {
        return Err(Errno::EACCES);
    }
    if mode & raw::W_OK != 0
        && inode.fs_stat().flags & inode::ST_RDONLY != 0
        && inode.file_type() == FileType::Regular
    {
        return Err(Errno::EROFS);
    }
    Ok(0)
}

/// getcwd(2): gives the length with the final NUL.
fn getcwd(&[buffer, len, ..]: &[usize; 6]) -> SysResult {
    let mut path: Vec<u8> = walk::path_of(&context::current_directory())?;
    path.push(0);
    if path.len() > len {
        return Err(Errno::ERANGE);
    }
    user::copy_to_user(buffer, &path)?;
    Ok(path.len())
}

/// chdir(2).
fn chdir(&[path, ..]: &[usize; 6]) -> SysResult {
    enter(args::resolve(raw::AT_FDCWD as usize, path, Follow::Yes)?)
}

/// fchdir(2).
fn fchdir(&[fd, ..]: &[usize; 6]) -> SysResult {
    enter(FILES.get_any(fd)?.file().inode().ok_or(Errno::ENOTDIR)?)
}

fn enter(inode: Arc<dyn Inode>) -> SysResult {
    if inode.file_type() != FileType::Directory {
        return Err(Errno::ENOTDIR);
    }
    context::set_current_directory(inode);
    Ok(0)
}

/// chroot(2): there is one root for everybody, and it stays. `/` itself is already it.
fn chroot(&[path, ..]: &[usize; 6]) -> SysResult {
    let inode = args::resolve(raw::AT_FDCWD as usize, path, Follow::Yes)?;
    if inode.file_type() != FileType::Directory {
        return Err(Errno::ENOTDIR);
    }
    if Arc::ptr_eq(&inode, crate::fs::mount::root()) {
        Ok(0)
    } else {
        Err(Errno::EPERM)
    }
}

/// umask(2).
fn umask(&[mask, ..]: &[usize; 6]) -> SysResult {
    Ok(context::set_mask(mask as u32) as usize)
}
