//! The lease of an IPv4 address (RFC 2131): smoltcp's client, and what is told of the lease that it has.

use super::device::PACKET_MAX;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::{Socket, dhcpv4};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{DhcpMessageType, DhcpPacket, DhcpRepr, Ipv4Address, Ipv4Cidr};

/// Bytes of the longest message of a server: smoltcp tells it that the longest packet is welcome.
const MESSAGE_MAX: usize = PACKET_MAX;
/// How long a lease lasts whose server does not say, as smoltcp's client takes it.
const DEFAULT_DURATION: Duration = Duration::from_secs(120);

/// A lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The address.
    pub address: Ipv4Cidr,
    /// Who gave it.
    pub server: Ipv4Address,
    /// When it ends, unless it is renewed.
    pub expires: Instant,
    /// Where packets to other networks go.
    pub router: Option<Ipv4Address>,
    /// Who knows names.
    pub name_servers: Vec<Ipv4Address>,
}

/// What has happened.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The lease lasts longer, and all else is as before.
    Renewed,
    /// There is another lease than before, or none.
    Changed {
        /// The address that is ours no longer.
        old: Option<Ipv4Cidr>,
        /// The address that is ours now.
        new: Option<Ipv4Cidr>,
    },
}

/// The client of one interface, which asks for nothing at first.
#[derive(Default)]
pub struct LeaseClient {
    /// smoltcp's socket while it asks, or has a lease and renews it.
    active: Option<SocketHandle>,
    /// The socket of a client that has asked before and does not now.
    idle: Option<Box<dhcpv4::Socket<'static>>>,
    lease: Option<Lease>,
}

impl LeaseClient {
    /// Tells whether it asks for an address, or has one and renews it.
    pub fn is_active(&self) -> bool {
        self.active.is_some()
    }

    /// Returns the lease that it has.
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Has it ask for an address, if it does not already.
    pub fn start(&mut self, sockets: &mut SocketSet<'static>) {
        if self.is_active() {
            return;
        }
        let mut socket = match self.idle.take() {
            Some(socket) => *socket,
            None => make(),
        };
        socket.reset();
        self.active = Some(sockets.add(socket));
    }

    /// Forgets the lease without giving it back: the address stays with who uses it.
    pub fn stop(&mut self, sockets: &mut SocketSet<'static>) {
        self.lease = None;
        if let Some(handle) = self.active.take()
            && let Socket::Dhcpv4(socket) = sockets.remove(handle)
        {
            self.idle = Some(Box::new(socket));
        }
    }

    /// Takes over what the client has heard.
    pub fn poll(&mut self, sockets: &mut SocketSet<'static>, now: Instant) -> Option<Event> {
        let socket: &mut dhcpv4::Socket = sockets.get_mut(self.active?);
        let old = self.lease.take();
        let Some(event) = socket.poll() else {
            self.lease = old;
            return None;
        };
        let config = match event {
            dhcpv4::Event::Configured(config) => config,
            dhcpv4::Event::Deconfigured => {
                let old = Some(old?.address);
                return Some(Event::Changed { old, new: None });
            }
        };
        let duration = config.packet.and_then(acknowledged);
        let before = old.as_ref().map(|old| old.expires);
        let new = Lease {
            address: config.address,
            server: config.server.address,
            expires: duration
                .map(|duration| now + duration)
                .or(before)
                .unwrap_or(now + DEFAULT_DURATION),
            router: config.router,
            name_servers: config.dns_servers.to_vec(),
        };
        let is_renewal = old.as_ref().is_some_and(|old| {
            let expires = old.expires;
            Lease {
                expires,
                ..new.clone()
            } == *old
        });
        let event = if is_renewal {
            Event::Renewed
        } else {
            let old = old.map(|old| old.address);
            let new = Some(new.address);
            Event::Changed { old, new }
        };
        self.lease = Some(new);
        Some(event)
    }
}

/// Makes a socket that keeps what the server sends: how long a lease lasts is told nowhere else.
fn make() -> dhcpv4::Socket<'static> {
    let mut socket = dhcpv4::Socket::new();
    // smoltcp wants it for good. An interface has one client, which lives as long as the machine.
    socket.set_receive_packet_buffer(vec![0; MESSAGE_MAX].leak());
    socket
}

/// Returns how long a lease lasts that a server's message gives.
fn acknowledged(message: DhcpPacket<&[u8]>) -> Option<Duration> {
    let message = DhcpRepr::parse(&message).ok()?;
    let is_lease = message.message_type == DhcpMessageType::Ack;
    let seconds = message.lease_duration.filter(|_| is_lease)?;
    Some(Duration::from_secs(seconds.into()))
}
