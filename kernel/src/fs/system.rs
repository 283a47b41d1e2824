//! The file systems of the machine, mounted in order at boot.

use super::content::PageBudget;
use super::description::Description;
use super::fd_table::FILES;
use super::file::OpenFlags;
use super::inode::{Inode, NewNode};
use super::mount::{self, Mount};
use super::tmpfs::{Node, TmpFs};
use super::{devfs, image, open, procfs, sysfs};
use crate::libc::errno::Errno;
use crate::log;
use crate::memory;
use alloc::string::String;
use alloc::sync::Arc;

/// Returns how many pages a file system in memory may take: half of the machine's, as on Linux, and
/// 4 MiB where nobody has counted them (host tests).
pub fn default_limit_pages() -> u64 {
    (memory::frames::total_count() as u64 / 2).max(1024)
}

/// Mounts everything: the root with the files of the system image (`archives`) and the program that
/// runs, whose path and content are `program`; `/dev`, `/proc`, `/sys`.
pub fn mount_all(
    archives: impl Iterator<Item = &'static [u8]>,
    program: (&'static str, &'static [u8]),
) -> Result<(), Errno> {
    let root = TmpFs::create(default_limit_pages(), 0o755);
    for archive in archives {
        let loaded = image::load(&root, archive);
        log::info!(
            "kernel.vfs",
            "system image: {} files, {} KiB",
            loaded.files,
            loaded.bytes / 1024
        );
    }
    image::add_file(&root, program.0.as_bytes(), 0o555, program.1)?;
    let inode: Arc<dyn Inode> = root.clone();
    mount::mount_root(inode, describe("tmpfs", "/", "tmpfs"));
    for (name, mode) in [("home", 0o755), ("tmp", 0o1777)] {
        ensure_directory(&root, name, mode)?;
    }
    mount_under_root(
        &root,
        "dev",
        devfs::create()?,
        describe("devtmpfs", "/dev", "devtmpfs"),
    )?;
    mount_under_root(
        &root,
        "proc",
        procfs::create(),
        describe("proc", "/proc", "proc"),
    )?;
    mount_under_root(
        &root,
        "sys",
        sysfs::create(),
        describe("sysfs", "/sys", "sysfs"),
    )?;
    log::info!("kernel.vfs", "tmpfs mounted at /");
    Ok(())
}

fn describe(source: &'static str, path: &str, fs_type: &'static str) -> Mount {
    Mount {
        source,
        path: String::from(path),
        fs_type,
        options: "rw,relatime",
    }
}

fn ensure_directory(root: &Arc<Node>, name: &str, mode: u32) -> Result<Arc<dyn Inode>, Errno> {
    match root.create(name.as_bytes(), mode, NewNode::Directory) {
        Err(Errno::EEXIST) => root.lookup(name.as_bytes()),
        made => made,
    }
}

fn mount_under_root(
    root: &Arc<Node>,
    name: &str,
    file_system: Arc<dyn Inode>,
    mount: Mount,
) -> Result<(), Errno> {
    let point = ensure_directory(root, name, 0o755)?;
    mount::mount_on(&point, file_system, mount)
}

/// Opens the console as descriptors 0, 1 and 2.
pub fn open_standard_streams() -> Result<(), Errno> {
    let console = open::open(mount::root(), b"/dev/console", OpenFlags::RDWR, 0)?;
    for fd in 0..3 {
        let description: Arc<Description> = console.clone();
        FILES.replace(fd, description, false)?;
    }
    Ok(())
}

/// A budget for tests and for file systems of a fixed size.
pub fn budget(limit_pages: u64) -> Arc<PageBudget> {
    Arc::new(PageBudget::new(limit_pages))
}
