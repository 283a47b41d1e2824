//! Regular files of tmpfs, open and as mapped objects, with the seals of memfd_create(2).

use super::TmpFs;
use super::node::{Body, Node};
use crate::fs::content::Content;
use crate::fs::file::{File, Metadata, OpenFlags, PollEvents};
use crate::fs::inode::Inode;
use crate::fs::io::{Sink, Source};
use crate::fs::limits;
use crate::libc::errno::{Errno, SysResult};
use crate::memory::address_space;
use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use linux_raw_sys::general as raw;
use mmap_shim::{Backing, BackingError, Frame, Identity};

/// What a regular file consists of.
pub(super) struct Regular {
    pub(super) content: Content,
    /// F_SEAL_* of fcntl(2); a file that is no memfd has F_SEAL_SEAL, so none can be added.
    seals: AtomicU32,
    /// A map of it was made at some time, so pages may be in page tables.
    was_mapped: AtomicBool,
}

impl Regular {
    pub(super) fn new(fs: &Arc<TmpFs>) -> Self {
        Self::with_content(Content::new(fs.budget.clone()))
    }

    pub(super) fn with_content(content: Content) -> Self {
        Regular {
            content,
            seals: AtomicU32::new(raw::F_SEAL_SEAL),
            was_mapped: AtomicBool::new(false),
        }
    }

    fn has_seal(&self, seal: u32) -> bool {
        self.seals.load(Ordering::Relaxed) & seal != 0
    }
}

impl Node {
    /// Gives an empty file a content in the system image, if there is any.
    pub fn set_image_content(&self, image: &'static [u8]) -> Result<(), Errno> {
        if !image.is_empty() {
            self.regular()?.content.set_image(image);
        }
        Ok(())
    }

    /// Returns the seals of a file.
    pub fn seals(&self) -> Result<u32, Errno> {
        Ok(self
            .regular()
            .map_err(|_| Errno::EINVAL)?
            .seals
            .load(Ordering::Relaxed))
    }

    /// Lets seals be added, or not (memfd_create(2) with MFD_ALLOW_SEALING).
    pub fn allow_sealing(&self, is_allowed: bool) -> Result<(), Errno> {
        let seals = if is_allowed { 0 } else { raw::F_SEAL_SEAL };
        self.regular()?.seals.store(seals, Ordering::Relaxed);
        Ok(())
    }

    /// Adds seals (fcntl(2) F_ADD_SEALS).
    pub fn add_seals(&self, seals: u32) -> Result<(), Errno> {
        const KNOWN: u32 = raw::F_SEAL_SEAL
            | raw::F_SEAL_SHRINK
            | raw::F_SEAL_GROW
            | raw::F_SEAL_WRITE
            | raw::F_SEAL_FUTURE_WRITE
            | raw::F_SEAL_EXEC;
        let regular = self.regular().map_err(|_| Errno::EINVAL)?;
        if seals & !KNOWN != 0 {
            return Err(Errno::EINVAL);
        }
        if regular.has_seal(raw::F_SEAL_SEAL) {
            return Err(Errno::EPERM);
        }
        regular.seals.fetch_or(seals, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn truncate_regular(self: &Node, size: u64) -> Result<(), Errno> {
        let regular = self.regular()?;
        let old = regular.content.size();
        if (size < old && regular.has_seal(raw::F_SEAL_SHRINK))
            || (size > old && regular.has_seal(raw::F_SEAL_GROW))
        {
            return Err(Errno::EPERM);
        }
        limits::check_file_size(size, old)?;
        let identity = self.identity();
        regular
            .content
            .truncate(size, |pages| self.forget_maps(identity, pages));
        self.touch_modified();
        Ok(())
    }

    /// Gives or takes storage (fallocate(2)).
    pub(super) fn allocate_regular(&self, mode: u32, offset: u64, len: u64) -> Result<(), Errno> {
        let regular = self.regular().map_err(|_| Errno::ENODEV)?;
        let keeps_size = mode & raw::FALLOC_FL_KEEP_SIZE != 0;
        let end = offset
            .checked_add(len)
            .filter(|&end| end <= limits::MAX_FILE_SIZE)
            .ok_or(Errno::EFBIG)?;
        match mode & !raw::FALLOC_FL_KEEP_SIZE {
            0 => {
                let old = regular.content.size();
                if !keeps_size {
                    if end > old && regular.has_seal(raw::F_SEAL_GROW) {
                        return Err(Errno::EPERM);
                    }
                    limits::check_file_size(end, old)?;
                }
                regular.content.reserve(offset, len, keeps_size)?;
            }
            raw::FALLOC_FL_PUNCH_HOLE if keeps_size => {
                if regular.has_seal(raw::F_SEAL_WRITE | raw::F_SEAL_FUTURE_WRITE) {
                    return Err(Errno::EPERM);
                }
                let identity = self.identity();
                regular
                    .content
                    .punch(offset, len, |pages| self.forget_maps(identity, pages))?;
            }
            _ => return Err(Errno::EOPNOTSUPP),
        }
        self.touch_modified();
        Ok(())
    }

    fn identity(&self) -> Identity {
        Identity {
            device: self.fs.device,
            inode: self.number,
        }
    }

    /// Has page tables forget a range of pages, before their frames are used for something else.
    fn forget_maps(&self, identity: Identity, pages: core::ops::Range<u64>) {
        if let Body::Regular(regular) = &self.body
            && regular.was_mapped.load(Ordering::Acquire)
        {
            address_space::forget_backing(identity, pages);
        }
    }
}

/// An open regular file.
pub struct RegularFile {
    node: Arc<Node>,
    keeps_access_time: bool,
}

impl RegularFile {
    /// Opens a regular inode.
    pub fn new(node: Arc<Node>, flags: OpenFlags) -> Self {
        RegularFile {
            node,
            keeps_access_time: flags.contains(OpenFlags::NOATIME),
        }
    }

    /// Returns the inode.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    fn regular(&self) -> &Regular {
        match &self.node.body {
            Body::Regular(regular) => regular,
            _ => unreachable!("a RegularFile is made for regular inodes only"),
        }
    }

    /// Returns the size that a write may reach, as the seals and the process's limit allow.
    fn max_size(&self, offset: u64) -> Result<u64, Errno> {
        let regular = self.regular();
        let seals = regular.seals.load(Ordering::Relaxed);
        if seals & (raw::F_SEAL_WRITE | raw::F_SEAL_FUTURE_WRITE) != 0 {
            return Err(Errno::EPERM);
        }
        if seals & raw::F_SEAL_GROW != 0 {
            let size = regular.content.size();
            return if offset >= size {
                Err(Errno::EPERM)
            } else {
                Ok(size)
            };
        }
        limits::max_write_end(offset)
    }
}

impl File for RegularFile {
    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.node.metadata())
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.node.clone())
    }

    fn is_seekable(&self) -> bool {
        true
    }

    fn read_at(&self, offset: u64, to: &mut dyn Sink) -> SysResult {
        let count = self.regular().content.read_at(offset, to)?;
        if !self.keeps_access_time {
            self.node.touch_accessed();
        }
        Ok(count)
    }

    fn write_at(&self, offset: u64, from: &mut dyn Source) -> SysResult {
        if from.remaining() == 0 {
            return Ok(0);
        }
        let count = self
            .regular()
            .content
            .write_at(offset, from, self.max_size(offset)?)?;
        self.node.touch_modified();
        Ok(count)
    }

    fn append(&self, from: &mut dyn Source) -> Result<(usize, u64), Errno> {
        let size = self.regular().content.size();
        if from.remaining() == 0 {
            return Ok((0, size));
        }
        let written = self.regular().content.append(from, self.max_size(size)?)?;
        self.node.touch_modified();
        Ok(written)
    }

    fn size(&self) -> Result<u64, Errno> {
        Ok(self.regular().content.size())
    }

    fn seek_sparse(&self, offset: u64, wants_hole: bool) -> Result<u64, Errno> {
        self.regular().content.seek_sparse(offset, wants_hole)
    }

    fn truncate(&self, size: u64) -> Result<(), Errno> {
        self.node.truncate_regular(size)
    }

    fn allocate(&self, mode: u32, offset: u64, len: u64) -> Result<(), Errno> {
        self.node.allocate_regular(mode, offset, len)
    }

    fn poll(&self) -> PollEvents {
        PollEvents::READABLE | PollEvents::WRITABLE
    }

    fn ioctl(&self, request: u32, argument: usize) -> SysResult {
        let _ = argument;
        let _ = request;
        Err(Errno::ENOTTY)
    }

    fn backing(&self, is_shared_writable: bool) -> Result<Arc<dyn Backing>, Errno> {
        let regular = self.regular();
        if is_shared_writable && regular.has_seal(raw::F_SEAL_WRITE | raw::F_SEAL_FUTURE_WRITE) {
            return Err(Errno::EPERM);
        }
        regular.was_mapped.store(true, Ordering::Release);
        Ok(Arc::new(Mapped {
            node: self.node.clone(),
        }))
    }

    fn sync(&self) -> Result<(), Errno> {
        Ok(())
    }
}

/// A regular file as an object that areas of the address space show.
struct Mapped {
    node: Arc<Node>,
}

impl Mapped {
    fn content(&self) -> &Content {
        match &self.node.body {
            Body::Regular(regular) => &regular.content,
            _ => unreachable!("only regular files are mapped"),
        }
    }
}

impl Backing for Mapped {
    fn page(&self, index: u64) -> Result<Frame, BackingError> {
        self.content().mapped_page(index)
    }

    fn len(&self) -> u64 {
        self.content().size()
    }

    fn identity(&self) -> Identity {
        self.node.identity()
    }

    fn path(&self) -> String {
        String::new()
    }

    fn mark_written(&self) {
        self.node.touch_modified();
    }
}
