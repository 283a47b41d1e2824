//! One end of a TCP connection, from the first SYN until both ends have let go.

use super::buffers;
use super::keep_alive::{self, Step, Watch};
use super::link::Link;
use super::options::IpOptions;
use crate::fs::io::{Sink, Source};
use crate::libc::errno::{Errno, SysResult};
use alloc::vec;
use alloc::vec::Vec;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::IpEndpoint;

/// Bytes of each of a connection's two buffers.
pub const BUFFER: usize = 64 * 1024;
/// How long an unanswered SYN is repeated: Linux's `tcp_syn_retries` comes to this.
const CONNECT_PATIENCE: Duration = Duration::from_secs(127);
/// How long a closed connection waits for the other end to close (`tcp_fin_timeout`).
const FIN_PATIENCE: Duration = Duration::from_secs(60);
/// How long a closed connection waits for the other end to take more of what is left: about as long as
/// Linux, whose `tcp_orphan_retries` comes to this.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(100);

/// Makes a socket of smoltcp's, if there is memory for it.
pub fn make() -> Result<Socket<'static>, Errno> {
    buffers::check(2 * BUFFER)?;
    let buffer = || SocketBuffer::new(vec![0; BUFFER]);
    let mut socket = Socket::new(buffer(), buffer());
    // An accepted connection is there before its options, which may give its acknowledgements a delay.
    socket.set_ack_delay(None);
    Ok(socket)
}

/// One end of a connection.
pub struct Connection {
    link: usize,
    /// smoltcp's socket; `None` once TCP is done with it.
    handle: Option<SocketHandle>,
    /// Our address.
    pub local: IpEndpoint,
    /// The other end's.
    pub remote: IpEndpoint,
    /// Until when an answer to our SYN is waited for; `None`: it has come, or never will.
    connecting_until: Option<Instant>,
    /// The other end was there once.
    was_established: bool,
    /// What was received but not yet read when TCP was done.
    rest: Vec<u8>,
    rest_taken: usize,
    /// The other end will send nothing more.
    has_ended: bool,
    /// We send nothing more.
    pub is_send_shut: bool,
    /// We want nothing more.
    pub is_receive_shut: bool,
    /// The state that waiters have been told of.
    seen: Option<(State, usize, usize)>,
    /// Since when the other end owes an answer.
    owes_since: Instant,
    /// When the other end was heard of; `None`: it has not been looked for yet.
    watch: Option<Watch>,
    /// The other end did not say that it lives.
    is_given_up: bool,
}

impl Connection {
    /// Starts to connect `socket`, which has been told to, over a link.
    pub fn connecting(
        link: usize,
        handle: SocketHandle,
        local: IpEndpoint,
        remote: IpEndpoint,
        now: Instant,
    ) -> Self {
        Connection {
            connecting_until: Some(now + CONNECT_PATIENCE),
            was_established: false,
            ..Connection::accepted(link, handle, local, remote)
        }
    }

    /// Makes the end of a connection that came in.
    pub fn accepted(
        link: usize,
        handle: SocketHandle,
        local: IpEndpoint,
        remote: IpEndpoint,
    ) -> Self {
        Connection {
            link,
            handle: Some(handle),
            local,
            remote,
            connecting_until: None,
            was_established: true,
            rest: Vec::new(),
            rest_taken: 0,
            has_ended: false,
            is_send_shut: false,
            is_receive_shut: false,
            seen: None,
            owes_since: Instant::ZERO,
            watch: None,
            is_given_up: false,
        }
    }

    /// Tells whether it waits for the other end's first answer.
    pub fn is_connecting(&self) -> bool {
        self.connecting_until.is_some()
    }

    /// Tells whether TCP still works for it.
    pub fn is_alive(&self) -> bool {
        self.handle.is_some()
    }

    /// Tells whether the other end was there once.
    pub fn was_established(&self) -> bool {
        self.was_established
    }

    /// Tells whether nothing more can come than what has been received.
    pub fn is_over(&self) -> bool {
        self.has_ended || self.is_receive_shut || !self.is_alive()
    }

    /// Returns smoltcp's socket.
    pub fn socket<'a>(&self, links: &'a mut [Link]) -> Option<&'a mut Socket<'static>> {
        let handle = self.handle?;
        Some(links[self.link].sockets.get_mut(handle))
    }

    /// Returns smoltcp's socket, and whether it speaks over `lo`.
    pub fn socket_and_way<'a>(
        &self,
        links: &'a mut [Link],
    ) -> Option<(&'a mut Socket<'static>, bool)> {
        let is_loopback = links[self.link].is_loopback();
        Some((self.socket(links)?, is_loopback))
    }

    /// Takes over what happened; returns the error that the socket has to report, if any, and
    /// whether anything changed.
    pub fn settle(
        &mut self,
        links: &mut [Link],
        options: &IpOptions,
        now: Instant,
    ) -> (bool, Option<Errno>) {
        let before = self.seen.map_or(0, |(_, _, queue)| queue);
        let was_connecting = self.connecting_until;
        let (is_send_shut, had_ended) = (self.is_send_shut, self.has_ended);
        let (owes_since, is_given_up) = (self.owes_since, self.is_given_up);
        let Some(socket) = self.socket(links) else {
            return (false, None);
        };
        let state = socket.state();
        let seen = (state, socket.recv_queue(), socket.send_queue());
        if self.seen == Some(seen) {
            return (false, None);
        }
        let mut error = None;
        match state {
            State::Listen | State::SynSent | State::SynReceived => {}
            State::Established | State::FinWait1 | State::FinWait2 => {
                socket.set_timeout(options.patience(socket.send_queue()));
                self.connecting_until = None;
                self.was_established = true;
            }
            State::CloseWait | State::LastAck | State::Closing => {
                socket.set_timeout(options.patience(socket.send_queue()));
                self.connecting_until = None;
                self.was_established = true;
                self.has_ended = true;
            }
            State::TimeWait | State::Closed => {
                let mut rest = vec![0; socket.recv_queue()];
                let count = socket.recv_slice(&mut rest).unwrap_or(0);
                rest.truncate(count);
                // With nothing left to read smoltcp tells a FIN from a reset.
                let has_fin =
                    socket.recv_slice(&mut []) == Err(smoltcp::socket::tcp::RecvError::Finished);
                if let Some(deadline) = was_connecting {
                    error = Some(if now >= deadline {
                        Errno::ETIMEDOUT
                    } else {
                        Errno::ECONNREFUSED
                    });
                } else if is_given_up
                    || options
                        .patience(before)
                        .is_some_and(|patience| now >= owes_since + patience)
                {
                    error = Some(Errno::ETIMEDOUT);
                } else if !(has_fin && is_send_shut) {
                    // Linux: to who has read the end already, a reset is a broken pipe.
                    error = Some(if had_ended {
                        Errno::EPIPE
                    } else {
                        Errno::ECONNRESET
                    });
                }
                self.rest = rest;
                self.has_ended = true;
                self.connecting_until = None;
                self.remove(links);
            }
        }
        // What is added to what it owes an answer to does not give it more time.
        if before == 0 || seen.2 < before {
            self.owes_since = now;
        }
        self.seen = Some(seen);
        (true, error)
    }

    /// Returns how often the other end has been asked in vain whether it lives.
    pub fn unanswered_questions(&self) -> u8 {
        let asked = self.watch.as_ref().map_or(0, Watch::unanswered);
        u8::try_from(asked).unwrap_or(u8::MAX)
    }

    /// Notes that a packet came from the other end.
    pub fn hear(&mut self, now: Instant) {
        if let Some(watch) = &mut self.watch {
            watch.hear(now);
        }
    }

    /// Asks the other end whether it lives, or gives it up, if it is time to; tells whether that gives something to
    /// send.
    pub fn keep_alive(
        &mut self,
        links: &mut [Link],
        settings: Option<keep_alive::Settings>,
        now: Instant,
    ) -> bool {
        let is_due = self.was_established && !self.is_given_up;
        let watch = self.watch.get_or_insert(Watch::new(now));
        let is_due = |settings: &keep_alive::Settings| is_due && watch.deadline(settings) <= now;
        let Some(settings) = settings.filter(is_due) else {
            return false;
        };
        let owes_answer = self.unsent(links) > 0;
        let watch = self.watch.get_or_insert(Watch::new(now));
        if owes_answer {
            watch.hear(now);
        }
        let step = watch.step(&settings, now);
        self.is_given_up = step == Step::GiveUp;
        let Some(socket) = self.socket(links) else {
            return false;
        };
        match step {
            Step::Wait => return false,
            Step::Ask => {
                // One question with the next packet, and none after it.
                socket.set_keep_alive(Some(settings.interval));
                socket.set_keep_alive(None);
            }
            Step::GiveUp => socket.abort(),
        }
        true
    }

    /// Returns when [`Connection::keep_alive`] has something to do.
    pub fn keep_alive_deadline(&self, settings: Option<keep_alive::Settings>) -> Option<Instant> {
        let is_due = self.is_alive() && self.was_established && !self.is_given_up;
        let settings = settings.filter(|_| is_due)?;
        self.watch.as_ref().map(|watch| watch.deadline(&settings))
    }

    fn remove(&mut self, links: &mut [Link]) {
        if let Some(handle) = self.handle.take() {
            links[self.link].dismiss(handle);
        }
    }

    /// Returns how many bytes can be read.
    pub fn readable(&self, links: &mut [Link]) -> usize {
        match self.socket(links) {
            Some(socket) => socket.recv_queue(),
            None => self.rest.len() - self.rest_taken,
        }
    }

    /// Returns how many bytes the other end has not acknowledged.
    pub fn unsent(&self, links: &mut [Link]) -> usize {
        self.socket(links).map_or(0, |socket| socket.send_queue())
    }

    /// Tells whether poll(2) calls it writable: as on Linux, when a third of the buffer is free.
    pub fn is_writable(&self, links: &mut [Link]) -> bool {
        self.is_send_shut || !self.is_alive() || self.unsent(links) * 3 <= BUFFER * 2
    }

    /// Moves bytes that have been received to `to`; returns how many. They stay if `is_peek`.
    pub fn read(&mut self, links: &mut [Link], to: &mut dyn Sink, is_peek: bool) -> SysResult {
        let Some(socket) = self.socket(links) else {
            let rest = &self.rest[self.rest_taken..];
            let count = rest.len().min(to.remaining());
            to.put(&rest[..count])?;
            if !is_peek {
                self.rest_taken += count;
            }
            return Ok(count);
        };
        if is_peek {
            let mut bytes = vec![0; socket.recv_queue().min(to.remaining())];
            let count = socket.peek_slice(&mut bytes).unwrap_or(0);
            to.put(&bytes[..count])?;
            return Ok(count);
        }
        let mut done = 0;
        // The buffer is a ring: its bytes lie in two pieces at most.
        for _ in 0..2 {
            let step = socket.recv(|bytes| {
                let count = bytes.len().min(to.remaining());
                match to.put(&bytes[..count]) {
                    Ok(()) => (count, Ok(count)),
                    Err(errno) => (0, Err(errno)),
                }
            });
            match step {
                Ok(Ok(0)) | Err(_) => break,
                Ok(Ok(count)) => done += count,
                Ok(Err(_)) if done > 0 => break,
                Ok(Err(errno)) => return Err(errno),
            }
        }
        Ok(done)
    }

    /// Drops bytes that have been received (MSG_TRUNC); returns how many.
    pub fn skip(&mut self, links: &mut [Link], most: usize) -> usize {
        let mut bytes = vec![0; self.readable(links).min(most)];
        let mut sink = crate::fs::io::KernelSink::new(&mut bytes);
        self.read(links, &mut sink, false).unwrap_or(0)
    }

    /// Takes bytes to send, as many as there is room for; returns how many.
    pub fn write(&mut self, links: &mut [Link], from: &mut dyn Source) -> SysResult {
        let Some(socket) = self.socket(links) else {
            return Err(Errno::EPIPE);
        };
        let mut done = 0;
        for _ in 0..2 {
            let step = socket.send(|room| {
                let count = room.len().min(from.remaining());
                match from.take(&mut room[..count]) {
                    Ok(()) => (count, Ok(count)),
                    Err(errno) => (0, Err(errno)),
                }
            });
            match step {
                Err(_) => return Err(Errno::EPIPE),
                Ok(Ok(0)) => break,
                Ok(Ok(count)) => done += count,
                Ok(Err(_)) if done > 0 => break,
                Ok(Err(errno)) => return Err(errno),
            }
        }
        Ok(done)
    }

    /// Sends our FIN after what is still to be sent.
    pub fn shut_send(&mut self, links: &mut [Link]) {
        self.is_send_shut = true;
        if let Some(socket) = self.socket(links) {
            socket.close();
        }
    }

    /// Lets go of it: with a FIN, or with a reset where `is_abrupt` or something received is unread
    /// (RFC 2525, section 2.17).
    pub fn close(mut self, links: &mut [Link], is_abrupt: bool) -> Option<Orphan> {
        let is_abrupt = is_abrupt || self.readable(links) > 0;
        let socket = self.socket(links)?;
        if is_abrupt {
            socket.abort();
        } else {
            socket.close();
        }
        // From now on patience is the orphan's.
        socket.set_timeout(None);
        Some(Orphan {
            link: self.link,
            handle: self.handle.take()?,
            seen: None,
            deadline: None,
        })
    }
}

/// A connection that nobody holds any more but the other end has not let go.
pub struct Orphan {
    link: usize,
    handle: SocketHandle,
    /// Its state, and what the other end has not taken yet.
    seen: Option<(State, usize)>,
    /// When its patience ends.
    pub deadline: Option<Instant>,
}

/// What became of an orphan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It waits for the other end.
    Waits,
    /// It has a reset to send.
    Aborts,
    /// It is gone.
    Gone,
}

impl Orphan {
    /// Takes over what happened.
    pub fn settle(&mut self, links: &mut [Link], now: Instant) -> Fate {
        let socket: &mut Socket = links[self.link].sockets.get_mut(self.handle);
        let patience = match socket.state() {
            State::Closed | State::TimeWait => {
                links[self.link].dismiss(self.handle);
                return Fate::Gone;
            }
            State::FinWait2 => FIN_PATIENCE,
            _ => ORPHAN_PATIENCE,
        };
        let seen = (socket.state(), socket.send_queue());
        if self.seen != Some(seen) {
            self.seen = Some(seen);
            self.deadline = Some(now + patience);
        }
        // Nobody will read what still comes: the other end is told (RFC 1122, section 4.2.2.13).
        if socket.recv_queue() > 0 || self.deadline.is_some_and(|deadline| now >= deadline) {
            socket.abort();
            return Fate::Aborts;
        }
        Fate::Waits
    }
}
