//! The inodes of a served file system.
//!
//! An inode is a path. There is one for each path as long as somebody holds it, so that a directory that is somebody's
//! own, or is renamed, stays the same inode.

use super::channel::{Channel, MAX_DATA};
use super::file::ServedFile;
use super::{Attributes, Operation};
use crate::fs::directory_file::DirectoryFile;
use crate::fs::file::{File, Metadata, OpenFlags, Timestamp};
use crate::fs::inode::{FileType, FsStat, Inode, Link, NewNode};
use crate::fs::mount;
use crate::fs::page::PAGE_SIZE;
use crate::libc::errno::Errno;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use smp::SpinLock;

/// The magic number that statfs(2) gives: that of FUSE, its kin on Linux.
const MAGIC: u64 = 0x6573_5546;

/// A mounted file system.
pub struct FileSystem {
    channel: Arc<Channel>,
    device: u64,
    /// The inodes that somebody holds, by path. Its lock comes before those of the inodes' paths.
    nodes: SpinLock<BTreeMap<Vec<u8>, Weak<Node>>>,
    mount_point: SpinLock<Option<Arc<dyn Inode>>>,
}

/// One inode.
pub struct Node {
    fs: Arc<FileSystem>,
    /// From the root of the file system, without a slash at its start; empty for the root.
    path: SpinLock<Vec<u8>>,
    file_type: FileType,
    /// What the server last said.
    attributes: SpinLock<Attributes>,
}

impl FileSystem {
    /// Makes the root of a file system whose server is at the other end of `channel`.
    pub fn create(channel: Arc<Channel>) -> Arc<Node> {
        let fs = Arc::new(FileSystem {
            channel,
            device: mount::next_device(),
            nodes: SpinLock::new(BTreeMap::new()),
            mount_point: SpinLock::new(None),
        });
        let attributes = Attributes {
            mode: FileType::Directory as u32 | 0o755,
            links: 2,
            ..Attributes::default()
        };
        fs.node(Vec::new(), FileType::Directory, attributes)
    }

    /// Returns the inode of a path that the server knows.
    fn node(
        self: &Arc<Self>,
        path: Vec<u8>,
        file_type: FileType,
        attributes: Attributes,
    ) -> Arc<Node> {
        let fresh = Arc::new(Node {
            fs: self.clone(),
            path: SpinLock::new(path.clone()),
            file_type,
            attributes: SpinLock::new(attributes),
        });
        let mut nodes = self.nodes.lock();
        let old = nodes.get(&path).and_then(Weak::upgrade);
        let found = match &old {
            Some(old) if old.file_type == file_type => old.clone(),
            _ => {
                nodes.insert(path, Arc::downgrade(&fresh));
                fresh.clone()
            }
        };
        // An inode that is dropped takes the lock.
        drop(nodes);
        drop((old, fresh));
        *found.attributes.lock() = attributes;
        found
    }

    /// Gives the inodes at and below a path their new paths.
    fn rename(&self, from: &[u8], to: &[u8]) {
        let is_below = |path: &[u8], top: &[u8]| {
            path.strip_prefix(top)
                .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
        };
        // An inode that is dropped takes the lock, so those that we hold for a moment are kept to the end.
        let mut held = Vec::new();
        let mut nodes = self.nodes.lock();
        // What was at the new path is gone; its inodes keep a path that is not theirs any more, as after unlink.
        nodes.retain(|path, _| !is_below(path, to));
        let moved: Vec<Vec<u8>> = nodes
            .keys()
            .filter(|path| is_below(path, from))
            .cloned()
            .collect();
        for path in moved {
            if let Some(node) = nodes.remove(&path).and_then(|node| node.upgrade()) {
                let mut new = to.to_vec();
                new.extend_from_slice(&path[from.len()..]);
                *node.path.lock() = new.clone();
                nodes.insert(new, Arc::downgrade(&node));
                held.push(node);
            }
        }
        drop(nodes);
        drop(held);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let path = self.path.lock().clone();
        let mut nodes = self.fs.nodes.lock();
        // Another inode may have the path by now.
        if nodes
            .get(&path)
            .is_some_and(|node| node.strong_count() == 0)
        {
            nodes.remove(&path);
        }
    }
}

/// The inode number of a path (FNV-1a): the same whenever it is asked for.
fn number_of(path: &[u8]) -> u64 {
    path.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    }) | 2
}

impl Node {
    /// Asks the server about this path.
    pub fn call(
        &self,
        operation: Operation,
        numbers: [u64; 2],
        data: &[u8],
    ) -> Result<Vec<u8>, Errno> {
        let path = self.path.lock().clone();
        self.fs.channel.call(operation, &path, numbers, data)
    }

    /// Asks the server about a name in this directory.
    fn call_child(
        &self,
        operation: Operation,
        name: &[u8],
        number: u64,
        data: &[u8],
    ) -> Result<Vec<u8>, Errno> {
        self.fs
            .channel
            .call(operation, &self.child_path(name), [number, 0], data)
    }

    fn child_path(&self, name: &[u8]) -> Vec<u8> {
        let mut path = self.path.lock().clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        path
    }

    /// Asks what the path is now, and keeps it.
    pub fn fresh_metadata(&self) -> Result<Metadata, Errno> {
        let reply = self.call(Operation::Attributes, [0, 0], &[])?;
        let attributes = Attributes::from_bytes(&reply).ok_or(Errno::EIO)?;
        if FileType::from_mode(attributes.mode) != Some(self.file_type) {
            return Err(Errno::ESTALE);
        }
        *self.attributes.lock() = attributes;
        Ok(self.metadata_of(attributes))
    }

    fn metadata_of(&self, attributes: Attributes) -> Metadata {
        let time = Timestamp(attributes.modified_ns);
        Metadata {
            device: self.fs.device,
            inode: number_of(&self.path.lock()),
            mode: attributes.mode,
            links: attributes.links,
            size: attributes.size,
            block_size: MAX_DATA as u32,
            blocks: attributes.size.div_ceil(512),
            accessed: time,
            modified: time,
            changed: time,
            ..Metadata::default()
        }
    }
}

impl Inode for Node {
    fn file_type(&self) -> FileType {
        self.file_type
    }

    fn metadata(&self) -> Metadata {
        // A server that does not answer leaves us what it said before.
        self.fresh_metadata().unwrap_or_else(|_| {
            let attributes = *self.attributes.lock();
            self.metadata_of(attributes)
        })
    }

    fn open(self: Arc<Self>, _flags: OpenFlags) -> Result<Arc<dyn File>, Errno> {
        match self.file_type {
            FileType::Directory => Ok(Arc::new(DirectoryFile::new(self))),
            FileType::Regular => Ok(Arc::new(ServedFile::new(self))),
            _ => Err(Errno::ENXIO),
        }
    }

    fn fs_stat(&self) -> FsStat {
        let mut stat = FsStat {
            magic: MAGIC,
            ..FsStat::default()
        };
        if let Ok(reply) = self.call(Operation::Statistics, [0, 0], &[])
            && let Some((blocks, free)) = reply.split_first_chunk()
            && let Ok(free) = free.try_into()
        {
            stat.blocks = u64::from_ne_bytes(*blocks);
            stat.blocks_free = u64::from_ne_bytes(free);
        }
        stat
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        if self.file_type != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        let reply = self.call_child(Operation::Attributes, name, 0, &[])?;
        let attributes = Attributes::from_bytes(&reply).ok_or(Errno::EIO)?;
        let file_type = FileType::from_mode(attributes.mode).ok_or(Errno::EIO)?;
        Ok(self.fs.node(self.child_path(name), file_type, attributes))
    }

    fn parent(&self) -> Option<Arc<dyn Inode>> {
        let path = self.path.lock().clone();
        if path.is_empty() {
            let point = self.fs.mount_point.lock().clone();
            return point?.parent();
        }
        let end = path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
        let attributes = Attributes {
            mode: FileType::Directory as u32 | 0o755,
            links: 2,
            ..Attributes::default()
        };
        Some(
            self.fs
                .node(path[..end].to_vec(), FileType::Directory, attributes),
        )
    }

    fn name(&self) -> Vec<u8> {
        let path = self.path.lock().clone();
        if path.is_empty() {
            let point = self.fs.mount_point.lock().clone();
            return point.map_or_else(Vec::new, |point| point.name());
        }
        let start = path
            .iter()
            .rposition(|&byte| byte == b'/')
            .map_or(0, |at| at + 1);
        path[start..].to_vec()
    }

    fn list(&self, emit: &mut dyn FnMut(&[u8], u64, FileType)) -> Result<(), Errno> {
        if self.file_type != FileType::Directory {
            return Err(Errno::ENOTDIR);
        }
        let reply = self.call(Operation::List, [0, 0], &[])?;
        let mut rest = &reply[..];
        while let Some((mode, after)) = rest.split_first_chunk() {
            let (len, after) = after.split_first_chunk().ok_or(Errno::EIO)?;
            let len = u32::from_ne_bytes(*len) as usize;
            let name = after.get(..len).ok_or(Errno::EIO)?;
            let file_type = FileType::from_mode(u32::from_ne_bytes(*mode)).ok_or(Errno::EIO)?;
            emit(name, number_of(&self.child_path(name)), file_type);
            rest = &after[len..];
        }
        Ok(())
    }

    fn create(&self, name: &[u8], mode: u32, node: NewNode) -> Result<Arc<dyn Inode>, Errno> {
        let mode = u64::from(mode);
        match node {
            NewNode::Regular => self.call_child(Operation::Create, name, mode, &[])?,
            NewNode::Directory => self.call_child(Operation::MakeDirectory, name, mode, &[])?,
            NewNode::Symlink(text) => self.call_child(Operation::MakeLink, name, 0, text)?,
            NewNode::Fifo | NewNode::Socket => return Err(Errno::EPERM),
        };
        self.lookup(name)
    }

    fn unlink(&self, name: &[u8], is_rmdir: bool) -> Result<(), Errno> {
        let file_type = self.lookup(name)?.file_type();
        let operation = match (file_type == FileType::Directory, is_rmdir) {
            (true, false) => return Err(Errno::EISDIR),
            (false, true) => return Err(Errno::ENOTDIR),
            (true, true) => Operation::RemoveDirectory,
            (false, false) => Operation::Unlink,
        };
        self.call_child(operation, name, 0, &[]).map(|_| ())
    }

    fn rename(
        &self,
        from: &[u8],
        to_dir: &Arc<dyn Inode>,
        to: &[u8],
        flags: u32,
    ) -> Result<(), Errno> {
        let to_dir = to_dir.downcast_ref::<Node>().ok_or(Errno::EXDEV)?;
        let target = to_dir.child_path(to);
        self.call_child(Operation::Rename, from, flags.into(), &target)?;
        self.fs.rename(&self.child_path(from), &target);
        Ok(())
    }

    fn follow(&self) -> Result<Link, Errno> {
        if self.file_type != FileType::Symlink {
            return Err(Errno::EINVAL);
        }
        self.call(Operation::ReadLink, [0, 0], &[]).map(Link::Path)
    }

    fn truncate(&self, size: u64) -> Result<(), Errno> {
        match self.file_type {
            FileType::Regular => self.call(Operation::Truncate, [size, 0], &[]).map(|_| ()),
            FileType::Directory => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    fn set_mode(&self, permissions: u32) -> Result<(), Errno> {
        self.call(Operation::SetMode, [permissions.into(), 0], &[])
            .map(|_| ())
    }

    fn set_times(
        &self,
        accessed: Option<Timestamp>,
        modified: Option<Timestamp>,
    ) -> Result<(), Errno> {
        let old = Timestamp(self.attributes.lock().modified_ns);
        let times = [accessed, modified].map(|time| time.unwrap_or(old).0.cast_unsigned());
        self.call(Operation::SetTimes, times, &[]).map(|_| ())
    }

    /// Inodes come and go with those who hold them, so nothing can be kept on one; the root is covered already.
    fn mount(&self, _root: Arc<dyn Inode>) -> Result<(), Errno> {
        Err(match self.file_type {
            FileType::Directory => Errno::EBUSY,
            _ => Errno::ENOTDIR,
        })
    }

    fn set_mount_point(&self, point: &Arc<dyn Inode>) {
        let old = self.fs.mount_point.lock().replace(point.clone());
        drop(old);
    }
}

// PAGE_SIZE divides what one request carries, so a reader that asks by pages gets whole ones.
const _: () = assert!(MAX_DATA.is_multiple_of(PAGE_SIZE));
