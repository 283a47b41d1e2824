//! `/dev`: devices that are nothing but their meaning (null(4), full(4), random(4)), and the console.

use super::description::MAX_OFFSET;
use super::file::{File, Metadata};
use super::inode::{Inode, NewNode};
use super::io::{Sink, Source};
use super::tmpfs::{DeviceOpen, Node, TmpFs};
use super::{kmsg, system, userfs};
use crate::console::{self, pty};
use crate::libc::errno::{Errno, SysResult};
use crate::libc::random;
use alloc::sync::Arc;
use mmap_shim::Backing;

/// Makes the number of a device (makedev(3)); both parts are below 256 here.
const fn device(major: u64, minor: u64) -> u64 {
    major << 8 | minor
}

/// Name, permissions, number, and how it is opened.
const DEVICES: [(&str, u32, u64, DeviceOpen); 10] = [
    ("null", 0o666, device(1, 3), |inode, _| {
        open(inode, Meaning::Null)
    }),
    ("zero", 0o666, device(1, 5), |inode, _| {
        open(inode, Meaning::Zero)
    }),
    ("full", 0o666, device(1, 7), |inode, _| {
        open(inode, Meaning::Full)
    }),
    ("random", 0o666, device(1, 8), |inode, _| {
        open(inode, Meaning::Random)
    }),
    ("urandom", 0o666, device(1, 9), |inode, _| {
        open(inode, Meaning::Random)
    }),
    ("kmsg", 0o644, device(1, 11), kmsg::open),
    // A minor number of the class that Linux leaves for local use (10 is that of miscellaneous devices).
    ("userfs", 0o600, device(10, 240), userfs::channel::open),
    ("tty", 0o666, device(5, 0), console::open),
    ("console", 0o620, device(5, 1), console::open),
    ("ptmx", 0o666, device(5, 2), pty::open_master),
];

/// Names that lead elsewhere.
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Makes the file system.
pub fn create() -> Result<Arc<Node>, Errno> {
    let root = TmpFs::create(system::default_limit_pages(), 0o755);
    for (name, mode, number, open) in DEVICES {
        root.add_device(name, mode, number, open)?;
    }
    for (name, target) in LINKS {
        root.create(name.as_bytes(), 0o777, NewNode::Symlink(target.as_bytes()))?;
    }
    // shm_open(3) makes its files here.
    root.create(b"shm", 0o1777, NewNode::Directory)?;
    pty::set_directory(root.create(b"pts", 0o755, NewNode::Directory)?);
    Ok(root)
}

/// What reading and writing mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Null,
    Zero,
    Full,
    Random,
}

fn open(inode: Arc<dyn Inode>, meaning: Meaning) -> Result<Arc<dyn File>, Errno> {
    Ok(Arc::new(Device { inode, meaning }))
}

struct Device {
    inode: Arc<dyn Inode>,
    meaning: Meaning,
}

impl File for Device {
    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.inode.metadata())
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn read_at(&self, _offset: u64, to: &mut dyn Sink) -> SysResult {
        let count = to.remaining();
        match self.meaning {
            Meaning::Null => return Ok(0),
            Meaning::Zero | Meaning::Full => to.put_zeros(count)?,
            Meaning::Random => {
                let mut chunk = [0; 256];
                while to.remaining() > 0 {
                    let len = chunk.len().min(to.remaining());
                    random::fill(&mut chunk[..len]);
                    to.put(&chunk[..len])?;
                }
            }
        }
        Ok(count)
    }

    fn write_at(&self, _offset: u64, from: &mut dyn Source) -> SysResult {
        let count = from.remaining();
        match self.meaning {
            Meaning::Full if count > 0 => return Err(Errno::ENOSPC),
            Meaning::Random => {
                let mut chunk = [0; 256];
                while from.remaining() > 0 {
                    let len = chunk.len().min(from.remaining());
                    from.take(&mut chunk[..len])?;
                    random::mix(&chunk[..len]);
                }
            }
            _ => {}
        }
        Ok(count)
    }

    fn append(&self, from: &mut dyn Source) -> Result<(usize, u64), Errno> {
        self.write_at(0, from).map(|count| (count, 0))
    }

    fn size(&self) -> Result<u64, Errno> {
        Ok(0)
    }

    /// Mapping `/dev/zero` is a map of a new file of zeros.
    fn backing(&self, is_shared_writable: bool) -> Result<Arc<dyn Backing>, Errno> {
        if self.meaning != Meaning::Zero {
            return Err(Errno::ENODEV);
        }
        let zeros = super::memfd::create(b"/dev/zero", 0o600, false)?;
        zeros.file().truncate(MAX_OFFSET & !0xfff)?;
        zeros.file().backing(is_shared_writable)
    }
}
