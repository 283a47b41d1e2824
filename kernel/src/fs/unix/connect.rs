//! The calls of a local socket: addresses, connections, options.

use super::BACKLOG_MAX;
use super::address::Address;
use super::socket::{self, Kind, Peer, UnixSocket};
use crate::fs::file::{File, OpenFlags};
use crate::fs::io::Sink;
use crate::fs::socket::{Outgoing, Received, Socket};
use crate::fs::socket_options::Direction;
use crate::libc::errno::{Errno, SysResult};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::net as raw;

impl UnixSocket {
    /// Queues the server's end of a new connection at a listener and connects `self` to it.
    fn connect_to_listener(
        &self,
        listener: &Arc<UnixSocket>,
        open: OpenFlags,
    ) -> Result<(), Errno> {
        let me = self.me.upgrade().ok_or(Errno::EINVAL)?;
        let server = UnixSocket::new(self.kind);
        let listener_address = listener.state.lock().address.clone();
        server.state.lock().address = listener_address;
        server.join(&me);
        let attempt = || {
            let mut state = listener.state.lock();
            let Some((backlog, waiting)) = &mut state.listening else {
                return Some(Err(Errno::ECONNREFUSED));
            };
            // As Linux counts: one more than the backlog may wait.
            if waiting.len() > *backlog {
                return None;
            }
            waiting.push_back(server.clone());
            Some(Ok(()))
        };
        self.join(&server);
        let queued = self.options.wait(
            &listener.changed,
            Direction::Send,
            open.is_nonblocking(),
            attempt,
        );
        if let Err(errno) = queued.and_then(|queued| queued) {
            let mut state = self.state.lock();
            state.peer = Peer::None;
            state.peer_address = Address::Unnamed;
            drop(state);
            // The unused end must not end our inbox when it goes.
            server.state.lock().peer = Peer::None;
            return Err(errno);
        }
        listener.changed.wake_all();
        Ok(())
    }

    /// Sets or takes back the socket that datagrams go to.
    fn connect_datagram(&self, address: &[u8]) -> Result<(), Errno> {
        let (peer, peer_address) = if is_unspecified(address) {
            (Peer::None, Address::Unnamed)
        } else {
            let address = Address::parse(address)?;
            let target = address.find(self.kind)?;
            target.check_accepts(self)?;
            (Peer::Socket(Arc::downgrade(&target)), address)
        };
        self.disconnect_datagram(peer);
        self.state.lock().peer_address = peer_address;
        Ok(())
    }

    /// Gives a datagram socket another peer, or none. What came from the one before is dropped,
    /// and if that was connected to us it is told.
    pub(super) fn disconnect_datagram(&self, peer: Peer) {
        let (old, is_same) = {
            let mut state = self.state.lock();
            let is_same = match (&state.peer, &peer) {
                (Peer::Socket(old), Peer::Socket(new)) => old.ptr_eq(new),
                _ => false,
            };
            (core::mem::replace(&mut state.peer, peer), is_same)
        };
        let Peer::Socket(old) = old else { return };
        if is_same {
            return;
        }
        let dropped = self.inbox.lock().take_all();
        drop(dropped);
        if let Some(old) = old.upgrade()
            && matches!(&old.state.lock().peer, Peer::Socket(peer) if peer.ptr_eq(&self.me))
        {
            old.options.set_error(Errno::ECONNRESET);
            old.changed.wake_all();
        }
    }

    /// A datagram socket that is connected takes messages from its peer only.
    pub(super) fn check_accepts(&self, sender: &UnixSocket) -> Result<(), Errno> {
        match &self.state.lock().peer {
            Peer::Socket(peer) if !core::ptr::eq(peer.as_ptr(), sender) => Err(Errno::EPERM),
            _ => Ok(()),
        }
    }
}

/// Tells whether an address is AF_UNSPEC, which takes a connection of a datagram socket back.
fn is_unspecified(address: &[u8]) -> bool {
    address
        .first_chunk()
        .is_some_and(|family| u32::from(u16::from_ne_bytes(*family)) == raw::AF_UNSPEC)
}

impl Socket for UnixSocket {
    fn bind(&self, address: &[u8]) -> Result<(), Errno> {
        let address = Address::parse(address)?;
        if self.state.lock().key.is_some() {
            return Err(Errno::EINVAL);
        }
        let (address, key) = address.bind(self.kind, &self.me)?;
        let mut state = self.state.lock();
        state.address = address;
        state.key = Some(key);
        Ok(())
    }

    fn listen(&self, backlog: i32) -> Result<(), Errno> {
        if self.kind == Kind::Datagram {
            return Err(Errno::EOPNOTSUPP);
        }
        let mut state = self.state.lock();
        if state.key.is_none() || matches!(state.peer, Peer::Socket(_)) {
            return Err(Errno::EINVAL);
        }
        // Linux takes the number as unsigned: a negative one is the most there can be.
        let backlog = (backlog as u32).min(BACKLOG_MAX as u32) as usize;
        match &mut state.listening {
            Some((now, _)) => *now = backlog,
            None => state.listening = Some((backlog, VecDeque::new())),
        }
        drop(state);
        self.changed.wake_all();
        Ok(())
    }

    fn accept(&self, open: OpenFlags) -> Result<(Arc<dyn File>, Vec<u8>), Errno> {
        if self.kind == Kind::Datagram {
            return Err(Errno::EOPNOTSUPP);
        }
        let attempt = || {
            let mut state = self.state.lock();
            let Some((_, waiting)) = &mut state.listening else {
                return Some(Err(Errno::EINVAL));
            };
            if let Some(socket) = waiting.pop_front() {
                return Some(Ok(socket));
            }
            drop(state);
            // shutdown(2) of a listener ends its waits.
            self.inbox.lock().is_shut.then_some(Err(Errno::EINVAL))
        };
        let socket = self.options.wait(
            &self.changed,
            Direction::Receive,
            open.is_nonblocking(),
            attempt,
        )??;
        // There is room again for one who waits to connect.
        self.changed.wake_all();
        let address = socket.state.lock().peer_address.to_bytes();
        Ok((socket, address))
    }

    fn connect(&self, address: &[u8], open: OpenFlags) -> Result<(), Errno> {
        if self.kind == Kind::Datagram {
            return self.connect_datagram(address);
        }
        let listener = Address::parse(address)?.find(self.kind)?;
        if listener.state.lock().listening.is_none() || listener.inbox.lock().is_shut {
            return Err(Errno::ECONNREFUSED);
        }
        {
            let state = self.state.lock();
            if state.listening.is_some() {
                return Err(Errno::EINVAL);
            }
            if matches!(state.peer, Peer::Socket(_)) {
                return Err(Errno::EISCONN);
            }
        }
        self.connect_to_listener(&listener, open)
    }

    fn local_address(&self) -> Result<Vec<u8>, Errno> {
        Ok(self.state.lock().address.to_bytes())
    }

    fn peer_address(&self) -> Result<Vec<u8>, Errno> {
        if let Some(peer) = self.peer() {
            return Ok(peer.state.lock().address.to_bytes());
        }
        let state = self.state.lock();
        match state.peer {
            Peer::Socket(_) => Ok(state.peer_address.to_bytes()),
            Peer::None => Err(Errno::ENOTCONN),
        }
    }

    fn send(&self, message: Outgoing, flags: u32, open: OpenFlags) -> SysResult {
        self.send_message(message, flags, open)
    }

    fn receive(&self, to: &mut dyn Sink, flags: u32, open: OpenFlags) -> Result<Received, Errno> {
        self.receive_message(to, flags, open)
    }

    fn shutdown(&self, how: u32) -> Result<(), Errno> {
        let (receive, send) = match how {
            raw::SHUT_RD => (true, false),
            raw::SHUT_WR => (false, true),
            raw::SHUT_RDWR => (true, true),
            _ => return Err(Errno::EINVAL),
        };
        let peer = self.peer();
        if send {
            self.state.lock().is_send_shut = true;
        }
        if receive {
            self.inbox.lock().is_shut = true;
        }
        // Over a connection what one end cannot receive the other cannot send, and the other way round.
        if let Some(peer) = &peer
            && self.kind != Kind::Datagram
        {
            if send {
                peer.inbox.lock().is_ended = true;
            }
            if receive {
                peer.state.lock().is_send_shut = true;
            }
        }
        self.changed.wake_all();
        if let Some(peer) = peer {
            peer.changed.wake_all();
        }
        Ok(())
    }

    fn option(&self, level: u32, name: u32) -> Result<Vec<u8>, Errno> {
        if level != raw::SOL_SOCKET {
            return Err(Errno::EOPNOTSUPP);
        }
        socket::option(self, name)
    }

    fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
        if level != raw::SOL_SOCKET {
            return Err(Errno::EOPNOTSUPP);
        }
        self.options.set(name, value)
    }
}
