//! Links: a device, one IP version over it, and the smoltcp sockets that speak through it.
//!
//! A version of its own for each link keeps the families apart: a listener on all IPv4 addresses
//! must not take IPv6 connections, and a socket without an address in smoltcp means every version.

use super::device::{Device, Way};
use super::discovery::Discovery;
use super::header::Header;
use super::lease::{Event, Lease, LeaseClient};
use crate::log;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use smoltcp::iface::{
    Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet,
};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, HardwareAddress, IpAddress, IpCidr,
    IpEndpoint, IpProtocol, Ipv4Address, Ipv4Cidr, Ipv6Address, Ipv6Cidr, TcpPacket,
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

/// The device that is `lo`.
pub const LOOPBACK: usize = 0;
/// Index of `lo` for IPv4.
pub const LO_V4: usize = 0;
/// Index of `lo` for IPv6.
pub const LO_V6: usize = 1;

/// How many connections may be in TIME-WAIT, each with its buffers; the oldest give way, as on Linux
/// (`tcp_max_tw_buckets`).
const WAITING_MAX: usize = 64;

/// A device with one IP version over it.
pub struct Link {
    /// The device that it goes through, as an index; 0 is `lo`.
    pub device: usize,
    /// What it speaks.
    pub version: Version,
    /// Its addresses and routes.
    pub interface: Box<Interface>,
    /// The sockets that speak through it.
    pub sockets: SocketSet<'static>,
    /// Whether its device is in use.
    pub is_up: bool,
    /// Connections in TIME-WAIT (RFC 9293, 3.6.1), which nobody else knows any more.
    waiting: VecDeque<SocketHandle>,
    /// What asks for an address.
    dhcp: LeaseClient,
    /// What routers tell of an IPv6 network.
    discovery: Option<Discovery>,
    /// Where packets to other networks go.
    router: Option<IpAddress>,
}

impl Link {
    /// Makes one over the device with an index. Not inlined: an interface is big for a kernel stack, on which it comes
    /// into being, and should be there once.
    #[inline(never)]
    fn new(index: usize, device: &mut Device, version: Version, seed: u64) -> Self {
        let mut config = Config::new(device.hardware_address());
        config.random_seed = seed;
        let mut way = Way { device, version };
        Link {
            device: index,
            version,
            interface: Box::new(Interface::new(config, &mut way, Instant::ZERO)),
            sockets: SocketSet::new(Vec::new()),
            is_up: true,
            waiting: VecDeque::new(),
            dhcp: LeaseClient::default(),
            discovery: None,
            router: None,
        }
    }

    /// Makes both links of `lo`, in the order of [`LO_V4`] and [`LO_V6`].
    pub fn loopbacks(device: &mut Device, seed: u64) -> [Link; 2] {
        let v4 = IpCidr::Ipv4(Ipv4Cidr::new(Ipv4Address::LOCALHOST, 8));
        let v6 = IpCidr::Ipv6(Ipv6Cidr::new(Ipv6Address::LOCALHOST, 128));
        [v4, v6].map(|address| {
            let version = Version::of(address.address());
            let seed = seed.rotate_left(32 * version as u32);
            let mut link = Link::new(LOOPBACK, device, version, seed);
            link.set_addresses(&[address]);
            // All of 127.0.0.0/8 is ours, not this address alone, and so are the cards' addresses.
            link.interface.set_any_ip(true);
            link
        })
    }

    /// Makes both links of a card: IPv4 asks for an address by DHCP (RFC 2131), IPv6 has the one that every
    /// interface gives itself.
    pub fn of_card(index: usize, device: &mut Device, seed: u64) -> [Link; 2] {
        let mut v4 = Link::new(index, device, Version::V4, seed);
        v4.dhcp.start(&mut v4.sockets);
        let mut v6 = Link::new(index, device, Version::V6, seed.rotate_left(32));
        v6.set_addresses(&[]);
        if let HardwareAddress::Ethernet(address) = device.hardware_address() {
            v6.discovery = Some(Discovery::new(address));
        }
        [v4, v6]
    }

    /// Tells whether what it sends stays in this machine.
    pub fn is_loopback(&self) -> bool {
        self.device == LOOPBACK
    }

    /// Returns its addresses.
    pub fn addresses(&self) -> &[IpCidr] {
        self.interface.ip_addrs()
    }

    /// Gives it these addresses and no others; a card keeps its link-local IPv6 address beside them, without which
    /// no neighbour is found (RFC 4291, 2.8).
    pub fn set_addresses(&mut self, wanted: &[IpCidr]) {
        let own = match (self.version, self.is_loopback()) {
            (Version::V6, false) => link_local(self.interface.hardware_addr()),
            _ => None,
        };
        self.interface.update_ip_addrs(|addresses| {
            addresses.clear();
            for &address in wanted.iter().chain(&own) {
                if !addresses.contains(&address) && addresses.push(address).is_err() {
                    log::warn!("kernel.net", "no room for the address {address}");
                }
            }
        });
    }

    /// Returns where packets to other networks go.
    pub fn router(&self) -> Option<IpAddress> {
        self.router
    }

    /// Says where packets to other networks go: to a machine on this one's own network.
    pub fn set_router(&mut self, router: Option<IpAddress>) {
        let routes = self.interface.routes_mut();
        let is_kept = match (self.version, router) {
            (Version::V4, Some(IpAddress::Ipv4(router))) => {
                routes.add_default_ipv4_route(router).is_ok()
            }
            (Version::V6, Some(IpAddress::Ipv6(router))) => {
                routes.add_default_ipv6_route(router).is_ok()
            }
            (version, _) => {
                match version {
                    Version::V4 => routes.remove_default_ipv4_route(),
                    Version::V6 => routes.remove_default_ipv6_route(),
                };
                false
            }
        };
        self.router = router.filter(|_| is_kept);
    }

    /// Returns how well it leads to an address: by how many bits the address is one of its network's, or 0 if a
    /// router is to find the way. `None`: packets there cannot leave here.
    fn nearness(&self, to: IpAddress) -> Option<u8> {
        if !self.is_up || Version::of(to) != self.version {
            return None;
        }
        let networks = self.addresses().iter();
        let near = networks.filter(|own| own.contains_addr(&to));
        let nearest = near.map(|own| own.prefix_len()).max();
        nearest.or(self.router.is_some().then_some(0))
    }

    /// Handles one packet that has arrived; tells whether there was one.
    pub fn receive_one(&mut self, devices: &mut [Device], now: Instant) -> bool {
        if let Some(discovery) = &mut self.discovery
            && let Some(frame) = devices[self.device].peek(self.version)
        {
            let before = (discovery.router(), discovery.addresses().collect());
            if discovery.hear(frame, now) {
                self.take_discovered(&before);
            }
        }
        let mut way = self.way(devices);
        let result = self
            .interface
            .poll_ingress_single(now, &mut way, &mut self.sockets);
        !matches!(result, PollIngressSingleResult::None)
    }

    fn way<'a>(&self, devices: &'a mut [Device]) -> Way<'a> {
        Way {
            device: &mut devices[self.device],
            version: self.version,
        }
    }

    /// Drops the packet that comes next.
    pub fn drop_next(&mut self, devices: &mut [Device]) {
        let device = &mut devices[self.device];
        device.take(self.version);
        device.counters.rx_dropped += 1;
    }

    /// Returns the IP packet that comes next, if that is what comes next.
    pub fn next_packet<'a>(&self, devices: &'a mut [Device]) -> Option<&'a [u8]> {
        let is_framed = !self.is_loopback();
        let bytes = devices[self.device].peek(self.version)?;
        if !is_framed {
            return Some(bytes);
        }
        let frame = EthernetFrame::new_checked(bytes).ok()?;
        if frame.ethertype() == EthernetProtocol::Arp {
            return None;
        }
        frame
            .into_inner()
            .get(EthernetFrame::<&[u8]>::header_len()..)
    }

    /// Returns the header of the packet that comes next.
    pub fn next_header(&self, devices: &mut [Device]) -> Option<Header> {
        let (header, _) = Header::parse(self.next_packet(devices)?)?;
        Some(header)
    }

    /// Returns the destination of the packet that comes next, if it asks for a TCP connection.
    pub fn next_request(&self, devices: &mut [Device]) -> Option<(IpAddress, u16)> {
        let (header, segment) = Header::parse(self.next_packet(devices)?)?;
        if IpProtocol::from(header.protocol) != IpProtocol::Tcp {
            return None;
        }
        let segment = TcpPacket::new_checked(segment).ok()?;
        (segment.syn() && !segment.ack()).then_some((header.destination, segment.dst_port()))
    }

    /// Returns both ends, ours first, of the TCP connection that the packet that comes next is of.
    pub fn next_ends(&self, devices: &mut [Device]) -> Option<(IpEndpoint, IpEndpoint)> {
        let (header, segment) = Header::parse(self.next_packet(devices)?)?;
        if IpProtocol::from(header.protocol) != IpProtocol::Tcp {
            return None;
        }
        let segment = TcpPacket::new_checked(segment).ok()?;
        Some((
            IpEndpoint::new(header.destination, segment.dst_port()),
            IpEndpoint::new(header.source, segment.src_port()),
        ))
    }

    /// Sends what the sockets have to send; tells whether that was anything.
    pub fn send(&mut self, devices: &mut [Device], now: Instant) -> bool {
        if self.is_up {
            self.discover(devices, now);
        }
        let mut way = self.way(devices);
        let result = self.interface.poll_egress(now, &mut way, &mut self.sockets);
        self.sweep();
        matches!(result, PollResult::SocketStateChanged)
    }

    /// Asks for routers when it is time to, and gives up what they have not told of for too long.
    fn discover(&mut self, devices: &mut [Device], now: Instant) {
        let own = self.addresses().iter().find_map(|own| match own.address() {
            IpAddress::Ipv6(own) => own.is_unicast_link_local().then_some(own),
            IpAddress::Ipv4(_) => None,
        });
        let Some(discovery) = &mut self.discovery else {
            return;
        };
        let from = own.unwrap_or(Ipv6Address::UNSPECIFIED);
        let device = &mut devices[self.device];
        if device.has_room()
            && let Some(frame) = discovery.solicitation(from, now)
        {
            device.send(self.version, frame.len(), |bytes| {
                bytes.copy_from_slice(&frame)
            });
        }
        let before = (discovery.router(), discovery.addresses().collect());
        if discovery.expire(now) {
            self.take_discovered(&before);
        }
    }

    /// Takes over what routers tell, in place of the router and the addresses that they told of before.
    fn take_discovered(&mut self, before: &(Option<Ipv6Address>, Vec<Ipv6Cidr>)) {
        let Some(discovery) = &self.discovery else {
            return;
        };
        let kept = self.addresses().iter().copied();
        let kept = kept.filter(|own| !before.1.iter().any(|old| *own == IpCidr::Ipv6(*old)));
        let addresses: Vec<_> = discovery
            .addresses()
            .map(IpCidr::Ipv6)
            .chain(kept)
            .collect();
        let router = discovery.router();
        self.set_addresses(&addresses);
        // One that was set by hand stays while they tell of none.
        if router != before.0 {
            self.set_router(router.map(IpAddress::Ipv6));
        }
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

    /// Tells whether it asks for an address.
    pub fn asks_for_address(&self) -> bool {
        self.dhcp.is_active()
    }

    /// Returns the lease of its address.
    pub fn lease(&self) -> Option<&Lease> {
        self.dhcp.lease()
    }

    /// Has it ask for an address, or keep what it has for good.
    pub fn ask_for_address(&mut self, asks: bool) {
        if asks {
            self.dhcp.start(&mut self.sockets);
        } else {
            self.dhcp.stop(&mut self.sockets);
        }
    }

    /// Takes over what DHCP has found out; tells whether the name servers may be others than before.
    pub fn configure(&mut self, name: &str, now: Instant) -> bool {
        let Some(event) = self.dhcp.poll(&mut self.sockets, now) else {
            return false;
        };
        match event {
            Event::Renewed => log::info!("kernel.net", "{name}: the lease is renewed"),
            Event::Changed { old, new } => {
                let mut addresses = self.addresses().to_vec();
                addresses.retain(|own| old.is_none_or(|old| *own != IpCidr::Ipv4(old)));
                if let Some(address) = new {
                    addresses.insert(0, address.into());
                    log::info!("kernel.net", "{name}: {address} by DHCP");
                } else if let Some(address) = old {
                    log::info!("kernel.net", "{name}: the lease of {address} has ended");
                }
                self.set_addresses(&addresses);
                let router = self.lease().and_then(|lease| lease.router);
                if router.is_some() || new.is_none() {
                    self.set_router(router.map(IpAddress::Ipv4));
                }
            }
        }
        true
    }

    /// Returns when a timer of a socket is due.
    pub fn next_deadline(&mut self, now: Instant) -> Option<Instant> {
        let discovery = self.discovery.as_ref().and_then(Discovery::next_deadline);
        let sockets = self.interface.poll_at(now, &self.sockets);
        sockets.into_iter().chain(discovery).min()
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
    let cards = links
        .iter()
        .enumerate()
        .filter(|(_, link)| !link.is_loopback());
    let ways = cards.filter_map(|(index, link)| Some((link.nearness(to)?, index)));
    // Of two that lead there equally well, the first: `max_by_key` would take the last.
    let (_, on) = ways.min_by_key(|&(nearness, _)| core::cmp::Reverse(nearness))?;
    let source = links[on].interface.get_source_address(&to)?;
    Some((on, source))
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

/// Returns the address that an IPv6 interface gives itself (RFC 4291, 2.5.6 and appendix A).
fn link_local(hardware: HardwareAddress) -> Option<IpCidr> {
    let HardwareAddress::Ethernet(address) = hardware else {
        return None;
    };
    let prefix = Ipv6Cidr::new(Ipv6Address::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 64);
    Some(IpCidr::Ipv6(with_interface_id(prefix, address)))
}

/// Returns the address of a card in a network of 64 bits, by the card's Ethernet address.
pub fn with_interface_id(prefix: Ipv6Cidr, hardware: EthernetAddress) -> Ipv6Cidr {
    let [a, b, c, d, e, f] = hardware.0;
    let mut octets = prefix.address().octets();
    octets[8..].copy_from_slice(&[a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    Ipv6Cidr::new(octets.into(), 64)
}
