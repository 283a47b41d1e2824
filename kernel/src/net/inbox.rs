//! What a datagram socket has received: datagrams in order of arrival, up to its receive buffer.

use crate::fs::file::OpenFlags;
use crate::fs::io::Sink;
use crate::fs::socket::Received;
use crate::fs::socket_options::{Direction, Options};
use crate::libc::errno::Errno;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use linux_raw_sys::net as raw;
use smp::WaitQueue;

/// What a datagram counts for in a receive buffer beyond its bytes, so that empty ones count.
const OVERHEAD: usize = 256;

/// A datagram that has arrived.
#[derive(Clone)]
pub struct Datagram<M> {
    /// What the family tells of it.
    pub about: M,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// The datagrams that wait to be read.
pub struct Inbox<M> {
    waiting: VecDeque<Datagram<M>>,
    /// What they count for.
    cost: usize,
}

impl<M> Inbox<M> {
    /// Makes an empty one.
    pub const fn new() -> Self {
        Inbox {
            waiting: VecDeque::new(),
            cost: 0,
        }
    }

    /// Takes a datagram and returns `true`; one that does not fit into `room` bytes is lost, unless it is alone.
    pub fn offer(&mut self, room: usize, about: M, data: Vec<u8>) -> bool {
        let cost = data.len() + OVERHEAD;
        let fits = self.waiting.is_empty() || self.cost + cost <= room;
        if fits {
            self.cost += cost;
            self.waiting.push_back(Datagram { about, data });
        }
        fits
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.cost = 0;
    }

    /// Tells whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns the bytes of the datagram that is next; 0 if there is none.
    pub fn next_len(&self) -> usize {
        self.waiting.front().map_or(0, |next| next.data.len())
    }

    /// Returns the bytes of all that wait.
    pub fn len(&self) -> usize {
        self.waiting
            .iter()
            .map(|datagram| datagram.data.len())
            .sum()
    }
}

impl<M: Clone> Inbox<M> {
    /// Takes the next datagram out, or with MSG_PEEK among `flags` a copy of it.
    pub fn next(&mut self, flags: u32) -> Option<Datagram<M>> {
        if flags & raw::MSG_PEEK != 0 {
            return self.waiting.front().cloned();
        }
        let next = self.waiting.pop_front()?;
        self.cost -= next.data.len() + OVERHEAD;
        Some(next)
    }
}

/// Does for a datagram socket what is the same of every recvmsg(2): waits for what `next` gives, copies it to
/// `to`, and tells whether it was cut. `next` gives `None` while there is nothing, and nothing
/// for good once the socket is shut.
pub fn receive<M>(
    to: &mut dyn Sink,
    flags: u32,
    open: OpenFlags,
    (options, changed): (&Options, &WaitQueue),
    next: impl FnMut() -> Option<Result<Option<Datagram<M>>, Errno>>,
) -> Result<Option<(M, Received)>, Errno> {
    if flags & raw::MSG_OOB != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    if flags & raw::MSG_ERRQUEUE != 0 {
        return Err(Errno::EAGAIN);
    }
    let is_nonblocking = open.is_nonblocking() || flags & raw::MSG_DONTWAIT != 0;
    let found = options.wait(changed, Direction::Receive, is_nonblocking, next)??;
    let Some(Datagram { about, data }) = found else {
        return Ok(None);
    };
    let fits = data.len().min(to.remaining());
    to.put(&data[..fits])?;
    let received = Received {
        count: if flags & raw::MSG_TRUNC != 0 {
            data.len()
        } else {
            fits
        },
        flags: if fits < data.len() { raw::MSG_TRUNC } else { 0 },
        ..Received::default()
    };
    Ok(Some((about, received)))
}
