//! The file system in memory: the root (over the system image), `/dev`, and what `memfd_create` makes.
//!
//! The system image is not a layer of its own below: its files are entries here whose content
//! starts out in the image (see [`super::content`]), so a file keeps its inode when it is first
//! written, a removed name needs no whiteout, and a lookup asks one tree.
//!
//! Locks: `TmpFs::namespace` is held over every change of names, and then each directory's
//! `children` for the moment of reading or changing it; no two `children` are held together.

mod attributes;
mod directory;
mod node;
mod regular;
mod rename;
#[cfg(test)]
mod tests;

pub use directory::ImageEntry;
pub use node::{DeviceOpen, Node};
pub use regular::RegularFile;

use super::content::PageBudget;
use super::inode::{FileType, FsStat};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use smp::Mutex;

/// The magic number that statfs(2) gives for tmpfs.
const MAGIC: u64 = 0x0102_1994;

/// One such file system.
pub struct TmpFs {
    device: u64,
    next_number: AtomicU64,
    budget: Arc<PageBudget>,
    namespace: Mutex<()>,
}

impl TmpFs {
    /// Makes an empty file system that may take `limit_pages` pages, and returns its root directory.
    pub fn create(limit_pages: u64, root_mode: u32) -> Arc<Node> {
        let fs = Arc::new(TmpFs {
            device: super::mount::next_device(),
            next_number: AtomicU64::new(1),
            budget: Arc::new(PageBudget::new(limit_pages)),
            namespace: Mutex::new(()),
        });
        Node::new_directory(&fs, root_mode, None)
    }

    /// Returns the number for the next inode.
    fn take_number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    fn stat(&self) -> FsStat {
        let mut stat = FsStat {
            magic: MAGIC,
            ..FsStat::default()
        };
        self.budget.fill(&mut stat);
        stat
    }
}

/// Splits a mode of the image into its type and the rest.
fn split_mode(mode: u32) -> Option<(FileType, u32)> {
    Some((FileType::from_mode(mode)?, mode & 0o7777))
}
