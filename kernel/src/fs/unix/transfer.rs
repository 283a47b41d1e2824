//! Sending and receiving on local sockets.

use super::address::Address;
use super::inbox::Message;
use super::socket::{Kind, Peer, UnixSocket};
use crate::fs::file::OpenFlags;
use crate::fs::io::Sink;
use crate::fs::socket::{Outgoing, Received};
use crate::fs::socket_options::Direction;
use crate::libc::errno::{Errno, SysResult};
use crate::libc::signal;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use linux_raw_sys::general::SIGPIPE;
use linux_raw_sys::net as raw;

/// The most bytes of a stream that are copied at a time.
const CHUNK: usize = 32 * 1024;
/// The most datagrams that may wait in an inbox.
const DATAGRAMS_MAX: usize = 256;

const KNOWN_SEND: u32 = raw::MSG_DONTWAIT
    | raw::MSG_NOSIGNAL
    | raw::MSG_EOR
    | raw::MSG_MORE
    | raw::MSG_DONTROUTE
    | raw::MSG_CONFIRM;

impl UnixSocket {
    /// sendmsg(2).
    pub(super) fn send_message(&self, message: Outgoing, flags: u32, open: OpenFlags) -> SysResult {
        if flags & !KNOWN_SEND != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let is_nonblocking = open.is_nonblocking() || flags & raw::MSG_DONTWAIT != 0;
        let sent = match self.kind {
            Kind::Stream => self.send_stream(message, is_nonblocking),
            _ => self.send_whole(message, is_nonblocking),
        };
        if sent == Err(Errno::EPIPE)
            && flags & raw::MSG_NOSIGNAL == 0
            && self.kind != Kind::Datagram
        {
            signal::raise_in_current(SIGPIPE);
        }
        sent
    }

    /// Returns the peer of a connection; `EPIPE` if it is gone, or either half that is needed is shut.
    fn peer_to_send_to(&self) -> Result<Arc<UnixSocket>, Errno> {
        if !self.is_connected() {
            return Err(Errno::ENOTCONN);
        }
        if self.state.lock().is_send_shut {
            return Err(Errno::EPIPE);
        }
        self.peer().ok_or(Errno::EPIPE)
    }

    fn send_stream(&self, message: Outgoing, is_nonblocking: bool) -> SysResult {
        if !message.to.is_empty() {
            return Err(if self.is_connected() {
                Errno::EISCONN
            } else {
                Errno::EOPNOTSUPP
            });
        }
        let mut rights = message.rights;
        let total = message.data.remaining();
        let mut done = 0;
        while done < total {
            let step = self.send_piece(message.data, &mut rights, is_nonblocking);
            match step {
                Ok(count) => done += count,
                Err(_) if done > 0 => break,
                Err(errno) => return Err(errno),
            }
        }
        if total == 0 {
            // Nothing to send still tells that nobody is there.
            self.peer_to_send_to()?;
        }
        Ok(done)
    }

    /// Waits for room and sends as much as fits, up to a chunk.
    fn send_piece(
        &self,
        data: &mut dyn crate::fs::io::Source,
        rights: &mut Vec<Arc<crate::fs::description::Description>>,
        is_nonblocking: bool,
    ) -> SysResult {
        let attempt = || {
            let peer = match self.peer_to_send_to() {
                Ok(peer) => peer,
                Err(errno) => return Some(Err(errno)),
            };
            let inbox = peer.inbox.lock();
            if inbox.is_shut {
                return Some(Err(Errno::EPIPE));
            }
            let room = self.room(&inbox);
            drop(inbox);
            (room > 0).then_some(Ok((peer, room)))
        };
        let (peer, room) =
            self.options
                .wait(&self.changed, Direction::Send, is_nonblocking, attempt)??;
        let mut bytes = vec![0; data.remaining().min(room).min(CHUNK)];
        data.take(&mut bytes)?;
        let count = bytes.len();
        let message = self.message(bytes, core::mem::take(rights));
        peer.inbox.lock().push_stream(message);
        peer.changed.wake_all();
        Ok(count)
    }

    fn message(
        &self,
        data: Vec<u8>,
        rights: Vec<Arc<crate::fs::description::Description>>,
    ) -> Message {
        let from = self.state.lock().address.clone();
        Message {
            data,
            taken: 0,
            rights,
            from,
            credentials: Self::credentials(),
        }
    }

    /// Sends one message that stays whole.
    fn send_whole(&self, message: Outgoing, is_nonblocking: bool) -> SysResult {
        let len = message.data.remaining();
        if len > self.options.send_buffer() - 32 {
            return Err(Errno::EMSGSIZE);
        }
        self.options.check_error()?;
        let target = self.target_of(message.to)?;
        let mut bytes = vec![0; len];
        message.data.take(&mut bytes)?;
        let mut parcel = Some(self.message(bytes, message.rights));
        let target_is_peer = message.to.is_empty();
        let attempt = || {
            if self.kind == Kind::SequencedPacket
                && let Err(errno) = self.peer_to_send_to()
            {
                return Some(Err(errno));
            }
            let mut inbox = target.inbox.lock();
            if inbox.is_shut {
                return Some(Err(Errno::EPIPE));
            }
            let is_full =
                inbox.len() >= DATAGRAMS_MAX || (!inbox.is_empty() && self.room(&inbox) < len);
            if is_full {
                return None;
            }
            if let Some(parcel) = parcel.take() {
                inbox.push(parcel);
            }
            Some(Ok(len))
        };
        // Our own queue is woken by a peer that reads or goes; another target only wakes its own.
        let queue = if target_is_peer {
            &self.changed
        } else {
            &target.changed
        };
        let sent = self
            .options
            .wait(queue, Direction::Send, is_nonblocking, attempt)?;
        target.changed.wake_all();
        sent
    }

    /// Returns the socket that a whole message goes to.
    fn target_of(&self, to: &[u8]) -> Result<Arc<UnixSocket>, Errno> {
        if self.kind == Kind::SequencedPacket {
            return self.peer_to_send_to();
        }
        if self.state.lock().is_send_shut {
            return Err(Errno::EPIPE);
        }
        let target = if to.is_empty() {
            if !self.is_connected() {
                return Err(Errno::ENOTCONN);
            }
            self.peer().ok_or_else(|| {
                // Said once; from then on the socket is not connected.
                self.disconnect_datagram(Peer::None);
                Errno::ECONNREFUSED
            })?
        } else {
            Address::parse(to)?.find(self.kind)?
        };
        target.check_accepts(self)?;
        Ok(target)
    }

    /// recvmsg(2).
    pub(super) fn receive_message(
        &self,
        to: &mut dyn Sink,
        flags: u32,
        open: OpenFlags,
    ) -> Result<Received, Errno> {
        if flags & raw::MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        if flags & raw::MSG_ERRQUEUE != 0 {
            return Err(Errno::EAGAIN);
        }
        let is_nonblocking = open.is_nonblocking() || flags & raw::MSG_DONTWAIT != 0;
        let received = match self.kind {
            Kind::Stream => self.receive_stream(to, flags, is_nonblocking),
            _ => self.receive_whole(to, flags, is_nonblocking),
        }?;
        // Whoever had no room to send to us may have some now: the peer, and datagram senders.
        self.changed.wake_all();
        if let Some(peer) = self.peer() {
            peer.changed.wake_all();
        }
        Ok(received)
    }

    fn receive_stream(
        &self,
        to: &mut dyn Sink,
        flags: u32,
        is_nonblocking: bool,
    ) -> Result<Received, Errno> {
        if !self.is_connected() {
            return Err(Errno::EINVAL);
        }
        let (is_peek, wants_all) = (flags & raw::MSG_PEEK != 0, flags & raw::MSG_WAITALL != 0);
        let mut received = Received::default();
        loop {
            let attempt = || {
                let mut inbox = self.inbox.lock();
                if let Some(front) = inbox.front() {
                    let (from, credentials) = (front.from.to_bytes(), front.credentials);
                    return Some(
                        inbox
                            .read_stream(to, is_peek)
                            .map(|read| Some((read, from, credentials))),
                    );
                }
                let is_over = inbox.is_ended || inbox.is_shut;
                drop(inbox);
                if self.options.has_error() {
                    return Some(self.options.check_error().map(|()| None));
                }
                is_over.then_some(Ok(None))
            };
            let step =
                self.options
                    .wait(&self.changed, Direction::Receive, is_nonblocking, attempt);
            match step.and_then(|step| step) {
                Ok(Some(((count, rights), from, credentials))) => {
                    received.count += count;
                    received.from = if from.len() > 2 { from } else { Vec::new() };
                    received.rights = rights;
                    received.credentials = self.wants_credentials().then_some(credentials);
                }
                Ok(None) => return Ok(received),
                Err(_) if received.count > 0 => return Ok(received),
                Err(errno) => return Err(errno),
            }
            if !wants_all || is_peek || to.remaining() == 0 || !received.rights.is_empty() {
                return Ok(received);
            }
        }
    }

    fn wants_credentials(&self) -> bool {
        self.options.is_on(raw::SO_PASSCRED)
    }

    fn receive_whole(
        &self,
        to: &mut dyn Sink,
        flags: u32,
        is_nonblocking: bool,
    ) -> Result<Received, Errno> {
        if self.kind == Kind::SequencedPacket && !self.is_connected() {
            return Err(Errno::ENOTCONN);
        }
        let is_peek = flags & raw::MSG_PEEK != 0;
        let attempt = || {
            // Unlike a stream, which gives what it has first.
            if self.options.has_error() {
                return Some(self.options.check_error().map(|()| None));
            }
            let mut inbox = self.inbox.lock();
            if inbox.front().is_some() {
                if !is_peek {
                    return inbox.pop().map(Ok).map(|message| message.map(Some));
                }
                let front = inbox.front()?;
                let copy = Message {
                    data: front.data.clone(),
                    taken: 0,
                    rights: front.rights.clone(),
                    from: front.from.clone(),
                    credentials: front.credentials,
                };
                return Some(Ok(Some(copy)));
            }
            // As on Linux, who does not want to wait for a datagram is not told of the end.
            let is_told = self.kind == Kind::SequencedPacket || !is_nonblocking;
            let is_over = is_told && (inbox.is_ended || inbox.is_shut);
            is_over.then_some(Ok(None))
        };
        let message =
            self.options
                .wait(&self.changed, Direction::Receive, is_nonblocking, attempt)??;
        let Some(message) = message else {
            return Ok(Received::default());
        };
        let fits = message.data.len().min(to.remaining());
        to.put(&message.data[..fits])?;
        let is_cut = fits < message.data.len();
        let from = message.from.to_bytes();
        Ok(Received {
            count: if flags & raw::MSG_TRUNC != 0 {
                message.data.len()
            } else {
                fits
            },
            from: if from.len() > 2 { from } else { Vec::new() },
            rights: message.rights,
            credentials: self.wants_credentials().then_some(message.credentials),
            flags: if is_cut { raw::MSG_TRUNC } else { 0 },
            control: Vec::new(),
        })
    }
}
