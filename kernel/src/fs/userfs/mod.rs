//! File systems that a program serves: calls on their files become requests, which a thread of Python answers.
//!
//! ```text
//!   open("/mnt/x") ──► walk ──► Node ──► Channel ──read(2)──► server ──► an object written in Python
//!                                          ▲                    │
//!                                          └──────write(2)──────┘
//! ```
//!
//! A server opens `/dev/userfs`, names a directory with the ioctl [`channel::MOUNT`], reads requests and writes
//! replies, as with Linux's fuse(4), but with paths in place of node numbers, so that a server needs no table of
//! them. The ioctl [`channel::UNMOUNT`], or closing the last descriptor, unmounts; what is still open fails with
//! ENOTCONN from then on.
//!
//! Nothing is cached: two calls see what the server says at that moment. A call waits for its reply
//! without a lock of the file system, interruptibly and no longer than the mount allows (ETIMEDOUT), because the
//! server may be stuck, or stopped by what the caller holds.
//!
//! A request, in the machine's byte order: `u64` number, `u32` operation ([`Operation`]), `u32` length of the path,
//! `u64` and `u64` that depend on the operation, the path from the root of the mount (no slash at its start), the
//! data to its end. A reply: `u64` number, `i32` error number or 0, `u32` length of the data, the data.

pub mod channel;
mod file;
mod node;
#[cfg(test)]
mod tests;

/// What a server is asked for. The comments name path, first and second number, data; then the data of the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Operation {
    /// Path. Reply: [`Attributes`].
    Attributes = 1,
    /// Path of a directory. Reply: for each name `u32` mode, `u32` length, name.
    List = 2,
    /// Path, offset, count. Reply: the bytes, fewer than asked for only at the end.
    Read = 3,
    /// Path, offset; data. Reply: `u64` count.
    Write = 4,
    /// Path, length.
    Truncate = 5,
    /// Path, mode: an empty file that is not there yet.
    Create = 6,
    /// Path, mode.
    MakeDirectory = 7,
    /// Path of anything but a directory.
    Unlink = 8,
    /// Path of an empty directory.
    RemoveDirectory = 9,
    /// Old path, flags of renameat2(2); new path.
    Rename = 10,
    /// Path; text: a symbolic link.
    MakeLink = 11,
    /// Path of a symbolic link. Reply: its text.
    ReadLink = 12,
    /// Path, mode.
    SetMode = 13,
    /// Path, access and modification time in ns since 1970.
    SetTimes = 14,
    /// Path: everything written is to be safe (fsync(2)).
    Sync = 15,
    /// Reply: `u64` blocks of 4 KiB, `u64` of them free.
    Statistics = 16,
}

/// What a server says about a path: `u32` mode, `u32` links, `u64` size, `i64` time of change in ns since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Type and permissions (inode(7)).
    pub mode: u32,
    /// How many names it has.
    pub links: u32,
    /// Bytes.
    pub size: u64,
    /// When its content last changed.
    pub modified_ns: i64,
}

/// The bytes of [`Attributes`].
const ATTRIBUTES_BYTES: usize = 24;

impl Attributes {
    fn from_bytes(bytes: &[u8]) -> Option<Attributes> {
        let bytes: &[u8; ATTRIBUTES_BYTES] = bytes.try_into().ok()?;
        let (mode, rest) = bytes.split_first_chunk()?;
        let (links, rest) = rest.split_first_chunk()?;
        let (size, rest) = rest.split_first_chunk()?;
        Some(Attributes {
            mode: u32::from_ne_bytes(*mode),
            links: u32::from_ne_bytes(*links),
            size: u64::from_ne_bytes(*size),
            modified_ns: i64::from_ne_bytes(rest.try_into().ok()?),
        })
    }
}
