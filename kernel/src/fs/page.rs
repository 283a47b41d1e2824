//! One page of file content: a physical frame that reads, writes and maps of C share.
//!
//! Its bytes may change while they are read, by another CPU's write or through a map; as on
//! Linux, whoever wants order between them makes it with a lock. That is why nothing here
//! hands out a reference for longer than one copy takes.

use super::io::{Sink, Source};
use crate::libc::errno::Errno;
use alloc::sync::Arc;

#[cfg(target_os = "none")]
use crate::memory::OwnedPage;
#[cfg(not(target_os = "none"))]
use host::OwnedPage;

/// The size of a page in bytes.
pub const PAGE_SIZE: usize = mmap_shim::PAGE_SIZE;

/// How many frames must be left for the kernel to keep one more name or inode.
#[cfg(target_os = "none")]
const ROOM: usize = 16;

/// Fails with `ENOSPC` when memory is so short that no more names and inodes should be kept: they
/// lie in the kernel heap, which cannot be refused and would take the last frames.
pub fn check_room() -> Result<(), Errno> {
    #[cfg(target_os = "none")]
    if !crate::memory::frames::has_room(ROOM) {
        return Err(Errno::ENOSPC);
    }
    Ok(())
}

/// A page of a file; clones are the same page, freed with the last of them.
#[derive(Clone)]
pub struct Page(Arc<OwnedPage>);

impl Page {
    /// Makes a page of zeros; `ENOSPC` if there is no memory, as tmpfs says it.
    pub fn zeroed() -> Result<Page, Errno> {
        let page = OwnedPage::new_zeroed().ok_or(Errno::ENOSPC)?;
        Ok(Page(Arc::new(page)))
    }

    /// Returns the frame that mmap(2) maps.
    pub fn frame(&self) -> mmap_shim::Frame {
        self.0.frame()
    }

    fn range(&self, from: usize, len: usize) -> *mut u8 {
        assert!(
            from <= PAGE_SIZE && len <= PAGE_SIZE - from,
            "a range lies within its page"
        );
        // SAFETY: `from` is within the page or one past it, checked above.
        unsafe { self.0.as_ptr().add(from) }
    }

    /// Copies part of the page out.
    pub fn read(&self, from: usize, len: usize, to: &mut dyn Sink) -> Result<(), Errno> {
        let start = self.range(from, len);
        // SAFETY: `range` checked that the bytes are the page's, which lives while `self` does;
        // the slice ends with this copy (see the module's comment on changes meanwhile).
        to.put(unsafe { core::slice::from_raw_parts(start, len) })
    }

    /// Copies into part of the page.
    pub fn write(&self, to: usize, len: usize, from: &mut dyn Source) -> Result<(), Errno> {
        let start = self.range(to, len);
        // SAFETY: as in `read`.
        from.take(unsafe { core::slice::from_raw_parts_mut(start, len) })
    }

    /// Copies the kernel's own bytes into the page.
    pub fn fill(&self, to: usize, bytes: &[u8]) {
        let start = self.range(to, bytes.len());
        // SAFETY: `range` checked the destination; the source is a slice and no part of the page.
        unsafe { start.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }

    /// Zeroes part of the page.
    pub fn zero(&self, from: usize, len: usize) {
        let start = self.range(from, len);
        // SAFETY: `range` checked the bounds.
        unsafe { start.write_bytes(0, len) };
    }
}

/// Pages of the host's heap, for tests.
#[cfg(not(target_os = "none"))]
mod host {
    use super::PAGE_SIZE;
    use alloc::alloc::{Layout, alloc_zeroed, dealloc};
    use core::ptr::NonNull;

    const LAYOUT: Layout = match Layout::from_size_align(PAGE_SIZE, PAGE_SIZE) {
        Ok(layout) => layout,
        Err(_) => panic!("a page has a valid layout"),
    };

    pub struct OwnedPage(NonNull<u8>);

    // SAFETY: the page is owned, and all access is by plain copies of bytes.
    unsafe impl Send for OwnedPage {}
    // SAFETY: as above.
    unsafe impl Sync for OwnedPage {}

    impl OwnedPage {
        pub fn new_zeroed() -> Option<Self> {
            // SAFETY: the layout's size is not zero.
            NonNull::new(unsafe { alloc_zeroed(LAYOUT) }).map(OwnedPage)
        }

        pub fn frame(&self) -> mmap_shim::Frame {
            mmap_shim::Frame::containing(self.0.addr().get() as u64)
        }

        pub fn as_ptr(&self) -> *mut u8 {
            self.0.as_ptr()
        }
    }

    impl Drop for OwnedPage {
        fn drop(&mut self) {
            // SAFETY: `new_zeroed` made it with this layout.
            unsafe { dealloc(self.0.as_ptr(), LAYOUT) };
        }
    }
}
