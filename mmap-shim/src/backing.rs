//! What stands behind a file-backed area.

use crate::Frame;
use alloc::string::String;

/// Tells one mapped object from another: what `/proc/self/maps` shows of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The file system's number (`st_dev`).
    pub device: u64,
    /// The inode's number in it (`st_ino`).
    pub inode: u64,
}

/// Why an object cannot give a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackingError {
    /// The page lies past the end of the object: the access ends in SIGBUS.
    PastEnd,
    /// There is no memory for the page.
    NoMemory,
}

/// An object whose pages can be mapped: a file of tmpfs or of the system image, a device.
///
/// The object owns its frames. It is asked with the address space locked, from the page-fault
/// path, so no method may sleep or touch memory of C.
///
/// A frame that [`page`](Backing::page) gave may be mapped until [`crate::AddressSpace::forget_backing`]
/// returns: an object that drops pages (truncation, a punched hole) first makes `page` refuse
/// them, then calls `forget_backing`, and only then reuses the frames.
pub trait Backing: Send + Sync {
    /// Returns the frame that holds page `index` (counted from the object's start).
    ///
    /// A hole is filled with a zeroed frame here: the frame may be mapped writable.
    fn page(&self, index: u64) -> Result<Frame, BackingError>;

    /// Returns the length in bytes.
    fn len(&self) -> u64;

    /// Tells whether there is nothing in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns what tells it from others.
    fn identity(&self) -> Identity;

    /// Returns the path to show in `/proc/self/maps`.
    fn path(&self) -> String;

    /// Notes that the content may have been changed through a shared mapping, so that the time of
    /// modification is updated (mmap(2): at msync(2) at the latest).
    fn mark_written(&self) {}
}
