//! What a socket can do beyond what a file can: the calls of socket(7), whatever the family.

use super::description::Description;
use super::file::{File, Metadata, OpenFlags, PollEvents};
use super::io::{Sink, Source};
use crate::libc::errno::{Errno, SysResult};
use crate::memory::user;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use linux_raw_sys::ioctl::{FIONREAD, TIOCOUTQ};
use smp::WaitQueue;

/// Process, user and group: `struct ucred` (unix(7)).
pub type Credentials = [u32; 3];

/// A control message of another level than SOL_SOCKET (cmsg(3)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Whose it is: IPPROTO_IP and the like.
    pub level: u32,
    /// What it is, in the level's own numbers.
    pub kind: u32,
    /// What it says.
    pub data: Vec<u8>,
}

/// A message on its way out.
pub struct Outgoing<'a> {
    /// Its bytes.
    pub data: &'a mut dyn Source,
    /// Where it shall go, as a `sockaddr`; empty: to the peer.
    pub to: &'a [u8],
    /// Open files that go with it (SCM_RIGHTS).
    pub rights: Vec<Arc<Description>>,
    /// Control messages for the family to read.
    pub control: Vec<Control>,
}

/// What came with a message.
#[derive(Default)]
pub struct Received {
    /// Bytes received; with MSG_TRUNC the length of the datagram, which may be more.
    pub count: usize,
    /// The sender, as a `sockaddr`; empty if it has no address.
    pub from: Vec<u8>,
    /// Open files that came with it.
    pub rights: Vec<Arc<Description>>,
    /// Who sent it, if the receiver wants to know (SO_PASSCRED).
    pub credentials: Option<Credentials>,
    /// What else the receiver wants to know.
    pub control: Vec<Control>,
    /// MSG_* flags for the caller.
    pub flags: u32,
}

/// A socket. Addresses are `sockaddr` bytes with the family in front; `flags` are MSG_*.
pub trait Socket: Send + Sync {
    /// Gives the socket an address (bind(2)).
    fn bind(&self, address: &[u8]) -> Result<(), Errno>;

    /// Starts to accept connections (listen(2)).
    fn listen(&self, backlog: i32) -> Result<(), Errno>;

    /// Waits for a connection; returns it and the address of its other end (accept(2)).
    fn accept(&self, open: OpenFlags) -> Result<(Arc<dyn File>, Vec<u8>), Errno>;

    /// Connects to an address (connect(2)).
    fn connect(&self, address: &[u8], open: OpenFlags) -> Result<(), Errno>;

    /// Returns the socket's address (getsockname(2)).
    fn local_address(&self) -> Result<Vec<u8>, Errno>;

    /// Returns the peer's address (getpeername(2)).
    fn peer_address(&self) -> Result<Vec<u8>, Errno>;

    /// Sends a message (sendmsg(2)).
    fn send(&self, message: Outgoing, flags: u32, open: OpenFlags) -> SysResult;

    /// Receives a message (recvmsg(2)).
    fn receive(&self, to: &mut dyn Sink, flags: u32, open: OpenFlags) -> Result<Received, Errno>;

    /// Ends one or both directions (shutdown(2)).
    fn shutdown(&self, how: u32) -> Result<(), Errno>;

    /// Returns an option's value (getsockopt(2)).
    fn option(&self, level: u32, name: u32) -> Result<Vec<u8>, Errno>;

    /// Sets an option (setsockopt(2)).
    fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<(), Errno>;
}

/// What a socket tells of itself as a file. The rest of [`File`] is the same for every socket.
pub trait SocketFile: Socket + Any {
    /// Returns what fstat(2) tells.
    fn stat(&self) -> Metadata;

    /// Returns what the socket is ready for now.
    fn readiness(&self) -> PollEvents;

    /// Returns the queue that is woken whenever `readiness` may have changed.
    fn changed(&self) -> &WaitQueue;

    /// Returns how many bytes the next read has at most (FIONREAD); `ENOTTY` where that is not told.
    fn unread(&self) -> Result<usize, Errno>;

    /// Returns how many bytes have not been sent yet (TIOCOUTQ); datagrams never wait.
    fn unsent(&self) -> Result<usize, Errno> {
        Ok(0)
    }
}

impl<S: SocketFile> File for S {
    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.stat())
    }

    fn read(&self, to: &mut dyn Sink, flags: OpenFlags) -> SysResult {
        // As on Linux not even an empty datagram is taken for it.
        if to.remaining() == 0 {
            return Ok(0);
        }
        self.receive(to, 0, flags).map(|received| received.count)
    }

    fn write(&self, from: &mut dyn Source, flags: OpenFlags) -> SysResult {
        let message = Outgoing {
            data: from,
            to: &[],
            rights: Vec::new(),
            control: Vec::new(),
        };
        self.send(message, 0, flags)
    }

    fn poll(&self) -> PollEvents {
        self.readiness()
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.changed())
    }

    fn ioctl(&self, request: u32, argument: usize) -> SysResult {
        let count = match request {
            FIONREAD => self.unread()?,
            TIOCOUTQ => self.unsent()?,
            _ => return Err(Errno::ENOTTY),
        };
        user::write_user(argument, &(count as i32))?;
        Ok(0)
    }

    fn socket(&self) -> Option<&dyn Socket> {
        Some(self)
    }
}
