//! What the process keeps about files besides its descriptors: where it is, and its mask.

use super::inode::Inode;
use super::mount;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use smp::SpinLock;

/// `None` until the first chdir(2): the root.
static DIRECTORY: SpinLock<Option<Arc<dyn Inode>>> = SpinLock::new(None);
static MASK: AtomicU32 = AtomicU32::new(0o022);

/// Returns the current directory.
pub fn current_directory() -> Arc<dyn Inode> {
    let directory = DIRECTORY.lock().clone();
    directory.unwrap_or_else(|| mount::root().clone())
}

/// Makes `directory` the current one.
pub fn set_current_directory(directory: Arc<dyn Inode>) {
    let old = DIRECTORY.lock().replace(directory);
    drop(old);
}

/// Returns the permission bits that new files do not get (umask(2)).
pub fn mask() -> u32 {
    MASK.load(Ordering::Relaxed)
}

/// Sets the mask; returns the old one.
pub fn set_mask(mask: u32) -> u32 {
    MASK.swap(mask & 0o777, Ordering::Relaxed)
}
