//! Opening a path (open(2)): finding, creating, cutting, and the checks between.

use super::context;
use super::description::{Description, Place};
use super::file::{File, Metadata, OpenFlags};
use super::inode::{FileType, Inode, NewNode};
use super::walk::{Follow, Found, Last, walk, walk_to_create};
use crate::libc::errno::Errno;
use alloc::sync::Arc;

/// Checks that the flags make sense together, which comes before any look at the path.
pub fn check_flags(flags: OpenFlags) -> Result<(), Errno> {
    let creates_directory = flags.contains(OpenFlags::CREAT | OpenFlags::DIRECTORY);
    let cannot_write = flags.contains(OpenFlags::TMPFILE) && !flags.asks_to_write();
    if !flags.contains(OpenFlags::PATH) && (creates_directory || cannot_write) {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// Opens `path`, seen from `base`. `mode` is for a file that is created; the mask applies.
pub fn open(
    base: &Arc<dyn Inode>,
    path: &[u8],
    flags: OpenFlags,
    mode: u32,
) -> Result<Arc<Description>, Errno> {
    if flags.contains(OpenFlags::PATH) {
        return open_path_only(base, path, flags);
    }
    if flags.contains(OpenFlags::TMPFILE) {
        return open_unnamed(base, path, flags, mode);
    }
    let creates = flags.contains(OpenFlags::CREAT);
    // A name that another thread makes between our look and our `create` sends us round again.
    loop {
        let follow = Follow::from_open(flags);
        let found = if creates {
            walk_to_create(base, path, follow)
        } else {
            walk(base, path, follow)
        }?;
        if found.inode.is_some() || !creates {
            return open_existing(found, flags);
        }
        let Last::Name(name) = found.last else {
            return Err(Errno::EISDIR);
        };
        let permissions = mode & 0o7777 & !context::mask();
        match found.directory.create(&name, permissions, NewNode::Regular) {
            Ok(inode) => {
                let place = Place {
                    directory: found.directory,
                    name,
                };
                let file = inode.open(flags)?;
                return Ok(Description::at_place(file, flags, Some(place)));
            }
            Err(Errno::EEXIST) if !flags.contains(OpenFlags::EXCL) => continue,
            Err(errno) => return Err(errno),
        }
    }
}

fn open_existing(found: Found, flags: OpenFlags) -> Result<Arc<Description>, Errno> {
    let creates = flags.contains(OpenFlags::CREAT);
    let wants_directory = found.wants_directory || flags.contains(OpenFlags::DIRECTORY);
    let inode = found.inode.ok_or(Errno::ENOENT)?;
    if creates && flags.contains(OpenFlags::EXCL) {
        return Err(Errno::EEXIST);
    }
    let file_type = inode.file_type();
    match file_type {
        FileType::Symlink if flags.contains(OpenFlags::DIRECTORY) => return Err(Errno::ENOTDIR),
        FileType::Symlink => return Err(Errno::ELOOP),
        FileType::Directory
            if creates || flags.asks_to_write() || flags.contains(OpenFlags::TRUNC) =>
        {
            return Err(Errno::EISDIR);
        }
        FileType::Directory => {}
        _ if wants_directory => return Err(Errno::ENOTDIR),
        _ => {}
    }
    if flags.contains(OpenFlags::TRUNC) && file_type == FileType::Regular {
        inode.truncate(0)?;
    }
    let place = place_of(found.directory, found.last);
    let file = inode.open(flags)?;
    Ok(Description::at_place(file, flags, place))
}

fn place_of(directory: Arc<dyn Inode>, last: Last) -> Option<Place> {
    match last {
        Last::Name(name) => Some(Place { directory, name }),
        _ => None,
    }
}

/// O_TMPFILE: a file in the directory's file system, without a name.
fn open_unnamed(
    base: &Arc<dyn Inode>,
    path: &[u8],
    flags: OpenFlags,
    mode: u32,
) -> Result<Arc<Description>, Errno> {
    let directory = walk(base, path, Follow::from_open(flags))?.existing()?;
    if directory.file_type() != FileType::Directory {
        return Err(Errno::ENOTDIR);
    }
    let inode = directory.create_unnamed(mode & 0o7777 & !context::mask())?;
    let file = inode.open(flags)?;
    Ok(Description::new(file, flags))
}

/// O_PATH: a handle that names the file and opens nothing.
fn open_path_only(
    base: &Arc<dyn Inode>,
    path: &[u8],
    flags: OpenFlags,
) -> Result<Arc<Description>, Errno> {
    let kept = OpenFlags::PATH | OpenFlags::DIRECTORY | OpenFlags::NOFOLLOW | OpenFlags::CLOEXEC;
    let flags = flags & kept;
    let follow = if flags.contains(OpenFlags::NOFOLLOW) {
        Follow::No
    } else {
        Follow::Yes
    };
    let found = walk(base, path, follow)?;
    let wants_directory = found.wants_directory || flags.contains(OpenFlags::DIRECTORY);
    let inode = found.inode.ok_or(Errno::ENOENT)?;
    if wants_directory && inode.file_type() != FileType::Directory {
        return Err(Errno::ENOTDIR);
    }
    let place = place_of(found.directory, found.last);
    Ok(Description::at_place(
        Arc::new(PathFile { inode }),
        flags,
        place,
    ))
}

/// What O_PATH opens.
struct PathFile {
    inode: Arc<dyn Inode>,
}

impl File for PathFile {
    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.inode.metadata())
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }
}
