//! An open regular file of a served file system.

use super::Operation;
use super::channel::MAX_DATA;
use super::node::Node;
use crate::fs::file::{File, Metadata};
use crate::fs::inode::Inode;
use crate::fs::io::{Sink, Source};
use crate::libc::errno::{Errno, SysResult};
use alloc::sync::Arc;
use alloc::vec;
use smp::Mutex;

/// A regular file. Each read and write is a question to the server.
pub struct ServedFile {
    node: Arc<Node>,
    /// Held by an append from the look at the length to the end of the write.
    appending: Mutex<()>,
}

impl ServedFile {
    /// Opens the file of an inode.
    pub fn new(node: Arc<Node>) -> Self {
        ServedFile {
            node,
            appending: Mutex::new(()),
        }
    }
}

impl File for ServedFile {
    fn metadata(&self) -> Result<Metadata, Errno> {
        self.node.fresh_metadata()
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.node.clone())
    }

    fn is_seekable(&self) -> bool {
        true
    }

    /// Reads at most one request's worth: read(2) may give less than it was asked for.
    fn read_at(&self, offset: u64, to: &mut dyn Sink) -> SysResult {
        let count = to.remaining().min(MAX_DATA);
        let bytes = self
            .node
            .call(Operation::Read, [offset, count as u64], &[])?;
        if bytes.len() > count {
            return Err(Errno::EIO);
        }
        to.put(&bytes)?;
        Ok(bytes.len())
    }

    fn write_at(&self, offset: u64, from: &mut dyn Source) -> SysResult {
        let mut bytes = vec![0; from.remaining().min(MAX_DATA)];
        from.take(&mut bytes)?;
        let reply = self.node.call(Operation::Write, [offset, 0], &bytes)?;
        let count = reply[..].try_into().map(u64::from_ne_bytes);
        match count.map(usize::try_from) {
            Ok(Ok(count)) if count <= bytes.len() => Ok(count),
            _ => Err(Errno::EIO),
        }
    }

    fn append(&self, from: &mut dyn Source) -> Result<(usize, u64), Errno> {
        let _appending = self.appending.lock();
        let end = self.size()?;
        let count = self.write_at(end, from)?;
        Ok((count, end + count as u64))
    }

    fn truncate(&self, size: u64) -> Result<(), Errno> {
        self.node.truncate(size)
    }

    fn sync(&self) -> Result<(), Errno> {
        self.node.call(Operation::Sync, [0, 0], &[]).map(|_| ())
    }
}
