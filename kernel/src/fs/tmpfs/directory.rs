//! Directories of tmpfs: names in order, and the way up.

use super::node::{Body, Node};
use super::regular::Regular;
use super::{TmpFs, split_mode};
use crate::fs::content::Content;
use crate::fs::file::Timestamp;
use crate::fs::inode::{FileType, Inode, NewNode};
use crate::fs::name::Name;
use crate::libc::errno::Errno;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use smp::{Mutex, SpinLock};

/// A file of the system image that nobody has looked at yet: its inode is made when somebody does,
/// so that thousands of files cost no time at boot.
#[derive(Clone, Copy)]
pub struct ImageEntry {
    /// Type and permissions.
    pub mode: u32,
    /// Time of modification.
    pub modified: Timestamp,
    /// Content of the file or target of the link.
    pub data: &'static [u8],
}

pub(super) enum Child {
    Node(Arc<Node>),
    Image { number: u64, entry: ImageEntry },
}

struct Children {
    by_name: BTreeMap<Name, Child>,
    /// The directory has lost its name: nothing can be created in it any more.
    is_removed: bool,
}

/// The way from a directory up to the one that holds it.
struct Place {
    parent: Weak<dyn Inode>,
    name: Name,
}

pub(super) struct Directory {
    me: Weak<Node>,
    children: Mutex<Children>,
    /// `None` in the root of a file system that is not mounted.
    place: SpinLock<Option<Place>>,
    /// Whether `mounted` holds something: paths lead through directories far more often than onto a mount.
    has_mount: AtomicBool,
    mounted: SpinLock<Option<Arc<dyn Inode>>>,
}

impl Child {
    pub(super) fn number(&self) -> u64 {
        match self {
            Child::Node(node) => node.number,
            Child::Image { number, .. } => *number,
        }
    }

    fn file_type(&self) -> FileType {
        match self {
            Child::Node(node) => node.file_type(),
            Child::Image { entry, .. } => {
                split_mode(entry.mode).map_or(FileType::Regular, |(kind, _)| kind)
            }
        }
    }

    /// Returns the inode, made now if it is still only in the image.
    fn node(&mut self, fs: &Arc<TmpFs>) -> Arc<Node> {
        match self {
            Child::Node(node) => node.clone(),
            Child::Image { number, entry } => {
                let node = Arc::new(image_node(fs, *number, entry));
                *self = Child::Node(node.clone());
                node
            }
        }
    }
}

fn image_node(fs: &Arc<TmpFs>, number: u64, entry: &ImageEntry) -> Node {
    let body = match split_mode(entry.mode) {
        Some((FileType::Symlink, _)) => Body::Symlink(Name::Static(entry.data)),
        _ => Body::Regular(Regular::with_content(Content::over_image(
            entry.data,
            fs.budget.clone(),
        ))),
    };
    Node::new(fs, number, entry.mode, body, entry.modified)
}

impl Directory {
    pub(super) fn new(me: Weak<Node>, place: Option<(Weak<Node>, Name)>) -> Self {
        let place = place.map(|(parent, name)| Place { parent, name });
        Directory {
            me,
            children: Mutex::new(Children {
                by_name: BTreeMap::new(),
                is_removed: false,
            }),
            place: SpinLock::new(place),
            has_mount: AtomicBool::new(false),
            mounted: SpinLock::new(None),
        }
    }

    pub(super) fn size(&self) -> u64 {
        // What tmpfs of Linux counts: 20 bytes an entry, `.` and `..` among them.
        (self.children.lock().by_name.len() as u64 + 2) * 20
    }

    pub(super) fn parent(&self) -> Option<Arc<dyn Inode>> {
        let parent = self.place.lock().as_ref()?.parent.clone();
        parent.upgrade()
    }

    pub(super) fn name(&self) -> Vec<u8> {
        let name = self.place.lock().as_ref().map(|place| place.name.clone());
        name.map_or_else(Vec::new, |name| name.to_vec())
    }

    pub(super) fn set_place(&self, parent: Weak<dyn Inode>, name: Name) {
        let old = self.place.lock().replace(Place { parent, name });
        drop(old);
    }

    pub(super) fn me(&self) -> Weak<Node> {
        self.me.clone()
    }

    pub(super) fn list(&self, emit: &mut dyn FnMut(&[u8], u64, FileType)) -> Result<(), Errno> {
        let children = self.children.lock();
        if children.is_removed {
            return Err(Errno::ENOENT);
        }
        for (name, child) in &children.by_name {
            emit(name, child.number(), child.file_type());
        }
        Ok(())
    }

    pub(super) fn mounted(&self) -> Option<Arc<dyn Inode>> {
        if self.is_mount_point() {
            self.mounted.lock().clone()
        } else {
            None
        }
    }

    pub(super) fn is_mount_point(&self) -> bool {
        // A hint: what is mounted is handed over under the lock of `mounted`.
        self.has_mount.load(Ordering::Relaxed)
    }

    pub(super) fn mount(&self, root: Arc<dyn Inode>) -> Result<(), Errno> {
        let mut mounted = self.mounted.lock();
        if mounted.is_some() {
            return Err(Errno::EBUSY);
        }
        *mounted = Some(root);
        self.has_mount.store(true, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn unmount(&self, root: &Arc<dyn Inode>) {
        let mut mounted = self.mounted.lock();
        if mounted
            .as_ref()
            .is_some_and(|covering| Arc::ptr_eq(covering, root))
        {
            self.has_mount.store(false, Ordering::Relaxed);
            let gone = mounted.take();
            drop(mounted);
            drop(gone);
        }
    }

    /// Makes the root of a mounted file system lead up to where it is mounted.
    pub(super) fn set_mount_point(&self, point: &Arc<dyn Inode>) {
        if let Some(parent) = point.parent() {
            self.set_place(Arc::downgrade(&parent), Name::new(&point.name()));
        }
    }

    /// Adds a name; `EEXIST` if it is there, `ENOENT` if the directory was removed.
    pub(super) fn insert_new(&self, name: Name, node: Arc<Node>) -> Result<(), Errno> {
        let mut children = self.children.lock();
        if children.is_removed {
            return Err(Errno::ENOENT);
        }
        if children.by_name.contains_key(&*name) {
            return Err(Errno::EEXIST);
        }
        children.by_name.insert(name, Child::Node(node));
        Ok(())
    }

    /// Adds a name or puts another inode under it.
    pub(super) fn insert(&self, name: Name, node: Arc<Node>) {
        let old = self.children.lock().by_name.insert(name, Child::Node(node));
        drop(old);
    }

    pub(super) fn remove(&self, name: &[u8]) {
        let old = self.children.lock().by_name.remove(name);
        drop(old);
    }

    pub(super) fn check_alive(&self) -> Result<(), Errno> {
        if self.children.lock().is_removed {
            Err(Errno::ENOENT)
        } else {
            Ok(())
        }
    }

    /// Marks an empty directory as removed; `ENOTEMPTY` if it has names.
    pub(super) fn retire(&self) -> Result<(), Errno> {
        let mut children = self.children.lock();
        if !children.by_name.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        children.is_removed = true;
        drop(children);
        let place = self.place.lock().take();
        drop(place);
        Ok(())
    }
}

impl Node {
    /// Finds a name in this directory.
    pub fn lookup_node(&self, name: &[u8]) -> Result<Arc<Node>, Errno> {
        let mut children = self.directory()?.children.lock();
        match children.by_name.get_mut(name) {
            Some(child) => Ok(child.node(&self.fs)),
            None => Err(Errno::ENOENT),
        }
    }

    /// Creates a name in this directory.
    pub(super) fn create_node(
        &self,
        name: &[u8],
        mode: u32,
        new: NewNode,
    ) -> Result<Arc<Node>, Errno> {
        let directory = self.directory()?;
        crate::fs::page::check_room()?;
        let _namespace = self.fs.namespace.lock();
        let name = Name::new(name);
        let is_directory = matches!(new, NewNode::Directory);
        let node = if is_directory {
            Node::new_directory(&self.fs, mode, Some((directory.me(), name.clone())))
        } else {
            Node::new_other(&self.fs, mode, new)
        };
        self.hand_group_down(&node);
        directory.insert_new(name, node.clone())?;
        if is_directory {
            self.links.fetch_add(1, Ordering::Relaxed);
        }
        self.touch_modified();
        Ok(node)
    }

    /// Adds a file of the system image, in the place of an earlier one with this name.
    pub fn add_image_entry(&self, name: &'static [u8], entry: ImageEntry) -> Result<(), Errno> {
        let mut children = self.directory()?.children.lock();
        self.fs.budget.add_image(entry.data.len());
        let child = Child::Image {
            number: self.fs.take_number(),
            entry,
        };
        children.by_name.insert(Name::Static(name), child);
        Ok(())
    }

    /// Returns a directory of the system image, made now if it is not there.
    pub fn add_image_directory(
        &self,
        name: &'static [u8],
        mode: u32,
        modified: Timestamp,
    ) -> Result<Arc<Node>, Errno> {
        let directory = self.directory()?;
        match self.lookup_node(name) {
            Ok(node) if node.is_directory() => {
                node.set_mode(mode)?;
                Ok(node)
            }
            Ok(_) => Err(Errno::ENOTDIR),
            Err(_) => {
                let name = Name::Static(name);
                let node =
                    Node::new_directory(&self.fs, mode, Some((directory.me(), name.clone())));
                node.set_times(Some(modified), Some(modified))?;
                directory.insert_new(name, node.clone())?;
                self.links.fetch_add(1, Ordering::Relaxed);
                Ok(node)
            }
        }
    }

    /// Gives an inode one more name, in this directory.
    pub(super) fn link_node(&self, name: &[u8], target: Arc<Node>) -> Result<(), Errno> {
        let directory = self.directory()?;
        if target.is_directory() {
            return Err(Errno::EPERM);
        }
        if !Arc::ptr_eq(&self.fs, &target.fs) {
            return Err(Errno::EXDEV);
        }
        let _namespace = self.fs.namespace.lock();
        if target.links.load(Ordering::Relaxed) == 0 && !target.is_linkable.load(Ordering::Relaxed)
        {
            return Err(Errno::ENOENT);
        }
        directory.insert_new(Name::new(name), target.clone())?;
        target.is_linkable.store(false, Ordering::Relaxed);
        target.links.fetch_add(1, Ordering::Relaxed);
        target.touch_changed();
        self.touch_modified();
        Ok(())
    }

    /// Takes a name away from this directory.
    pub(super) fn unlink_node(&self, name: &[u8], is_rmdir: bool) -> Result<(), Errno> {
        let directory = self.directory()?;
        let _namespace = self.fs.namespace.lock();
        let node = self.lookup_node(name)?;
        match (node.is_directory(), is_rmdir) {
            (true, false) => return Err(Errno::EISDIR),
            (false, true) => return Err(Errno::ENOTDIR),
            (true, true) => {
                node.directory()?.check_not_mounted()?;
                node.directory()?.retire()?;
                self.links.fetch_sub(1, Ordering::Relaxed);
            }
            (false, false) => {}
        }
        directory.remove(name);
        node.drop_link();
        self.touch_modified();
        Ok(())
    }

    /// Notes that the inode has lost a name; a directory loses its own `.` with it.
    pub(super) fn drop_link(&self) {
        let count = if self.is_directory() {
            self.links.load(Ordering::Relaxed)
        } else {
            1
        };
        self.links.fetch_sub(count, Ordering::Relaxed);
        self.touch_changed();
    }
}

impl Directory {
    pub(super) fn check_not_mounted(&self) -> Result<(), Errno> {
        if self.is_mount_point() {
            Err(Errno::EBUSY)
        } else {
            Ok(())
        }
    }
}
