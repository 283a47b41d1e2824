//! Extended attributes (xattr(7)): the calls by path, by link and by descriptor.

use super::args;
use super::dispatch::Calls;
use super::errno::{Errno, SysResult};
use crate::fs::fd_table::FILES;
use crate::fs::inode::Inode;
use crate::fs::walk::Follow;
use crate::memory::user;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use linux_raw_sys::general as raw;

/// The calls of this file.
pub const CALLS: Calls = &[
    (raw::__NR_getxattr, getxattr),
    (raw::__NR_lgetxattr, lgetxattr),
    (raw::__NR_fgetxattr, fgetxattr),
    (raw::__NR_setxattr, setxattr),
    (raw::__NR_lsetxattr, lsetxattr),
    (raw::__NR_fsetxattr, fsetxattr),
    (raw::__NR_listxattr, listxattr),
    (raw::__NR_llistxattr, llistxattr),
    (raw::__NR_flistxattr, flistxattr),
    (raw::__NR_removexattr, removexattr),
    (raw::__NR_lremovexattr, lremovexattr),
    (raw::__NR_fremovexattr, fremovexattr),
];

/// The longest value.
const VALUE_MAX: usize = 65536;

fn by_path(path: usize) -> Result<Arc<dyn Inode>, Errno> {
    args::resolve(raw::AT_FDCWD as usize, path, Follow::Yes)
}

fn by_link(path: usize) -> Result<Arc<dyn Inode>, Errno> {
    args::resolve(raw::AT_FDCWD as usize, path, Follow::No)
}

fn by_descriptor(fd: usize) -> Result<Arc<dyn Inode>, Errno> {
    FILES.get(fd)?.file().inode().ok_or(Errno::EOPNOTSUPP)
}

/// Reads the name of an attribute; ERANGE if it is empty or too long.
fn name(address: usize) -> Result<Vec<u8>, Errno> {
    let name =
        args::string(address, raw::XATTR_NAME_MAX as usize).map_err(|errno| match errno {
            Errno::ENAMETOOLONG => Errno::ERANGE,
            errno => errno,
        })?;
    if name.is_empty() {
        Err(Errno::ERANGE)
    } else {
        Ok(name)
    }
}

/// Gives bytes to C, or with length 0 only says how many there are.
fn put(bytes: &[u8], to: usize, len: usize) -> SysResult {
    if len == 0 {
        return Ok(bytes.len());
    }
    if bytes.len() > len {
        return Err(Errno::ERANGE);
    }
    user::copy_to_user(to, bytes)?;
    Ok(bytes.len())
}

fn get(inode: Arc<dyn Inode>, attribute: usize, to: usize, len: usize) -> SysResult {
    put(&inode.xattr(&name(attribute)?)?, to, len)
}

fn set(
    inode: Arc<dyn Inode>,
    attribute: usize,
    from: usize,
    len: usize,
    flags: usize,
) -> SysResult {
    let flags = flags as u32;
    if flags & !(raw::XATTR_CREATE | raw::XATTR_REPLACE) != 0 {
        return Err(Errno::EINVAL);
    }
    let name = name(attribute)?;
    if len > VALUE_MAX {
        return Err(Errno::E2BIG);
    }
    let mut value = vec![0; len];
    user::copy_from_user(&mut value, from)?;
    inode.set_xattr(&name, &value, flags)?;
    Ok(0)
}

fn list(inode: Arc<dyn Inode>, to: usize, len: usize) -> SysResult {
    put(&inode.xattr_names()?, to, len)
}

fn remove(inode: Arc<dyn Inode>, attribute: usize) -> SysResult {
    inode.remove_xattr(&name(attribute)?)?;
    Ok(0)
}

/// getxattr(2).
fn getxattr(&[path, name, to, len, ..]: &[usize; 6]) -> SysResult {
    get(by_path(path)?, name, to, len)
}

/// lgetxattr(2).
fn lgetxattr(&[path, name, to, len, ..]: &[usize; 6]) -> SysResult {
    get(by_link(path)?, name, to, len)
}

/// fgetxattr(2).
fn fgetxattr(&[fd, name, to, len, ..]: &[usize; 6]) -> SysResult {
    get(by_descriptor(fd)?, name, to, len)
}

/// setxattr(2).
fn setxattr(&[path, name, from, len, flags, ..]: &[usize; 6]) -> SysResult {
    set(by_path(path)?, name, from, len, flags)
}

/// lsetxattr(2).
fn lsetxattr(&[path, name, from, len, flags, ..]: &[usize; 6]) -> SysResult {
    set(by_link(path)?, name, from, len, flags)
}

/// fsetxattr(2).
fn fsetxattr(&[fd, name, from, len, flags, ..]: &[usize; 6]) -> SysResult {
    set(by_descriptor(fd)?, name, from, len, flags)
}

/// listxattr(2).
fn listxattr(&[path, to, len, ..]: &[usize; 6]) -> SysResult {
    list(by_path(path)?, to, len)
}

/// llistxattr(2).
fn llistxattr(&[path, to, len, ..]: &[usize; 6]) -> SysResult {
    list(by_link(path)?, to, len)
}

/// flistxattr(2).
fn flistxattr(&[fd, to, len, ..]: &[usize; 6]) -> SysResult {
    list(by_descriptor(fd)?, to, len)
}

/// removexattr(2).
fn removexattr(&[path, name, ..]: &[usize; 6]) -> SysResult {
    remove(by_path(path)?, name)
}

/// lremovexattr(2).
fn lremovexattr(&[path, name, ..]: &[usize; 6]) -> SysResult {
    remove(by_link(path)?, name)
}

/// fremovexattr(2).
fn fremovexattr(&[fd, name, ..]: &[usize; 6]) -> SysResult {
    remove(by_descriptor(fd)?, name)
}
