//! A root file system for tests that make whole calls.

use super::mount::{self, Mount};
use super::tmpfs::TmpFs;
use std::sync::Once;

/// Mounts an empty file system as the root, once for all tests of the process.
pub fn mount() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let mount = Mount {
            source: "tmpfs",
            path: "/".into(),
            fs_type: "tmpfs",
            options: "rw",
        };
        mount::mount_root(TmpFs::create(100_000, 0o755), mount);
    });
}
