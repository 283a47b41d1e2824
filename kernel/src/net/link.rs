//! Links: a device, one IP version over it, and the smoltcp sockets that speak through it.
//!
//! A version of its own for each link keeps the families apart: a listener on all IPv4 addresses
//! must not take IPv6 connections, and a socket without an address in smoltcp means every version.

use super::device::{Card, Device};
use crate::log;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use smoltcp::iface::{
    Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet,
};
use smoltcp::socket::{dhcpv4, tcp};
use smoltcp::time::Instant;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, HardwareAddress, IpAddress, IpCidr,
    IpProtocol, Ipv4Address, Ipv4Cidr, Ipv4Packet, Ipv6Packet, TcpPacket,
};

/// An IP version, as an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// IPv4.
    V4 = 0,
    /// IPv6.
    V6 = 1,
}

impl Version {
    /// Returns an address's.
    pub fn of(address: IpAddress) -> Version {
        match address {
            IpAddress::Ipv4(_) => Version::V4,
            IpAddress::Ipv6(_) => Version::V6,
        }
    }
}

/// Index of `lo` for IPv4.
pub const LO_V4: usize = 0;
/// Index of `lo` for IPv6.
pub const LO_V6: usize = 1;

/// How many connections may be in TIME-WAIT, each with its buffers; the oldest give way, as on Linux
/// (`tcp_max_tw_buckets`).
const WAITING_MAX: usize = 64;

/// A device with one IP version over it.
pub struct Link {
    /// The interface that it belongs to: `lo`, `eth0`.
    pub name: String,
    /// What it speaks.
    pub version: Version,
    /// Its addresses and routes.
    pub interface: Interface,
    /// The sockets that speak through it.
    pub sockets: SocketSet<'static>,
    device: Device,
    /// Connections in TIME-WAIT (RFC 9293, 3.6.1), which nobody else knows any more.
    waiting: VecDeque<SocketHandle>,
    /// What asks for an address, if that is to be asked for.
    dhcp: Option<SocketHandle>,
    /// Where packets to other networks go.
    pub router: Option<Ipv4Address>,
}

impl Link {
    fn new(
        name: String,
        version: Version,
        mut device: Device,
        hardware: HardwareAddress,
        seed: u64,
    ) -> Self {
        let mut config = Config::new(hardware);
        config.random_seed = seed;
        Link {
            name,
            version,
            interface: Interface::new(config, &mut device, Instant::ZERO),
            sockets: SocketSet::new(Vec::new()),
            device,
            waiting: VecDeque::new(),
            dhcp: None,
            router: None,
        }
    }

    /// Makes `lo` for the version of `address`, the one that connections start from.
    fn loopback(address: IpCidr, seed: u64) -> Self {
        let device = Device::Loopback(VecDeque::new());
        let version = Version::of(address.address());
        let mut link = Link::new("lo".into(), version, device, HardwareAddress::Ip, seed);
        link.set_address(Some(address));
        // All of 127.0.0.0/8 is ours, not this address alone, and so are the cards' addresses.
        link.interface.set_any_ip(true);
        link
    }

    /// Makes both links of `lo`, in the order of [`LO_V4`] and [`LO_V6`].
    pub fn loopbacks(seed: u64) -> [Link; 2] {
        let v4 = IpCidr::Ipv4(Ipv4Cidr::new(Ipv4Address::new(127, 0, 0, 1), 8));
        let v6 = IpCidr::new(IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 1), 128);
        [
            Link::loopback(v4, seed),
            Link::loopback(v6, seed.rotate_left(32)),
        ]
    }

    /// Makes a card's link for IPv4, which asks for an address by DHCP (RFC 2131).
    pub fn ethernet(name: String, card: Box<dyn Card>, seed: u64) -> Self {
        let hardware = HardwareAddress::Ethernet(EthernetAddress(card.mac()));
        let device = Device::Card(card, None);
        let mut link = Link::new(name, Version::V4, device, hardware, seed);
        link.dhcp = Some(link.sockets.add(dhcpv4::Socket::new()));
        link
    }

    /// Tells whether what it sends stays in this machine.
    pub fn is_loopback(&self) -> bool {
        matches!(self.device, Device::Loopback(_))
    }

    /// Returns the address that packets leave from.
    pub fn address(&self) -> Option<IpAddress> {
        self.interface.ip_addrs().first().map(IpCidr::address)
    }

    fn set_address(&mut self, address: Option<IpCidr>) {
        self.interface.update_ip_addrs(|addresses| {
            addresses.clear();
            // There is room for more than one.
            addresses.extend(address);
        });
    }

    /// Tells whether packets to an address can leave here.
    pub fn leads_to(&self, address: IpAddress) -> bool {
        let networks = self.interface.ip_addrs();
        Version::of(address) == self.version
            && (networks.iter().any(|own| own.contains_addr(&address)) || self.router.is_some())
    }

    /// Handles one packet that has arrived; tells whether there was one.
    pub fn receive_one(&mut self, now: Instant) -> bool {
        let result = self
            .interface
            .poll_ingress_single(now, &mut self.device, &mut self.sockets);
        !matches!(result, PollIngressSingleResult::None)
    }

    /// Has the card, if there is one, interrupt when more arrives.
    pub fn rearm(&mut self) {
        if let Device::Card(card, _) = &mut self.device {
            card.rearm();
        }
    }

    /// Drops the packet that comes next.
    pub fn drop_next(&mut self) {
        self.device.take();
    }

    /// Returns the destination of the packet that comes next, if it asks for a TCP connection.
    pub fn next_request(&mut self) -> Option<(IpAddress, u16)> {
        let is_framed = !self.is_loopback();
        let mut bytes = self.device.peek()?;
        if is_framed {
            let frame = EthernetFrame::new_checked(bytes).ok()?;
            if frame.ethertype() != EthernetProtocol::Ipv4 {
                return None;
            }
            bytes = frame
                .into_inner()
                .get(EthernetFrame::<&[u8]>::header_len()..)?;
        }
        let (address, segment) = match bytes.first()? >> 4 {
            4 => {
                let packet = Ipv4Packet::new_checked(bytes).ok()?;
                if packet.next_header() != IpProtocol::Tcp {
                    return None;
                }
                (IpAddress::Ipv4(packet.dst_addr()), packet.payload())
            }
            6 => {
                let packet = Ipv6Packet::new_checked(bytes).ok()?;
                if packet.next_header() != IpProtocol::Tcp {
                    return None;
                }
                (IpAddress::Ipv6(packet.dst_addr()), packet.payload())
            }
            _ => return None,
        };
        let segment = TcpPacket::new_checked(segment).ok()?;
        (segment.syn() && !segment.ack()).then_some((address, segment.dst_port()))
    }

    /// Sends what the sockets have to send; tells whether that was anything.
    pub fn send(&mut self, now: Instant) -> bool {
        let result = self
            .interface
            .poll_egress(now, &mut self.device, &mut self.sockets);
        self.sweep();
        matches!(result, PollResult::SocketStateChanged)
    }

    /// Lets go of a connection that is closed or in TIME-WAIT.
    pub fn dismiss(&mut self, handle: SocketHandle) {
        // On `lo` no packet is under way: nothing old can come back, which is what TIME-WAIT waits for.
        let is_over = self.sockets.get::<tcp::Socket>(handle).state() == tcp::State::Closed;
        if is_over || self.is_loopback() {
            self.sockets.remove(handle);
            return;
        }
        self.waiting.push_back(handle);
        if self.waiting.len() > WAITING_MAX
            && let Some(oldest) = self.waiting.pop_front()
        {
            self.sockets.remove(oldest);
        }
    }

    /// Removes what has waited long enough.
    fn sweep(&mut self) {
        let sockets = &mut self.sockets;
        self.waiting.retain(|&handle| {
            let is_over = sockets.get::<tcp::Socket>(handle).state() == tcp::State::Closed;
            if is_over {
                sockets.remove(handle);
            }
            !is_over
        });
    }

    /// Takes over what DHCP has found out.
    pub fn configure(&mut self) {
        let Some(handle) = self.dhcp else { return };
        let event = self.sockets.get_mut::<dhcpv4::Socket>(handle).poll();
        let (address, router) = match event {
            None => return,
            Some(dhcpv4::Event::Deconfigured) => (None, None),
            Some(dhcpv4::Event::Configured(found)) => (Some(found.address), found.router),
        };
        let had_address = self.address().is_some();
        self.set_address(address.map(IpCidr::Ipv4));
        self.router = router;
        let routes = self.interface.routes_mut();
        routes.remove_default_ipv4_route();
        if let Some(router) = router
            && routes.add_default_ipv4_route(router).is_err()
        {
            log::warn!("kernel.net", "{}: no room for a route", self.name);
        }
        match address {
            Some(address) => log::info!("kernel.net", "{}: {address} by DHCP", self.name),
            None if had_address => log::info!("kernel.net", "{}: no address any more", self.name),
            None => {}
        }
    }

    /// Returns when a timer of a socket is due.
    pub fn next_deadline(&mut self, now: Instant) -> Option<Instant> {
        self.interface.poll_at(now, &self.sockets)
    }
}

/// Returns the link that leads to an address, and the address that packets to it come from.
pub fn route(links: &[Link], to: IpAddress) -> Option<(usize, IpAddress)> {
    match to {
        IpAddress::Ipv4(address) if address.is_loopback() => {
            return Some((LO_V4, IpAddress::v4(127, 0, 0, 1)));
        }
        IpAddress::Ipv6(address) if address.is_loopback() => return Some((LO_V6, to)),
        _ => {}
    }
    // What is for one of our own addresses does not leave the machine.
    if is_local(links, to) {
        return Some((
            if Version::of(to) == Version::V4 {
                LO_V4
            } else {
                LO_V6
            },
            to,
        ));
    }
    let is_way = |link: &Link| !link.is_loopback() && link.leads_to(to);
    let on = links.iter().position(is_way)?;
    Some((on, links[on].address()?))
}

/// Tells whether an address is one of this machine's.
pub fn is_local(links: &[Link], address: IpAddress) -> bool {
    match address {
        IpAddress::Ipv4(address) if address.is_loopback() => true,
        IpAddress::Ipv6(address) if address.is_loopback() => true,
        address => links.iter().any(|link| {
            let own = link.interface.ip_addrs();
            own.iter().any(|own| own.address() == address)
        }),
    }
}

/// Returns the address that "any" means as a destination: the machine itself.
pub fn destination(address: IpAddress) -> IpAddress {
    match address {
        IpAddress::Ipv4(any) if any.is_unspecified() => IpAddress::v4(127, 0, 0, 1),
        IpAddress::Ipv6(any) if any.is_unspecified() => IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 1),
        address => address,
    }
}
