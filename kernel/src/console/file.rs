//! A terminal as an open file.

use alloc::sync::Arc;

use smp::WaitQueue;

use super::requests;
use super::tty::Tty;
use crate::fs::file::{File, Metadata, OpenFlags, PollEvents};
use crate::fs::inode::Inode;
use crate::fs::io::{Sink, Source};
use crate::libc::errno::{Errno, SysResult};

/// A terminal as a file.
pub struct TtyFile {
    tty: Arc<Tty>,
    inode: Arc<dyn Inode>,
}

impl TtyFile {
    /// `tty`, opened by way of `inode`.
    pub fn new(tty: Arc<Tty>, inode: Arc<dyn Inode>) -> Self {
        Self { tty, inode }
    }
}

impl File for TtyFile {
    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.inode.metadata())
    }

    fn inode(&self) -> Option<Arc<dyn Inode>> {
        Some(self.inode.clone())
    }

    fn read(&self, to: &mut dyn Sink, flags: OpenFlags) -> SysResult {
        self.tty.read(to, flags)
    }

    fn write(&self, from: &mut dyn Source, flags: OpenFlags) -> SysResult {
        self.tty.write(from, flags)
    }

    fn poll(&self) -> PollEvents {
        self.tty.poll()
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.tty.wait_queue())
    }

    fn ioctl(&self, request: u32, argument: usize) -> SysResult {
        requests::ioctl(&self.tty, request, argument)
    }

    fn label(&self) -> &'static str {
        "tty"
    }
}
