//! Named pipes (fifo(7)): the pipe behind an inode.

use super::file::{File, OpenFlags};
use super::inode::Inode;
use super::pipe::Pipe;
use crate::libc::errno::Errno;
use alloc::sync::Arc;

/// The pipe of a FIFO's inode.
pub struct Fifo(Arc<Pipe>);

impl Fifo {
    /// Makes the pipe of a new inode.
    pub fn new() -> Self {
        Fifo(Arc::new(Pipe::new()))
    }

    /// Opens an end, or both.
    pub fn open(&self, inode: Arc<dyn Inode>, flags: OpenFlags) -> Result<Arc<dyn File>, Errno> {
        self.0.open(inode, flags)
    }
}

impl Default for Fifo {
    fn default() -> Self {
        Self::new()
    }
}
