//! A listening socket: smoltcp's have no backlog, so each listener keeps a stock of them.
//!
//! On each link one socket waits for the next SYN as long as there is room; it is replaced after
//! every packet, so the stock never runs out before the backlog does.

use super::connection::{self, Connection, Orphan};
use super::link::Link;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{Socket, State};
use smoltcp::wire::{IpAddress, IpListenEndpoint};

/// The most that may wait (`somaxconn`).
pub const BACKLOG_MAX: usize = 4096;

/// A listening socket.
pub struct Listener {
    covers: [bool; 2],
    endpoint: IpListenEndpoint,
    backlog: usize,
    /// Sockets that wait for a SYN, or for the acknowledgement of our answer to one.
    stock: Vec<(usize, SocketHandle)>,
    /// Connections that wait to be accepted.
    ready: VecDeque<Connection>,
}

impl Listener {
    /// Starts to listen.
    pub fn new(covers: [bool; 2], endpoint: IpListenEndpoint, links: &mut [Link]) -> Self {
        let mut listener = Listener {
            covers,
            endpoint,
            backlog: 0,
            stock: Vec::new(),
            ready: VecDeque::new(),
        };
        listener.refresh(links);
        listener
    }

    /// Sets how many may wait; Linux takes the number as unsigned.
    pub fn set_backlog(&mut self, backlog: i32, links: &mut [Link]) {
        self.backlog = (backlog.cast_unsigned() as usize).min(BACKLOG_MAX);
        self.refresh(links);
    }

    /// Takes over what happened and stocks up; tells whether a connection became ready.
    pub fn refresh(&mut self, links: &mut [Link]) -> bool {
        let before = self.ready.len();
        let ready = &mut self.ready;
        self.stock.retain(|&(link, handle)| {
            let socket: &mut Socket = links[link].sockets.get_mut(handle);
            match socket.state() {
                State::Listen | State::SynReceived => true,
                State::Closed | State::TimeWait => {
                    links[link].sockets.remove(handle);
                    false
                }
                _ => {
                    // Both addresses are known in every state but Listen and Closed.
                    if let (Some(local), Some(remote)) =
                        (socket.local_endpoint(), socket.remote_endpoint())
                    {
                        ready.push_back(Connection::accepted(link, handle, local, remote));
                    }
                    false
                }
            }
        });
        for link in 0..links.len() {
            if self.is_for(&links[link]) && !self.is_open(link, links) && self.has_room(links) {
                let mut socket = connection::make();
                if socket.listen(self.endpoint).is_ok() {
                    let handle = links[link].sockets.add(socket);
                    self.stock.push((link, handle));
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

    fn is_open(&self, link: usize, links: &mut [Link]) -> bool {
        self.stock.iter().any(|&(on, handle)| {
            on == link && links[link].sockets.get_mut::<Socket>(handle).is_listening()
        })
    }

    /// As Linux counts: one more than the backlog may wait.
    fn has_room(&self, links: &mut [Link]) -> bool {
        let half_open = self.stock.iter().filter(|&&(link, handle)| {
            !links[link].sockets.get_mut::<Socket>(handle).is_listening()
        });
        self.ready.len() + half_open.count() <= self.backlog
    }

    /// Tells what becomes of a SYN: `None`, it is not for this listener; else whether there is room.
    pub fn takes(
        &self,
        link: usize,
        address: IpAddress,
        port: u16,
        links: &mut [Link],
    ) -> Option<bool> {
        let is_ours = self.is_for(&links[link])
            && self.endpoint.port == port
            && self.endpoint.addr.is_none_or(|own| own == address);
        is_ours.then(|| self.has_room(links) && self.is_open(link, links))
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
    pub fn accept(&mut self, links: &mut [Link]) -> Option<Connection> {
        let connection = self.ready.pop_front();
        self.refresh(links);
        connection
    }

    /// Stops to listen; whoever waited to be accepted is reset.
    pub fn close(self, links: &mut [Link]) -> Vec<Orphan> {
        let mut orphans = Vec::new();
        for (link, handle) in self.stock {
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
