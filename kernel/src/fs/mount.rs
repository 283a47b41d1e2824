//! The tree of mounted file systems: its root, and what `/proc/mounts` tells.

use super::inode::Inode;
use crate::libc::errno::Errno;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use smp::SpinLock;
use spin::Once;

static ROOT: Once<Arc<dyn Inode>> = Once::new();
static MOUNTS: SpinLock<Vec<Mount>> = SpinLock::new(Vec::new());
static NEXT_DEVICE: AtomicU64 = AtomicU64::new(1);

/// A mounted file system, for `/proc/mounts`.
#[derive(Clone)]
pub struct Mount {
    /// Its source, as mount(8) would name it.
    pub source: &'static str,
    /// The path that it covers.
    pub path: String,
    /// Its type.
    pub fs_type: &'static str,
    /// Its options.
    pub options: &'static str,
}

/// Returns the device number (`st_dev`) for a new file system: minor numbers of major 0, as for all
/// that have no disk.
pub fn next_device() -> u64 {
    NEXT_DEVICE.fetch_add(1, Ordering::Relaxed)
}

/// Makes `root` the root of everything.
pub fn mount_root(root: Arc<dyn Inode>, mount: Mount) {
    ROOT.call_once(|| root);
    MOUNTS.lock().push(mount);
}

/// Returns the root directory.
pub fn root() -> &'static Arc<dyn Inode> {
    ROOT.get()
        .expect("the root is mounted before any call is made")
}

/// Covers the directory `point` with the root of a file system.
pub fn mount_on(point: &Arc<dyn Inode>, root: Arc<dyn Inode>, mount: Mount) -> Result<(), Errno> {
    root.set_mount_point(point);
    point.mount(root)?;
    MOUNTS.lock().push(mount);
    Ok(())
}

/// Uncovers the directory `point`, which `root` covers; `path` is what its [`Mount`] says. What is open below `root`
/// stays so.
pub fn unmount(point: &Arc<dyn Inode>, root: &Arc<dyn Inode>, path: &str) {
    point.unmount(root);
    let mut mounts = MOUNTS.lock();
    let found = mounts.iter().rposition(|mount| mount.path == path);
    let gone = found.map(|index| mounts.remove(index));
    drop(mounts);
    drop(gone);
}

/// Returns all mounts in order.
pub fn collect_mounts() -> Vec<Mount> {
    MOUNTS.lock().clone()
}
