//! Arguments of file calls, as C passes them: paths, directories to start from, pieces of memory.

use super::errno::Errno;
use crate::fs::context;
use crate::fs::fd_table::FILES;
use crate::fs::inode::{FileType, Inode};
use crate::fs::io::IoVec;
use crate::fs::walk::{self, Follow, Found, PATH_MAX};
use crate::memory::user::{self, StringError};
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general as raw;

/// The most pieces that readv(2) and its like take (IOV_MAX).
const PIECES_MAX: usize = 1024;

/// Reads a path.
pub fn path(address: usize) -> Result<Vec<u8>, Errno> {
    string(address, PATH_MAX - 1)
}

/// Reads a string of at most `limit` bytes; ENAMETOOLONG if it is longer.
pub fn string(address: usize, limit: usize) -> Result<Vec<u8>, Errno> {
    user::read_user_string(address, limit).map_err(|error| match error {
        StringError::Fault => Errno::EFAULT,
        StringError::TooLong => Errno::ENAMETOOLONG,
    })
}

/// Returns the directory that a `dirfd` argument means for this path (openat(2)).
pub fn base(dirfd: usize, path: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
    if path.first() == Some(&b'/') {
        return Ok(crate::fs::mount::root().clone());
    }
    if dirfd as i32 == raw::AT_FDCWD {
        return Ok(context::current_directory());
    }
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    let inode = FILES.get_any(dirfd)?.file().inode().ok_or(Errno::ENOTDIR)?;
    if inode.file_type() != FileType::Directory {
        return Err(Errno::ENOTDIR);
    }
    Ok(inode)
}

/// Finds the existing inode that a `dirfd` and a path in C's memory mean.
pub fn resolve(dirfd: usize, address: usize, follow: Follow) -> Result<Arc<dyn Inode>, Errno> {
    let path = path(address)?;
    walk::resolve(&base(dirfd, &path)?, &path, follow)
}

/// Like `resolve`, and with AT_EMPTY_PATH an empty path means what `dirfd` refers to.
pub fn resolve_at(dirfd: usize, address: usize, flags: u32) -> Result<Arc<dyn Inode>, Errno> {
    let follow = if flags & raw::AT_SYMLINK_NOFOLLOW != 0 {
        Follow::No
    } else {
        Follow::Yes
    };
    if flags & raw::AT_EMPTY_PATH == 0 {
        return resolve(dirfd, address, follow);
    }
    // A null pointer is an empty path too, since Linux 6.11.
    let path = if address == 0 {
        Vec::new()
    } else {
        path(address)?
    };
    if !path.is_empty() {
        return walk::resolve(&base(dirfd, &path)?, &path, follow);
    }
    if dirfd as i32 == raw::AT_FDCWD {
        return Ok(context::current_directory());
    }
    // ENOENT would lie and EBADF too: the file is open but has no inode in a file system.
    FILES.get_any(dirfd)?.file().inode().ok_or(Errno::EINVAL)
}

/// Finds where a path leads whose last component need not exist.
pub fn find(dirfd: usize, address: usize, follow: Follow) -> Result<Found, Errno> {
    let path = path(address)?;
    walk::walk(&base(dirfd, &path)?, &path, follow)
}

/// The pieces of memory of readv(2) and its like.
pub fn pieces(address: usize, count: usize) -> Result<Vec<IoVec>, Errno> {
    if count > PIECES_MAX {
        return Err(Errno::EINVAL);
    }
    let mut pieces = Vec::with_capacity(count);
    let mut total: usize = 0;
    for index in 0..count {
        let place = address.wrapping_add(index * size_of::<IoVec>());
        let [base, len] = user::read_user::<[usize; 2]>(place).map_err(|_| Errno::EFAULT)?;
        total = total
            .checked_add(len)
            .filter(|&sum| sum <= isize::MAX as usize)
            .ok_or(Errno::EINVAL)?;
        pieces.push(IoVec { base, len });
    }
    Ok(pieces)
}

/// Reads an `off_t`; EINVAL if it is negative.
pub fn offset(word: usize) -> Result<u64, Errno> {
    u64::try_from(word.cast_signed()).map_err(|_| Errno::EINVAL)
}
