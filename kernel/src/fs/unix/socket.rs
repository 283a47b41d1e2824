//! The local socket: its state, and what it does as a file.

use super::address::{self, Address, Key};
use super::inbox::Inbox;
use crate::fs::anonymous;
use crate::fs::file::{Metadata, PollEvents};
use crate::fs::socket::{Credentials, SocketFile};
use crate::fs::socket_options::Options;
use crate::libc::errno::Errno;
use crate::process;
use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use linux_raw_sys::general::S_IFSOCK;
use linux_raw_sys::net as raw;
use smp::{Mutex, WaitQueue};

/// How messages are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Not at all.
    Stream,
    /// Each is whole, and may go to any socket.
    Datagram,
    /// Each is whole, over a connection.
    SequencedPacket,
}

impl Kind {
    /// Reads the type argument of socket(2), flags removed.
    pub fn from_raw(kind: u32) -> Result<Kind, Errno> {
        match kind {
            raw::SOCK_STREAM => Ok(Kind::Stream),
            // SOCK_RAW is taken as SOCK_DGRAM by Linux.
            raw::SOCK_DGRAM | raw::SOCK_RAW => Ok(Kind::Datagram),
            raw::SOCK_SEQPACKET => Ok(Kind::SequencedPacket),
            _ => Err(Errno::ESOCKTNOSUPPORT),
        }
    }

    fn to_raw(self) -> u32 {
        match self {
            Kind::Stream => raw::SOCK_STREAM,
            Kind::Datagram => raw::SOCK_DGRAM,
            Kind::SequencedPacket => raw::SOCK_SEQPACKET,
        }
    }
}

/// The other end.
pub(super) enum Peer {
    /// Never connected.
    None,
    /// Connected; it may be gone by now.
    Socket(Weak<UnixSocket>),
}

pub(super) struct State {
    pub(super) address: Address,
    pub(super) key: Option<Key>,
    pub(super) peer: Peer,
    /// The address of a peer that is gone, or of the other end before it is accepted.
    pub(super) peer_address: Address,
    /// Present while it listens: the most that may wait, and those that do.
    pub(super) listening: Option<(usize, VecDeque<Arc<UnixSocket>>)>,
    /// It has shut down its sending half.
    pub(super) is_send_shut: bool,
}

/// A local socket.
pub struct UnixSocket {
    pub(super) me: Weak<UnixSocket>,
    pub(super) kind: Kind,
    pub(super) state: Mutex<State>,
    pub(super) inbox: Mutex<Inbox>,
    pub(super) changed: WaitQueue,
    pub(super) options: Options,
    metadata: Metadata,
}

impl UnixSocket {
    /// Makes a socket that is bound to nothing and connected to nobody.
    pub fn new(kind: Kind) -> Arc<Self> {
        Arc::new_cyclic(|me| UnixSocket {
            me: me.clone(),
            kind,
            state: Mutex::new(State {
                address: Address::Unnamed,
                key: None,
                peer: Peer::None,
                peer_address: Address::Unnamed,
                listening: None,
                is_send_shut: false,
            }),
            inbox: Mutex::new(Inbox::default()),
            changed: WaitQueue::new(),
            options: Options::new(),
            metadata: anonymous::metadata(S_IFSOCK | 0o777),
        })
    }

    /// Makes two that are connected to each other (socketpair(2)).
    pub fn pair(kind: Kind) -> (Arc<Self>, Arc<Self>) {
        let (a, b) = (Self::new(kind), Self::new(kind));
        a.join(&b);
        b.join(&a);
        (a, b)
    }

    /// Makes `peer` the other end.
    pub(super) fn join(&self, peer: &Arc<UnixSocket>) {
        let address = peer.state.lock().address.clone();
        let mut state = self.state.lock();
        state.peer = Peer::Socket(Arc::downgrade(peer));
        state.peer_address = address;
    }

    /// Returns the other end; `None` if there is none or it is gone.
    pub(super) fn peer(&self) -> Option<Arc<UnixSocket>> {
        match &self.state.lock().peer {
            Peer::Socket(peer) => peer.upgrade(),
            Peer::None => None,
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(self.state.lock().peer, Peer::Socket(_))
    }

    /// Tells how many bytes this socket may still send to one with that inbox. Local sockets count
    /// by the send buffer alone (unix(7)).
    pub(super) fn room(&self, inbox: &Inbox) -> usize {
        self.options.send_buffer().saturating_sub(inbox.bytes())
    }

    /// Returns who we are, for SCM_CREDENTIALS and SO_PEERCRED.
    pub(super) fn credentials() -> Credentials {
        [process::PID, 0, 0]
    }

    fn is_writable(&self) -> bool {
        match self.peer() {
            // Linux: writable while no more than a quarter of the buffer is in use.
            Some(peer) => {
                let inbox = peer.inbox.lock();
                inbox.bytes() * 4 <= self.options.send_buffer()
            }
            None => true,
        }
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let (key, peer, listening, address) = {
            let mut state = self.state.lock();
            let peer = core::mem::replace(&mut state.peer, Peer::None);
            (
                state.key.take(),
                peer,
                state.listening.take(),
                state.address.clone(),
            )
        };
        if let Some(key) = key {
            address::release(&key);
        }
        let has_unread = !self.inbox.lock().is_empty();
        if let Peer::Socket(peer) = peer
            && let Some(peer) = peer.upgrade()
        {
            if self.kind != Kind::Datagram {
                if has_unread {
                    peer.options.set_error(Errno::ECONNRESET);
                }
                peer.inbox.lock().is_ended = true;
                peer.state.lock().is_send_shut = true;
            }
            let mut state = peer.state.lock();
            if matches!(&state.peer, Peer::Socket(back) if back.ptr_eq(&self.me)) {
                state.peer_address = address;
            }
            drop(state);
            peer.changed.wake_all();
        }
        // Whoever waited to be accepted finds the connection reset.
        if let Some((_, waiting)) = listening {
            for socket in waiting {
                if let Some(client) = socket.peer() {
                    client.options.set_error(Errno::ECONNRESET);
                }
            }
        }
    }
}

impl SocketFile for UnixSocket {
    fn stat(&self) -> Metadata {
        self.metadata
    }

    fn readiness(&self) -> PollEvents {
        let (is_send_shut, waiting) = {
            let state = self.state.lock();
            (
                state.is_send_shut,
                state.listening.as_ref().map(|(_, waiting)| waiting.len()),
            )
        };
        let (has_message, is_over) = {
            let inbox = self.inbox.lock();
            (!inbox.is_empty(), inbox.is_ended || inbox.is_shut)
        };
        let is_listening = waiting.is_some();
        let needs_peer = self.kind != Kind::Datagram && !is_listening;
        let mut events = PollEvents::empty();
        events.set(
            PollEvents::READABLE,
            has_message || is_over || waiting.is_some_and(|count| count > 0),
        );
        events.set(PollEvents::RDHUP, is_over);
        events.set(
            PollEvents::HUP,
            is_over && is_send_shut || needs_peer && !self.is_connected(),
        );
        events.set(PollEvents::WRITABLE, !is_listening && self.is_writable());
        events.set(PollEvents::ERR, self.options.has_error());
        events
    }

    fn changed(&self) -> &WaitQueue {
        &self.changed
    }

    fn unread(&self) -> Result<usize, Errno> {
        if self.state.lock().listening.is_some() {
            return Err(Errno::EINVAL);
        }
        let inbox = self.inbox.lock();
        Ok(match (self.kind, inbox.front()) {
            (Kind::Datagram, Some(message)) => message.data.len(),
            (Kind::Datagram, None) => 0,
            (Kind::Stream | Kind::SequencedPacket, _) => inbox.bytes(),
        })
    }

    fn unsent(&self) -> Result<usize, Errno> {
        Ok(self.peer().map_or(0, |peer| peer.inbox.lock().bytes()))
    }
}

/// Value of the options that only a local socket knows, or that all share.
pub(super) fn option(socket: &UnixSocket, name: u32) -> Result<Vec<u8>, Errno> {
    use crate::fs::socket_options::words;
    match name {
        raw::SO_TYPE => Ok(words(&[socket.kind.to_raw()])),
        raw::SO_DOMAIN => Ok(words(&[raw::AF_UNIX])),
        raw::SO_PROTOCOL => Ok(words(&[0])),
        raw::SO_ACCEPTCONN => Ok(words(&[u32::from(socket.state.lock().listening.is_some())])),
        raw::SO_PEERCRED => {
            let nobody = [0, u32::MAX, u32::MAX];
            Ok(words(&if socket.is_connected() {
                UnixSocket::credentials()
            } else {
                nobody
            }))
        }
        _ => socket.options.get(name),
    }
}
