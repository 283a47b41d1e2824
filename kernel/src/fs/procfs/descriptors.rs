//! `/proc/self/fd`: the open files as links.

use crate::fs::description::Description;
use crate::fs::fd_table::FILES;
use crate::fs::file::{File, Metadata, OpenFlags};
use crate::fs::inode::{FileType, FsStat, Inode, Link};
use crate::fs::walk;
use crate::libc::errno::Errno;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;

/// The descriptors in use.
pub fn collect() -> Vec<u32> {
    FILES
        .collect_open()
        .into_iter()
        .map(|fd| fd as u32)
        .collect()
}

/// Tells whether one is in use.
pub fn exists(fd: u32) -> bool {
    FILES.get_any(fd as usize).is_ok()
}

/// Where the link leads: to the file itself, whatever its path says by now.
pub fn target(fd: u32) -> Result<Link, Errno> {
    let description = FILES.get_any(fd as usize).map_err(|_| Errno::ENOENT)?;
    Ok(Link::Inode(
        description
            .file()
            .inode()
            .unwrap_or_else(|| Arc::new(Nameless { description })),
    ))
}

/// The link's text: the path, or what stands for one.
pub fn text(fd: u32) -> Result<Vec<u8>, Errno> {
    let description = FILES.get_any(fd as usize).map_err(|_| Errno::ENOENT)?;
    if let Some(path) = path_of(&description) {
        return Ok(path);
    }
    let metadata = description.file().metadata()?;
    let text = match FileType::from_mode(metadata.mode) {
        Some(FileType::Fifo) => format!("pipe:[{}]", metadata.inode),
        Some(FileType::Socket) => format!("socket:[{}]", metadata.inode),
        _ => format!("anon_inode:[{}]", description.file().label()),
    };
    Ok(text.into_bytes())
}

fn path_of(description: &Description) -> Option<Vec<u8>> {
    let inode = description.file().inode()?;
    if inode.file_type() == FileType::Directory {
        return Some(walk::path_of(&inode).unwrap_or_else(|_| b"(deleted)".to_vec()));
    }
    let Some(place) = description.place() else {
        return Some(format!("/#{} (deleted)", inode.metadata().inode).into_bytes());
    };
    let mut path = walk::path_of(&place.directory).unwrap_or_default();
    if path.last() != Some(&b'/') {
        path.push(b'/');
    }
    path.extend_from_slice(&place.name);
    let is_there = place.directory.lookup(&place.name).is_ok_and(|there| {
        let (there, here) = (there.metadata(), inode.metadata());
        (there.device, there.inode) == (here.device, here.inode)
    });
    if !is_there {
        path.extend_from_slice(b" (deleted)");
    }
    Some(path)
}

/// `/proc/self/fdinfo/N`.
pub fn info(fd: u32, text: &mut String) -> Result<(), Errno> {
    let description = FILES.get_any(fd as usize).map_err(|_| Errno::ENOENT)?;
    let mut flags = description.flags();
    flags.set(
        OpenFlags::CLOEXEC,
        FILES.is_cloexec(fd as usize).unwrap_or(false),
    );
    let offset = description.with_offset(|offset| *offset);
    let inode = description.file().metadata()?.inode;
    let result = write!(
        text,
        "pos:\t{offset}\nflags:\t0{:o}\nmnt_id:\t1\nino:\t{inode}\n",
        flags.bits()
    );
    result.map_err(|_| Errno::ENOMEM)
}

/// An open file that has no inode, as what a link leads to.
struct Nameless {
    description: Arc<Description>,
}

impl Inode for Nameless {
    fn file_type(&self) -> FileType {
        FileType::from_mode(self.metadata().mode).unwrap_or(FileType::CharDevice)
    }

    fn metadata(&self) -> Metadata {
        self.description.file().metadata().unwrap_or_default()
    }

    fn open(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn File>, Errno> {
        self.description.file().reopen(flags)
    }

    fn fs_stat(&self) -> FsStat {
        FsStat::default()
    }
}
