//! What a file system keeps behind a name: the inode, and what may be asked of it.
//!
//! Directories know their parent and their name in it, so `..`, getcwd(3) and
//! `/proc/self/fd` need no cache of paths. Everybody is root here: modes are kept and shown,
//! and only execute permission can be missing.

use super::file::{File, Metadata, OpenFlags, Timestamp};
use crate::libc::errno::Errno;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use linux_raw_sys::general as raw;

/// What kind of thing an inode is; the values are the type bits of its mode (inode(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum FileType {
    /// Bytes by offset.
    Regular = raw::S_IFREG,
    /// Names.
    Directory = raw::S_IFDIR,
    /// A path.
    Symlink = raw::S_IFLNK,
    /// A named pipe.
    Fifo = raw::S_IFIFO,
    /// The address of a local socket.
    Socket = raw::S_IFSOCK,
    /// A device of characters.
    CharDevice = raw::S_IFCHR,
    /// A device of blocks.
    BlockDevice = raw::S_IFBLK,
}

impl FileType {
    /// Returns the type that a mode's type bits name.
    pub const fn from_mode(mode: u32) -> Option<FileType> {
        Some(match mode & raw::S_IFMT {
            raw::S_IFREG => FileType::Regular,
            raw::S_IFDIR => FileType::Directory,
            raw::S_IFLNK => FileType::Symlink,
            raw::S_IFIFO => FileType::Fifo,
            raw::S_IFSOCK => FileType::Socket,
            raw::S_IFCHR => FileType::CharDevice,
            raw::S_IFBLK => FileType::BlockDevice,
            _ => return None,
        })
    }
}

/// What a new name shall stand for.
pub enum NewNode<'a> {
    /// An empty file.
    Regular,
    /// An empty directory.
    Directory,
    /// A symbolic link with this target.
    Symlink(&'a [u8]),
    /// A named pipe.
    Fifo,
    /// The address of a listening or receiving socket, which `bind` made.
    Socket,
}

/// The flag of [`FsStat::flags`] for a file system that cannot be written.
pub const ST_RDONLY: u64 = 1;

/// Numbers of a whole file system, for statfs(2).
#[derive(Clone, Copy, Debug, Default)]
pub struct FsStat {
    /// The magic number of its type.
    pub magic: u64,
    /// Blocks of 4 KiB in all.
    pub blocks: u64,
    /// Blocks that are free.
    pub blocks_free: u64,
    /// Inodes in all; 0 if there is no limit.
    pub files: u64,
    /// Inodes that are free.
    pub files_free: u64,
    /// ST_* flags.
    pub flags: u64,
}

/// Where following a link leads.
pub enum Link {
    /// To this path.
    Path(Vec<u8>),
    /// Straight to this inode (the links in `/proc/self/fd`).
    Inode(Arc<dyn Inode>),
}

/// One file, directory, link or node of a file system.
pub trait Inode: Any + Send + Sync {
    /// Returns its type.
    fn file_type(&self) -> FileType;

    /// Returns what stat(2) tells.
    fn metadata(&self) -> Metadata;

    /// Opens it; creation, truncation and access mode are already dealt with. May wait (a FIFO does).
    fn open(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn File>, Errno>;

    /// Returns numbers about the file system that it is in.
    fn fs_stat(&self) -> FsStat;

    /// Finds a name in a directory; never `.` or `..`.
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        let _ = name;
        Err(Errno::ENOTDIR)
    }

    /// Returns the directory that holds this directory; `None` for the root of a file system
    /// that is mounted nowhere and for a removed directory.
    fn parent(&self) -> Option<Arc<dyn Inode>> {
        None
    }

    /// Returns this directory's name in its parent.
    fn name(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Reports the names of a directory without `.` and `..`, each with inode number and type.
    /// `emit` may not use the directory.
    fn list(&self, emit: &mut dyn FnMut(&[u8], u64, FileType)) -> Result<(), Errno> {
        let _ = emit;
        Err(Errno::ENOTDIR)
    }

    /// Creates a name in a directory; `EEXIST` if it is there. `mode` has permission bits only.
    fn create(&self, name: &[u8], mode: u32, node: NewNode) -> Result<Arc<dyn Inode>, Errno> {
        let _ = (name, mode, node);
        Err(Errno::EPERM)
    }

    /// Creates a file without a name (O_TMPFILE).
    fn create_unnamed(&self, mode: u32) -> Result<Arc<dyn Inode>, Errno> {
        let _ = mode;
        Err(Errno::EOPNOTSUPP)
    }

    /// Gives `target` one more name, in this directory.
    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<(), Errno> {
        let _ = (name, target);
        Err(Errno::EPERM)
    }

    /// Takes a name away: of an empty directory if `is_rmdir`, of anything else if not.
    fn unlink(&self, name: &[u8], is_rmdir: bool) -> Result<(), Errno> {
        let _ = (name, is_rmdir);
        Err(Errno::EPERM)
    }

    /// Moves `from` in this directory to `to` in `to_dir`, which is in the same file system;
    /// `flags` are those of renameat2(2).
    fn rename(
        &self,
        from: &[u8],
        to_dir: &Arc<dyn Inode>,
        to: &[u8],
        flags: u32,
    ) -> Result<(), Errno> {
        let _ = (from, to_dir, to, flags);
        Err(Errno::EPERM)
    }

    /// Returns where a symbolic link leads.
    fn follow(&self) -> Result<Link, Errno> {
        Err(Errno::EINVAL)
    }

    /// Returns a symbolic link's text (readlink(2)).
    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        match self.follow()? {
            Link::Path(path) => Ok(path),
            Link::Inode(_) => Err(Errno::EINVAL),
        }
    }

    /// Makes a regular file this long.
    fn truncate(&self, size: u64) -> Result<(), Errno> {
        let _ = size;
        Err(Errno::EINVAL)
    }

    /// Changes the permission bits.
    fn set_mode(&self, permissions: u32) -> Result<(), Errno> {
        let _ = permissions;
        Err(Errno::EPERM)
    }

    /// Changes owner and group; `None` leaves one alone.
    fn set_owner(&self, uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno> {
        let _ = (uid, gid);
        Err(Errno::EPERM)
    }

    /// Changes access and modification time; `None` leaves one alone.
    fn set_times(
        &self,
        accessed: Option<Timestamp>,
        modified: Option<Timestamp>,
    ) -> Result<(), Errno> {
        let _ = (accessed, modified);
        Err(Errno::EPERM)
    }

    /// Returns an extended attribute.
    fn xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let _ = name;
        Err(Errno::EOPNOTSUPP)
    }

    /// Sets one; `flags` are XATTR_CREATE and XATTR_REPLACE.
    fn set_xattr(&self, name: &[u8], value: &[u8], flags: u32) -> Result<(), Errno> {
        let _ = (name, value, flags);
        Err(Errno::EOPNOTSUPP)
    }

    /// Takes one away.
    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        let _ = name;
        Err(Errno::EOPNOTSUPP)
    }

    /// Returns the names of all, each with its final NUL.
    fn xattr_names(&self) -> Result<Vec<u8>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Returns the root of the file system that is mounted on this directory.
    fn mounted(&self) -> Option<Arc<dyn Inode>> {
        None
    }

    /// Covers this directory with the root of a file system.
    fn mount(&self, root: Arc<dyn Inode>) -> Result<(), Errno> {
        let _ = root;
        Err(Errno::ENOTDIR)
    }

    /// Uncovers this directory if it is `root` that covers it.
    fn unmount(&self, root: &Arc<dyn Inode>) {
        let _ = root;
    }

    /// Tells the root of a file system which directory it covers, for its `parent` and `name`.
    fn set_mount_point(&self, point: &Arc<dyn Inode>) {
        let _ = point;
    }
}

impl dyn Inode {
    /// Returns the inode as what it really is, if that is a `T`.
    pub fn downcast<T: Inode>(self: &Arc<Self>) -> Option<Arc<T>> {
        let any: Arc<dyn Any + Send + Sync> = self.clone();
        any.downcast().ok()
    }

    /// Returns a reference to the inode as what it really is, if that is a `T`.
    pub fn downcast_ref<T: Inode>(&self) -> Option<&T> {
        let any: &dyn Any = self;
        any.downcast_ref()
    }
}
