//! Puts the files of the system image (cpio archives) into the root file system, without copying them.

use super::cpio::{Entries, Entry};
use super::file::Timestamp;
use super::inode::{FileType, Inode};
use super::tmpfs::{ImageEntry, Node};
use crate::libc::errno::Errno;
use crate::log;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use linux_raw_sys::general::S_IFREG;

/// What was found in the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Files, links and directories.
    pub files: usize,
    /// Bytes of content.
    pub bytes: usize,
}

/// Adds all archives in `bytes` to `root`. A name that comes again replaces the earlier one.
pub fn load(root: &Arc<Node>, bytes: &'static [u8]) -> Loaded {
    let mut loader = Loader {
        root: root.clone(),
        parent: None,
        linked: BTreeMap::new(),
    };
    let mut loaded = Loaded::default();
    for entry in Entries::new(bytes) {
        match entry {
            Ok(entry) => {
                if let Err(errno) = loader.add(&entry) {
                    let path = alloc::string::String::from_utf8_lossy(entry.path);
                    log::warn!("kernel.vfs", "system image: cannot add {path}: {errno:?}");
                    continue;
                }
                loaded.files += 1;
                loaded.bytes += entry.data.len();
            }
            Err(bad) => log::error!(
                "kernel.vfs",
                "system image: bad archive at byte {}",
                bad.offset
            ),
        }
    }
    loaded
}

/// Adds one file, with the directories on its way, whose content is `data` where it lies.
pub fn add_file(
    root: &Arc<Node>,
    path: &'static [u8],
    mode: u32,
    data: &'static [u8],
) -> Result<(), Errno> {
    let mut loader = Loader {
        root: root.clone(),
        parent: None,
        linked: BTreeMap::new(),
    };
    let cut = path
        .iter()
        .rposition(|&byte| byte == b'/')
        .ok_or(Errno::EINVAL)?;
    let directory = loader.directory(&path[..cut])?;
    directory.add_image_entry(
        &path[cut + 1..],
        ImageEntry {
            mode: S_IFREG | mode,
            modified: Timestamp::default(),
            data,
        },
    )
}

struct Loader {
    root: Arc<Node>,
    /// The directory of the entry before: most entries share it with their neighbour.
    parent: Option<(&'static [u8], Arc<Node>)>,
    /// Files with several names, by archive and inode number in it.
    linked: BTreeMap<(u32, u32), Arc<dyn Inode>>,
}

impl Loader {
    fn add(&mut self, entry: &Entry<'static>) -> Result<(), Errno> {
        let path = entry
            .path
            .strip_prefix(b"/")
            .or(entry.path.strip_prefix(b"./"))
            .unwrap_or(entry.path);
        let path = path.strip_suffix(b"/").unwrap_or(path);
        if path.is_empty() || path == b"." {
            return Ok(());
        }
        let cut = path.iter().rposition(|&byte| byte == b'/');
        let (folder, name) = match cut {
            Some(cut) => (&path[..cut], &path[cut + 1..]),
            None => (&path[..0], path),
        };
        let directory = self.directory(folder)?;
        let modified = Timestamp::new(i64::from(entry.modified), 0);
        match FileType::from_mode(entry.mode) {
            Some(FileType::Directory) => {
                directory.add_image_directory(name, entry.mode, modified)?;
                Ok(())
            }
            Some(FileType::Regular) if entry.links > 1 => {
                self.add_linked(&directory, name, entry, modified)
            }
            Some(FileType::Regular | FileType::Symlink) => directory.add_image_entry(
                name,
                ImageEntry {
                    mode: entry.mode,
                    modified,
                    data: entry.data,
                },
            ),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Returns the directory with this path, made if the archive has not named it.
    fn directory(&mut self, path: &'static [u8]) -> Result<Arc<Node>, Errno> {
        if let Some((known, node)) = &self.parent
            && *known == path
        {
            return Ok(node.clone());
        }
        let mut node = self.root.clone();
        for name in path
            .split(|&byte| byte == b'/')
            .filter(|name| !name.is_empty())
        {
            node = match node.lookup_node(name) {
                Ok(next) => next,
                Err(_) => node.add_image_directory(name, 0o755, Timestamp::default())?,
            };
        }
        self.parent = Some((path, node.clone()));
        Ok(node)
    }

    /// Adds one of the names of a file; the archive has the content with the last of them.
    fn add_linked(
        &mut self,
        directory: &Arc<Node>,
        name: &'static [u8],
        entry: &Entry<'static>,
        modified: Timestamp,
    ) -> Result<(), Errno> {
        let key = (entry.archive, entry.inode);
        if let Some(first) = self.linked.get(&key) {
            directory.link(name, first)?;
            if let Some(first) = first.downcast_ref::<Node>() {
                first.set_image_content(entry.data)?;
            }
            return Ok(());
        }
        directory.add_image_entry(
            name,
            ImageEntry {
                mode: entry.mode,
                modified,
                data: entry.data,
            },
        )?;
        let node: Arc<dyn Inode> = directory.lookup_node(name)?;
        self.linked.insert(key, node);
        Ok(())
    }
}
