//! Renaming in tmpfs: every case of rename(2) and renameat2(2).

use super::node::Node;
use crate::fs::inode::Inode;
use crate::fs::name::Name;
use crate::libc::errno::Errno;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use linux_raw_sys::general::{RENAME_EXCHANGE, RENAME_NOREPLACE};

impl Node {
    pub(super) fn rename_node(
        &self,
        from: &[u8],
        to_dir: &Node,
        to: &[u8],
        flags: u32,
    ) -> Result<(), Errno> {
        let is_exchange = flags & RENAME_EXCHANGE != 0;
        if !Arc::ptr_eq(&self.fs, &to_dir.fs) {
            return Err(Errno::EXDEV);
        }
        let _namespace = self.fs.namespace.lock();
        let moved = self.lookup_node(from)?;
        let target = match to_dir.lookup_node(to) {
            Ok(node) => Some(node),
            Err(Errno::ENOENT) => None,
            Err(errno) => return Err(errno),
        };
        to_dir.directory()?.check_alive()?;
        match &target {
            Some(_) if flags & RENAME_NOREPLACE != 0 => return Err(Errno::EEXIST),
            None if is_exchange => return Err(Errno::ENOENT),
            Some(target) if Arc::ptr_eq(target, &moved) => return Ok(()),
            _ => {}
        }
        moved.check_not_above(to_dir, Errno::EINVAL)?;
        if let Some(target) = &target {
            let errno = if is_exchange {
                Errno::EINVAL
            } else {
                Errno::ENOTEMPTY
            };
            target.check_not_above(self, errno)?;
            target.check_not_covered()?;
        }
        moved.check_not_covered()?;
        match target {
            Some(target) if is_exchange => self.exchange(from, moved, to_dir, to, target),
            target => self.replace(from, moved, to_dir, to, target),
        }
    }

    /// Puts `moved` under `to`, in the place of `target` if there is one.
    fn replace(
        &self,
        from: &[u8],
        moved: Arc<Node>,
        to_dir: &Node,
        to: &[u8],
        target: Option<Arc<Node>>,
    ) -> Result<(), Errno> {
        if let Some(target) = &target {
            match (moved.is_directory(), target.is_directory()) {
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                (true, true) => {
                    target.directory()?.retire()?;
                    to_dir.links.fetch_sub(1, Ordering::Relaxed);
                }
                (false, false) => {}
            }
            target.drop_link();
        }
        // In this order a concurrent lookup finds the file under one name or both, never under none.
        to_dir.settle(to, moved.clone())?;
        self.directory()?.remove(from);
        if moved.is_directory() {
            self.links.fetch_sub(1, Ordering::Relaxed);
            to_dir.links.fetch_add(1, Ordering::Relaxed);
        }
        moved.touch_changed();
        self.touch_modified();
        to_dir.touch_modified();
        Ok(())
    }

    fn exchange(
        &self,
        from: &[u8],
        moved: Arc<Node>,
        to_dir: &Node,
        to: &[u8],
        target: Arc<Node>,
    ) -> Result<(), Errno> {
        let direction = i64::from(moved.is_directory()) - i64::from(target.is_directory());
        to_dir.settle(to, moved.clone())?;
        self.settle(from, target.clone())?;
        match direction {
            1 => {
                self.links.fetch_sub(1, Ordering::Relaxed);
                to_dir.links.fetch_add(1, Ordering::Relaxed);
            }
            -1 => {
                to_dir.links.fetch_sub(1, Ordering::Relaxed);
                self.links.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
        moved.touch_changed();
        target.touch_changed();
        self.touch_modified();
        to_dir.touch_modified();
        Ok(())
    }

    /// Puts `node` under a name of this directory, and tells a directory where it now is.
    fn settle(&self, name: &[u8], node: Arc<Node>) -> Result<(), Errno> {
        let name = Name::new(name);
        if let Ok(directory) = node.directory() {
            directory.set_place(self.directory()?.me(), name.clone());
        }
        self.directory()?.insert(name, node);
        Ok(())
    }

    /// Fails if this directory is `other` or holds it, at any depth.
    fn check_not_above(&self, other: &Node, errno: Errno) -> Result<(), Errno> {
        if !self.is_directory() {
            return Ok(());
        }
        let mut at = other.directory()?.me().upgrade();
        while let Some(node) = at {
            if node.number == self.number {
                return Err(errno);
            }
            let parent = node.parent().and_then(|parent| parent.downcast::<Node>());
            at = parent.filter(|parent| Arc::ptr_eq(&parent.fs, &self.fs));
        }
        Ok(())
    }

    fn check_not_covered(&self) -> Result<(), Errno> {
        match self.directory() {
            Ok(directory) => directory.check_not_mounted(),
            Err(_) => Ok(()),
        }
    }
}
