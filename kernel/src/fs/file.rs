//! What an open file can do, whatever it is: a regular file, a pipe end, a tty, a socket, an epoll set.
//!
//! The offset, the status flags and the descriptors that share them live in
//! [`super::description`]; a `File` is what they refer to. A method that a kind of file does not
//! support keeps its default here, which fails as Linux does.
//!
//! Blocking: a method that has to wait does so on the file's wait queue, interruptibly, and gives
//! [`Errno::RESTART`] when a signal broke the wait off; with `OpenFlags::NONBLOCK` it gives
//! `EAGAIN` instead of waiting. No lock of the file may be held while it waits.

use super::inode::Inode;
use super::io::{Sink, Source};
use super::socket::Socket;
use crate::libc::errno::{Errno, SysResult};
use alloc::sync::Arc;
use bitflags::bitflags;
use core::any::Any;
use linux_raw_sys::general as raw;
use smp::WaitQueue;

bitflags! {
    /// The flags of open(2), with the values that C passes.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct OpenFlags: u32 {
        /// Open for writing only.
        const WRONLY = raw::O_WRONLY;
        /// Open for reading and writing.
        const RDWR = raw::O_RDWR;
        /// Create the file if it does not exist.
        const CREAT = raw::O_CREAT;
        /// Fail if it exists.
        const EXCL = raw::O_EXCL;
        /// Do not make it the controlling terminal.
        const NOCTTY = raw::O_NOCTTY;
        /// Cut it to length 0.
        const TRUNC = raw::O_TRUNC;
        /// Each write goes to the end.
        const APPEND = raw::O_APPEND;
        /// Never wait.
        const NONBLOCK = raw::O_NONBLOCK;
        /// Data reaches the device before write returns.
        const DSYNC = raw::O_DSYNC;
        /// Data and metadata do (contains `DSYNC`).
        const SYNC = raw::O_SYNC;
        /// Send SIGIO.
        const ASYNC = raw::FASYNC;
        /// Bypass caches.
        const DIRECT = raw::O_DIRECT;
        /// Sizes beyond 2 GiB are welcome; always so here.
        const LARGEFILE = raw::O_LARGEFILE;
        /// Fail if it is no directory.
        const DIRECTORY = raw::O_DIRECTORY;
        /// Fail if the last component is a symbolic link.
        const NOFOLLOW = raw::O_NOFOLLOW;
        /// Leave the access time alone.
        const NOATIME = raw::O_NOATIME;
        /// The descriptor does not survive execve(2).
        const CLOEXEC = raw::O_CLOEXEC;
        /// A handle on the path only.
        const PATH = raw::O_PATH;
        /// Create an unnamed file (contains `DIRECTORY`).
        const TMPFILE = raw::O_TMPFILE;
    }
}

impl OpenFlags {
    /// Those that F_GETFL shows and that describe the open file rather than the act of opening.
    pub const STATUS: OpenFlags = OpenFlags::from_bits_retain(
        !(raw::O_CREAT | raw::O_EXCL | raw::O_NOCTTY | raw::O_TRUNC | raw::O_CLOEXEC),
    );
    /// Those that F_SETFL may change.
    pub const SETTABLE: OpenFlags = OpenFlags::from_bits_retain(
        raw::O_APPEND | raw::FASYNC | raw::O_DIRECT | raw::O_NOATIME | raw::O_NONBLOCK,
    );

    /// Tells whether reading is allowed.
    pub fn is_readable(self) -> bool {
        !self.contains(Self::PATH)
            && matches!(self.bits() & raw::O_ACCMODE, raw::O_RDONLY | raw::O_RDWR)
    }

    /// Tells whether writing is allowed.
    pub fn is_writable(self) -> bool {
        !self.contains(Self::PATH)
            && matches!(self.bits() & raw::O_ACCMODE, raw::O_WRONLY | raw::O_RDWR)
    }

    /// Tells whether the right to write is asked for. Access mode 3 asks for both rights and then
    /// allows neither reading nor writing, only ioctl(2) (open(2), "Special flags").
    pub fn asks_to_write(self) -> bool {
        self.bits() & raw::O_ACCMODE != raw::O_RDONLY
    }

    /// Tells whether calls must not wait.
    pub fn is_nonblocking(self) -> bool {
        self.contains(Self::NONBLOCK)
    }
}

bitflags! {
    /// What poll(2) and epoll(7) report; the values are those of both.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct PollEvents: u32 {
        /// There is data to read, or end of file.
        const IN = 0x1;
        /// There is urgent data.
        const PRI = 0x2;
        /// A write would not wait.
        const OUT = 0x4;
        /// An error condition (always reported).
        const ERR = 0x8;
        /// The other side hung up (always reported).
        const HUP = 0x10;
        /// The descriptor is not open (poll only).
        const NVAL = 0x20;
        /// Same as `IN`.
        const RDNORM = 0x40;
        /// Priority band data.
        const RDBAND = 0x80;
        /// Same as `OUT`.
        const WRNORM = 0x100;
        /// Priority band may be written.
        const WRBAND = 0x200;
        /// The peer of a stream socket shut down its writing half.
        const RDHUP = 0x2000;
    }
}

impl PollEvents {
    /// Readable.
    pub const READABLE: PollEvents = PollEvents::IN.union(PollEvents::RDNORM);
    /// Writable.
    pub const WRITABLE: PollEvents = PollEvents::OUT.union(PollEvents::WRNORM);
    /// Reported whether asked for or not.
    pub const ALWAYS: PollEvents = PollEvents::ERR.union(PollEvents::HUP);
}

/// A point in time as inodes keep it: nanoseconds since 1970, UTC; negative before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Makes one from `struct timespec`; what lies outside 1677..2262 becomes the nearest that does not.
    pub fn new(seconds: i64, nanoseconds: i64) -> Self {
        Timestamp(
            seconds
                .saturating_mul(1_000_000_000)
                .saturating_add(nanoseconds),
        )
    }

    /// Returns whole seconds, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// Returns the nanoseconds within the second, 0..1e9.
    pub fn nanoseconds(self) -> i64 {
        self.0.rem_euclid(1_000_000_000)
    }
}

/// What stat(2) tells, in no particular layout (`libc::stat_layout` has Linux's).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The file system's number.
    pub device: u64,
    /// The inode's number, unique in its file system.
    pub inode: u64,
    /// Type and permission bits (inode(7)).
    pub mode: u32,
    /// How many names it has.
    pub links: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The device that a device file stands for (makedev(3)).
    pub represents: u64,
    /// Length in bytes.
    pub size: u64,
    /// Good size for reads and writes.
    pub block_size: u32,
    /// Storage taken, in units of 512 bytes.
    pub blocks: u64,
    /// Last access.
    pub accessed: Timestamp,
    /// Last change of the content.
    pub modified: Timestamp,
    /// Last change of content or metadata.
    pub changed: Timestamp,
}

/// One entry of a directory, as `getdents64` reports it.
#[derive(Clone, Copy, Debug)]
pub struct DirEntry<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// The inode that it names.
    pub inode: u64,
    /// That inode's mode; only the type is used.
    pub mode: u32,
    /// Where to go on after this entry (opaque, stable while the directory is open).
    pub next: u64,
}

/// A thing that is open.
pub trait File: Any + Send + Sync {
    /// Returns what fstat(2) tells.
    fn metadata(&self) -> Result<Metadata, Errno>;

    /// Returns the inode behind a file that has a place in a file system.
    fn inode(&self) -> Option<Arc<dyn Inode>> {
        None
    }

    /// Tells whether the file has an offset: then `read_at` and `write_at` are used for all
    /// reading and writing, else `read` and `write`.
    fn is_seekable(&self) -> bool {
        false
    }

    /// Tells whether lseek(2) does nothing and says so with 0, as for eventfds and their like.
    fn ignores_seek(&self) -> bool {
        false
    }

    /// Reads the next bytes of a stream; 0 is the end. `flags` are the open file's.
    fn read(&self, to: &mut dyn Sink, flags: OpenFlags) -> SysResult {
        let _ = (to, flags);
        Err(Errno::EINVAL)
    }

    /// Writes to a stream. `flags` are the open file's.
    fn write(&self, from: &mut dyn Source, flags: OpenFlags) -> SysResult {
        let _ = (from, flags);
        Err(Errno::EINVAL)
    }

    /// Reads at an offset; 0 at or past the end.
    fn read_at(&self, offset: u64, to: &mut dyn Sink) -> SysResult {
        let _ = (offset, to);
        Err(Errno::ESPIPE)
    }

    /// Writes at an offset; the file grows as needed.
    fn write_at(&self, offset: u64, from: &mut dyn Source) -> SysResult {
        let _ = (offset, from);
        Err(Errno::ESPIPE)
    }

    /// Writes at the end, indivisibly; returns the count and the offset after it.
    fn append(&self, from: &mut dyn Source) -> Result<(usize, u64), Errno> {
        let _ = from;
        Err(Errno::ESPIPE)
    }

    /// Returns the length that SEEK_END counts from.
    fn size(&self) -> Result<u64, Errno> {
        Ok(self.metadata()?.size)
    }

    /// Returns where data (or a hole) next begins at or after `offset`: SEEK_DATA, SEEK_HOLE of lseek(2).
    fn seek_sparse(&self, offset: u64, wants_hole: bool) -> Result<u64, Errno> {
        let size = self.size()?;
        match (offset < size, wants_hole) {
            (false, _) => Err(Errno::ENXIO),
            (true, true) => Ok(size),
            (true, false) => Ok(offset),
        }
    }

    /// Makes the file this long (ftruncate(2)).
    fn truncate(&self, size: u64) -> Result<(), Errno> {
        let _ = size;
        Err(Errno::EINVAL)
    }

    /// Gives the file storage, or takes some of it (fallocate(2)).
    fn allocate(&self, mode: u32, offset: u64, len: u64) -> Result<(), Errno> {
        let _ = (mode, offset, len);
        Err(Errno::ENODEV)
    }

    /// Reports entries from `cursor` on (0: the first) until there are no more or `emit` gives false.
    fn read_dir(&self, cursor: u64, emit: &mut dyn FnMut(DirEntry) -> bool) -> Result<(), Errno> {
        let _ = (cursor, emit);
        Err(Errno::ENOTDIR)
    }

    /// Returns what the file is ready for now (without waiting).
    fn poll(&self) -> PollEvents {
        PollEvents::READABLE | PollEvents::WRITABLE
    }

    /// Returns the queue that is woken whenever `poll` may have changed; `None`: it never changes.
    fn wait_queue(&self) -> Option<&WaitQueue> {
        None
    }

    /// Tells whether epoll_ctl(2) may watch it (it gives EPERM for regular files and directories).
    fn is_pollable(&self) -> bool {
        self.wait_queue().is_some()
    }

    /// Does what ioctl(2) asks of this kind of file; `argument` is a number or an address in C's memory.
    fn ioctl(&self, request: u32, argument: usize) -> SysResult {
        let _ = (request, argument);
        Err(Errno::ENOTTY)
    }

    /// Returns the object that mmap(2) maps; `ENODEV` if it cannot be mapped. `is_shared_writable`:
    /// the map may change the file, which a seal can forbid (`EPERM`).
    fn backing(&self, is_shared_writable: bool) -> Result<Arc<dyn mmap_shim::Backing>, Errno> {
        let _ = is_shared_writable;
        Err(Errno::ENODEV)
    }

    /// Opens the file once more, for an open(2) of `/proc/self/fd/N` where there is no inode.
    fn reopen(&self, flags: OpenFlags) -> Result<Arc<dyn File>, Errno> {
        let _ = flags;
        Err(Errno::ENXIO)
    }

    /// Returns the file as a socket, if it is one.
    fn socket(&self) -> Option<&dyn Socket> {
        None
    }

    /// Returns what kind of nameless file it is, as in the link text `anon_inode:[eventfd]`.
    fn label(&self) -> &'static str {
        "file"
    }

    /// Brings the content to stable storage (fsync(2)); memory has nothing more stable.
    fn sync(&self) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// Runs at each close(2) of a descriptor of this file; the last one drops the file itself.
    fn closed(&self) {}
}

impl dyn File {
    /// Returns the file as what it really is, if that is a `T`.
    pub fn downcast<T: File>(self: &Arc<Self>) -> Option<Arc<T>> {
        let any: Arc<dyn Any + Send + Sync> = self.clone();
        any.downcast().ok()
    }

    /// Returns a reference to the file as what it really is, if that is a `T`.
    pub fn downcast_ref<T: File>(&self) -> Option<&T> {
        let any: &dyn Any = self;
        any.downcast_ref()
    }
}
