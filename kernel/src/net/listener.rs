//! A listening socket: smoltcp's have no backlog, so each listener keeps a stock of them.
//!
//! On each link one socket waits for the next SYN as long as there is room; it is replaced after
//! every packet, so the stock never runs out before the backlog does.
//!
//! A flood of SYNs that nobody follows up fills the backlog with half-open connections. They are
//! given up sooner the more there are, and where there is no room the oldest gives way to the next SYN.

use super::connection::{self, Connection, Orphan};
use super::link::Link;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{Socket, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{IpAddress, IpListenEndpoint};

/// The most that may wait (`somaxconn`).
pub const BACKLOG_MAX: usize = 4096;

/// The most half-open connections of one listener, each with its buffers, whatever its backlog.
const HALF_OPEN_MAX: usize = 64;
/// How long a half-open connection waits for the last acknowledgement: until Linux too would have
/// answered its SYN five times in vain (`tcp_synack_retries`).
const PATIENCE: Duration = Duration::from_secs(63);
/// With more than so many at a time it is a flood, until none is left.
const CALM_MAX: usize = 4;
/// How long a half-open connection waits in a flood: a lost acknowledgement has come again by then.
const PATIENCE_IN_FLOOD: Duration = Duration::from_secs(3);
/// How long a half-open connection has its place for sure: an honest client answers sooner.
const RESERVED: Duration = Duration::from_millis(500);

/// A socket of the stock.
struct Stocked {
    link: usize,
    handle: SocketHandle,
    /// When the SYN came that it has answered.
    half_open_since: Option<Instant>,
}

/// A listening socket.
pub struct Listener {
    covers: [bool; 2],
    endpoint: IpListenEndpoint,
    backlog: usize,
    /// Sockets that wait for a SYN, or for the acknowledgement of our answer to one.
    stock: Vec<Stocked>,
    is_flooded: bool,
    /// Connections that wait to be accepted.
    ready: VecDeque<Connection>,
}

impl Listener {
    /// Starts to listen.
    pub fn new(
        covers: [bool; 2],
        endpoint: IpListenEndpoint,
        links: &mut [Link],
        now: Instant,
    ) -> Self {
        let mut listener = Listener {
            covers,
            endpoint,
            backlog: 0,
            stock: Vec::new(),
            is_flooded: false,
            ready: VecDeque::new(),
        };
        listener.refresh(links, now);
        listener
    }

    /// Sets how many may wait; Linux takes the number as unsigned.
    pub fn set_backlog(&mut self, backlog: i32, links: &mut [Link], now: Instant) {
        self.backlog = (backlog.cast_unsigned() as usize).min(BACKLOG_MAX);
        self.refresh(links, now);
    }

    /// Takes over what happened and stocks up; tells whether a connection became ready.
    pub fn refresh(&mut self, links: &mut [Link], now: Instant) -> bool {
        let before = self.ready.len();
        let ready = &mut self.ready;
        self.stock.retain_mut(|stocked| {
            let (link, handle) = (stocked.link, stocked.handle);
            let socket: &mut Socket = links[link].sockets.get_mut(handle);
            match socket.state() {
                State::Listen if stocked.half_open_since.is_none() => {}
                // A reset has sent it back to where it came from. Another one listens by now.
                State::Listen => {
                    links[link].sockets.remove(handle);
                    return false;
                }
                State::SynReceived => {
                    stocked.half_open_since.get_or_insert(now);
                }
                State::Closed | State::TimeWait => {
                    links[link].sockets.remove(handle);
                    return false;
                }
                _ => {
                    // Both addresses are known in every state but Listen and Closed.
                    if let (Some(local), Some(remote)) =
                        (socket.local_endpoint(), socket.remote_endpoint())
                    {
                        ready.push_back(Connection::accepted(link, handle, local, remote));
                    }
                    return false;
                }
            }
            true
        });
        match self.half_open().count() {
            0 => self.is_flooded = false,
            count => self.is_flooded |= count > CALM_MAX,
        }
        self.expire(links, now);
        for (link, on) in links.iter_mut().enumerate() {
            if self.is_for(on) && !self.is_open(link) && self.has_room() {
                // Without memory the next SYN is lost, and comes again.
                if let Ok(mut socket) = connection::make()
                    && socket.listen(self.endpoint).is_ok()
                {
                    self.stock.push(Stocked {
                        link,
                        handle: on.sockets.add(socket),
                        half_open_since: None,
                    });
                }
            }
        }
        self.ready.len() > before
    }

    /// Tells whether a link's SYNs may be for it. Nothing for a loopback address comes from a network.
    fn is_for(&self, link: &Link) -> bool {
        let is_inner = |address| match address {
            IpAddress::Ipv4(address) => address.is_loopback(),
            IpAddress::Ipv6(address) => address.is_loopback(),
        };
        self.covers[link.version as usize]
            && (link.is_loopback() || !self.endpoint.addr.is_some_and(is_inner))
    }

    fn is_open(&self, link: usize) -> bool {
        let mut on_link = self.stock.iter().filter(|stocked| stocked.link == link);
        on_link.any(|stocked| stocked.half_open_since.is_none())
    }

    fn half_open(&self) -> impl Iterator<Item = Instant> {
        self.stock
            .iter()
            .filter_map(|stocked| stocked.half_open_since)
    }

    /// As Linux counts: one more than the backlog may wait.
    fn has_room(&self) -> bool {
        let half_open = self.half_open().count();
        self.ready.len() + half_open <= self.backlog && half_open < HALF_OPEN_MAX
    }

    fn patience(&self) -> Duration {
        if self.is_flooded {
            PATIENCE_IN_FLOOD
        } else {
            PATIENCE
        }
    }

    /// Returns when the next half-open connection is given up.
    pub fn deadline(&self) -> Option<Instant> {
        self.half_open()
            .min()
            .map(|oldest| oldest + self.patience())
    }

    /// Gives up the half-open connections that have waited long enough.
    fn expire(&mut self, links: &mut [Link], now: Instant) {
        while self.deadline().is_some_and(|deadline| now >= deadline) {
            self.give_up_oldest(links);
        }
    }

    /// Whoever sent its SYN is not told: the address may be anybody's.
    fn give_up_oldest(&mut self, links: &mut [Link]) {
        let half_open = self.stock.iter().enumerate();
        let oldest = half_open
            .filter_map(|(index, stocked)| Some((stocked.half_open_since?, index)))
            .min();
        if let Some((_, index)) = oldest {
            let stocked = self.stock.swap_remove(index);
            links[stocked.link].sockets.remove(stocked.handle);
        }
    }

    /// Tells what becomes of a SYN: `None`, it is not for this listener; else whether there is room.
    pub fn takes(
        &mut self,
        link: usize,
        address: IpAddress,
        port: u16,
        links: &mut [Link],
        now: Instant,
    ) -> Option<bool> {
        let is_ours = self.is_for(&links[link])
            && self.endpoint.port == port
            && self.endpoint.addr.is_none_or(|own| own == address);
        is_ours.then(|| {
            let oldest = self.half_open().min();
            if !self.has_room() && oldest.is_some_and(|oldest| now >= oldest + RESERVED) {
                self.give_up_oldest(links);
                self.refresh(links, now);
            }
            self.has_room() && self.is_open(link)
        })
    }

    /// Returns how many connections wait to be accepted.
    pub fn waiting(&self) -> usize {
        self.ready.len()
    }

    /// Returns how many may wait.
    pub fn backlog(&self) -> usize {
        self.backlog
    }

    /// Tells whether a connection waits to be accepted.
    pub fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes the connection that has waited longest.
    pub fn accept(&mut self, links: &mut [Link], now: Instant) -> Option<Connection> {
        let connection = self.ready.pop_front();
        self.refresh(links, now);
        connection
    }

    /// Stops to listen; whoever waited to be accepted is reset.
    pub fn close(self, links: &mut [Link]) -> Vec<Orphan> {
        let mut orphans = Vec::new();
        for Stocked { link, handle, .. } in self.stock {
            let socket: &mut Socket = links[link].sockets.get_mut(handle);
            match (socket.local_endpoint(), socket.remote_endpoint()) {
                (Some(local), Some(remote)) => {
                    let half_open = Connection::accepted(link, handle, local, remote);
                    orphans.extend(half_open.close(links, true));
                }
                _ => {
                    links[link].sockets.remove(handle);
                }
            }
        }
        for connection in self.ready {
            orphans.extend(connection.close(links, true));
        }
        orphans
    }
}
