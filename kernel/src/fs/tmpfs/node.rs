//! The inode of tmpfs.

use super::directory::Directory;
use super::regular::{Regular, RegularFile};
use super::{TmpFs, attributes::Attributes};
use crate::fs::clock;
use crate::fs::directory_file::DirectoryFile;
use crate::fs::fifo::Fifo;
use crate::fs::file::{File, Metadata, OpenFlags, Timestamp};
use crate::fs::inode::{FileType, FsStat, Inode, Link, NewNode};
use crate::fs::name::Name;
use crate::fs::page::PAGE_SIZE;
use crate::libc::errno::Errno;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use smp::Mutex;

const SET_GROUP_ID: u32 = 0o2000;

/// How a device node is opened: the node and the flags in, the open device out.
pub type DeviceOpen = fn(Arc<dyn Inode>, OpenFlags) -> Result<Arc<dyn File>, Errno>;

/// What an inode is, by type.
pub(super) enum Body {
    Regular(Regular),
    Directory(Directory),
    Symlink(Name),
    Fifo(Fifo),
    /// The socket itself is found by the inode's number (`fs::unix`).
    Socket,
    Device {
        represents: u64,
        open: DeviceOpen,
    },
}

/// An inode of tmpfs.
pub struct Node {
    pub(super) fs: Arc<TmpFs>,
    pub(super) number: u64,
    file_type: FileType,
    permissions: AtomicU32,
    uid: AtomicU32,
    gid: AtomicU32,
    pub(super) links: AtomicU32,
    /// Has no name yet but may be given one (O_TMPFILE).
    pub(super) is_linkable: AtomicBool,
    accessed: AtomicI64,
    modified: AtomicI64,
    changed: AtomicI64,
    pub(super) attributes: Mutex<Option<Attributes>>,
    pub(super) body: Body,
}

impl Node {
    pub(super) fn new(
        fs: &Arc<TmpFs>,
        number: u64,
        mode: u32,
        body: Body,
        time: Timestamp,
    ) -> Node {
        let file_type = match body {
            Body::Regular(_) => FileType::Regular,
            Body::Directory(_) => FileType::Directory,
            Body::Symlink(_) => FileType::Symlink,
            Body::Fifo(_) => FileType::Fifo,
            Body::Socket => FileType::Socket,
            Body::Device { .. } => FileType::CharDevice,
        };
        let links = if file_type == FileType::Directory {
            2
        } else {
            1
        };
        Node {
            fs: fs.clone(),
            number,
            file_type,
            permissions: AtomicU32::new(mode & 0o7777),
            uid: AtomicU32::new(0),
            gid: AtomicU32::new(0),
            links: AtomicU32::new(links),
            is_linkable: AtomicBool::new(false),
            accessed: AtomicI64::new(time.0),
            modified: AtomicI64::new(time.0),
            changed: AtomicI64::new(time.0),
            attributes: Mutex::new(None),
            body,
        }
    }

    pub(super) fn new_directory(
        fs: &Arc<TmpFs>,
        mode: u32,
        place: Option<(Weak<Node>, Name)>,
    ) -> Arc<Node> {
        let number = fs.take_number();
        Arc::new_cyclic(|me| {
            Node::new(
                fs,
                number,
                mode,
                Body::Directory(Directory::new(me.clone(), place)),
                clock::now(),
            )
        })
    }

    /// Makes the inode that `create` puts under a name; a directory is made by `new_directory`.
    pub(super) fn new_other(fs: &Arc<TmpFs>, mode: u32, node: NewNode) -> Arc<Node> {
        let body = match node {
            NewNode::Regular | NewNode::Directory => Body::Regular(Regular::new(fs)),
            NewNode::Symlink(target) => Body::Symlink(Name::new(target)),
            NewNode::Fifo => Body::Fifo(Fifo::new()),
            NewNode::Socket => Body::Socket,
        };
        Arc::new(Node::new(fs, fs.take_number(), mode, body, clock::now()))
    }

    /// Makes a device node in this directory; used when the file system is filled.
    pub fn add_device(
        &self,
        name: &str,
        mode: u32,
        represents: u64,
        open: DeviceOpen,
    ) -> Result<(), Errno> {
        let device = Node::new(
            &self.fs,
            self.fs.take_number(),
            mode,
            Body::Device { represents, open },
            clock::now(),
        );
        self.directory()?
            .insert_new(Name::new(name.as_bytes()), Arc::new(device))
    }

    pub(super) fn directory(&self) -> Result<&Directory, Errno> {
        match &self.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    pub(super) fn regular(&self) -> Result<&Regular, Errno> {
        match &self.body {
            Body::Regular(regular) => Ok(regular),
            Body::Directory(_) => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    pub(super) fn is_directory(&self) -> bool {
        self.file_type == FileType::Directory
    }

    /// In a directory with the set-group-ID bit, what is new gets its group, and a directory the
    /// bit too (inode(7)).
    pub(super) fn hand_group_down(&self, child: &Node) {
        if self.permissions.load(Ordering::Relaxed) & SET_GROUP_ID == 0 {
            return;
        }
        child
            .gid
            .store(self.gid.load(Ordering::Relaxed), Ordering::Relaxed);
        if child.is_directory() {
            child.permissions.fetch_or(SET_GROUP_ID, Ordering::Relaxed);
        }
    }

    /// Notes a read, as the mount option `relatime` does: only if it tells something new.
    pub(super) fn touch_accessed(&self) {
        const DAY_NS: i64 = 86_400 * 1_000_000_000;
        let accessed = self.accessed.load(Ordering::Relaxed);
        if accessed <= self.modified.load(Ordering::Relaxed)
            || accessed <= self.changed.load(Ordering::Relaxed)
        {
            self.accessed.store(clock::now().0, Ordering::Relaxed);
        } else if let now = clock::now().0
            && now - accessed > DAY_NS
        {
            self.accessed.store(now, Ordering::Relaxed);
        }
    }

    /// Notes a change of the content.
    pub(super) fn touch_modified(&self) {
        let now = clock::now().0;
        self.modified.store(now, Ordering::Relaxed);
        self.changed.store(now, Ordering::Relaxed);
    }

    /// Notes a change of the metadata.
    pub(super) fn touch_changed(&self) {
        self.changed.store(clock::now().0, Ordering::Relaxed);
    }

    fn size(&self) -> u64 {
        match &self.body {
            Body::Regular(regular) => regular.content.size(),
            Body::Directory(directory) => directory.size(),
            Body::Symlink(target) => target.len() as u64,
            _ => 0,
        }
    }
}

impl Inode for Node {
    fn file_type(&self) -> FileType {
        self.file_type
    }

    fn metadata(&self) -> Metadata {
        let time = |at: &AtomicI64| Timestamp(at.load(Ordering::Relaxed));
        Metadata {
            device: self.fs.device,
            inode: self.number,
            mode: self.file_type as u32 | self.permissions.load(Ordering::Relaxed),
            links: self.links.load(Ordering::Relaxed),
            uid: self.uid.load(Ordering::Relaxed),
            gid: self.gid.load(Ordering::Relaxed),
            represents: if let Body::Device { represents, .. } = self.body {
                represents
            } else {
                0
            },
            size: self.size(),
            block_size: PAGE_SIZE as u32,
            blocks: if let Body::Regular(regular) = &self.body {
                regular.content.blocks()
            } else {
                0
            },
            accessed: time(&self.accessed),
            modified: time(&self.modified),
            changed: time(&self.changed),
        }
    }

    fn open(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn File>, Errno> {
        match &self.body {
            Body::Regular(_) => Ok(Arc::new(RegularFile::new(self, flags))),
            Body::Directory(_) => Ok(Arc::new(DirectoryFile::new(self))),
            Body::Symlink(_) => Err(Errno::ELOOP),
            Body::Socket => Err(Errno::ENXIO),
            Body::Fifo(fifo) => fifo.open(self.clone(), flags),
            Body::Device { open, .. } => open(self.clone(), flags),
        }
    }

    fn fs_stat(&self) -> FsStat {
        self.fs.stat()
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        let node: Arc<dyn Inode> = self.lookup_node(name)?;
        Ok(node)
    }

    fn parent(&self) -> Option<Arc<dyn Inode>> {
        self.directory().ok()?.parent()
    }

    fn name(&self) -> Vec<u8> {
        self.directory().map(Directory::name).unwrap_or_default()
    }

    fn list(&self, emit: &mut dyn FnMut(&[u8], u64, FileType)) -> Result<(), Errno> {
        self.directory()?.list(emit)?;
        self.touch_accessed();
        Ok(())
    }

    fn create(&self, name: &[u8], mode: u32, node: NewNode) -> Result<Arc<dyn Inode>, Errno> {
        let node: Arc<dyn Inode> = self.create_node(name, mode, node)?;
        Ok(node)
    }

    fn create_unnamed(&self, mode: u32) -> Result<Arc<dyn Inode>, Errno> {
        self.directory()?;
        crate::fs::page::check_room()?;
        let node = Node::new_other(&self.fs, mode, NewNode::Regular);
        self.hand_group_down(&node);
        node.links.store(0, Ordering::Relaxed);
        node.is_linkable.store(true, Ordering::Relaxed);
        Ok(node)
    }

    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<(), Errno> {
        let target = target.downcast::<Node>().ok_or(Errno::EXDEV)?;
        crate::fs::page::check_room()?;
        self.link_node(name, target)
    }

    fn unlink(&self, name: &[u8], is_rmdir: bool) -> Result<(), Errno> {
        self.unlink_node(name, is_rmdir)
    }

    fn rename(
        &self,
        from: &[u8],
        to_dir: &Arc<dyn Inode>,
        to: &[u8],
        flags: u32,
    ) -> Result<(), Errno> {
        let to_dir = to_dir.downcast_ref::<Node>().ok_or(Errno::EXDEV)?;
        self.rename_node(from, to_dir, to, flags)
    }

    fn follow(&self) -> Result<Link, Errno> {
        match &self.body {
            Body::Symlink(target) => {
                self.touch_accessed();
                Ok(Link::Path(target.to_vec()))
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn truncate(&self, size: u64) -> Result<(), Errno> {
        self.truncate_regular(size)
    }

    fn set_mode(&self, permissions: u32) -> Result<(), Errno> {
        if self.file_type == FileType::Symlink {
            return Err(Errno::EOPNOTSUPP);
        }
        self.permissions
            .store(permissions & 0o7777, Ordering::Relaxed);
        self.touch_changed();
        Ok(())
    }

    fn set_owner(&self, uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno> {
        if let Some(uid) = uid {
            self.uid.store(uid, Ordering::Relaxed);
        }
        if let Some(gid) = gid {
            self.gid.store(gid, Ordering::Relaxed);
        }
        if self.file_type == FileType::Regular && (uid.is_some() || gid.is_some()) {
            // chown(2): an executable file loses its set-user-ID and set-group-ID bits.
            let bits = self.permissions.load(Ordering::Relaxed);
            let group_exec = if bits & 0o010 != 0 { SET_GROUP_ID } else { 0 };
            self.permissions
                .store(bits & !(0o4000 | group_exec), Ordering::Relaxed);
        }
        self.touch_changed();
        Ok(())
    }

    fn set_times(
        &self,
        accessed: Option<Timestamp>,
        modified: Option<Timestamp>,
    ) -> Result<(), Errno> {
        if let Some(time) = accessed {
            self.accessed.store(time.0, Ordering::Relaxed);
        }
        if let Some(time) = modified {
            self.modified.store(time.0, Ordering::Relaxed);
        }
        self.touch_changed();
        Ok(())
    }

    fn xattr(&self, name: &[u8]) -> Result<Vec<u8>, Errno> {
        self.get_attribute(name)
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], flags: u32) -> Result<(), Errno> {
        self.set_attribute(name, value, flags)
    }

    fn remove_xattr(&self, name: &[u8]) -> Result<(), Errno> {
        self.remove_attribute(name)
    }

    fn xattr_names(&self) -> Result<Vec<u8>, Errno> {
        Ok(self.attribute_names())
    }

    fn mounted(&self) -> Option<Arc<dyn Inode>> {
        match &self.body {
            Body::Directory(directory) => directory.mounted(),
            _ => None,
        }
    }

    fn mount(&self, root: Arc<dyn Inode>) -> Result<(), Errno> {
        self.directory()?.mount(root)
    }

    fn unmount(&self, root: &Arc<dyn Inode>) {
        if let Ok(directory) = self.directory() {
            directory.unmount(root);
        }
    }

    fn set_mount_point(&self, point: &Arc<dyn Inode>) {
        if let Ok(directory) = self.directory() {
            directory.set_mount_point(point);
        }
    }
}
