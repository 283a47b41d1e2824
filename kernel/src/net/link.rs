//! Links: a device, one IP version over it, and the smoltcp sockets that speak through it.
//!
//! A version of its own for each link keeps the families apart: a listener on all IPv4 addresses
//! must not take IPv6 connections, and a socket without an address in smoltcp means every version.
//! Now there is `lo`, twice. Its queue is the kernel's memory: nothing is lost, so nothing needs a
//! checksum.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use smoltcp::iface::{Config, Interface, PollIngressSingleResult, PollResult, SocketSet};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{
    HardwareAddress, IpAddress, IpCidr, IpProtocol, Ipv4Address, Ipv4Cidr, Ipv4Packet, Ipv6Packet,
    TcpPacket,
};

/// Index of `lo` for IPv4.
pub const LO_V4: usize = 0;
/// Index of `lo` for IPv6.
pub const LO_V6: usize = 1;

/// The longest packet on `lo`, IP header included.
pub const MTU: usize = 65535;

/// The queue that a packet sent over `lo` comes back from.
#[derive(Default)]
pub struct Loopback {
    queue: VecDeque<Vec<u8>>,
}

/// A packet that has arrived.
pub struct Arrived(Vec<u8>);

impl RxToken for Arrived {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

/// The right to send a packet.
pub struct Departing<'a>(&'a mut VecDeque<Vec<u8>>);

impl TxToken for Departing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.0.push_back(packet);
        result
    }
}

impl Device for Loopback {
    type RxToken<'a> = Arrived;
    type TxToken<'a> = Departing<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Arrived, Departing<'_>)> {
        let packet = self.queue.pop_front()?;
        Some((Arrived(packet), Departing(&mut self.queue)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Departing<'_>> {
        Some(Departing(&mut self.queue))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities.checksum = ChecksumCapabilities::ignored();
        capabilities
    }
}

/// A device with one IP version over it.
pub struct Link {
    /// Its addresses and routes.
    pub interface: Interface,
    /// The sockets that speak through it.
    pub sockets: SocketSet<'static>,
    device: Loopback,
}

impl Link {
    /// Makes `lo` for the version of `address`, the one that connections start from.
    fn loopback(address: IpCidr, seed: u64) -> Self {
        let mut device = Loopback::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut device, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            // There is room for more than one.
            let _ = addresses.push(address);
        });
        // All of 127.0.0.0/8 is ours, not this address alone.
        interface.set_any_ip(true);
        Link {
            interface,
            sockets: SocketSet::new(Vec::new()),
            device,
        }
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

    /// Handles one packet that has arrived; tells whether there was one.
    pub fn receive_one(&mut self, now: Instant) -> bool {
        let result = self
            .interface
            .poll_ingress_single(now, &mut self.device, &mut self.sockets);
        !matches!(result, PollIngressSingleResult::None)
    }

    /// Drops the packet that comes next.
    pub fn drop_next(&mut self) {
        self.device.queue.pop_front();
    }

    /// Returns the destination of the packet that comes next, if it asks for a TCP connection.
    pub fn next_request(&self) -> Option<(IpAddress, u16)> {
        let bytes = &self.device.queue.front()?[..];
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
        matches!(result, PollResult::SocketStateChanged)
    }

    /// Returns when a timer of a socket is due.
    pub fn next_deadline(&mut self, now: Instant) -> Option<Instant> {
        self.interface.poll_at(now, &self.sockets)
    }
}

/// Returns the link that leads to an address, and the address that packets to it come from.
pub fn route(to: IpAddress) -> Option<(usize, IpAddress)> {
    match to {
        IpAddress::Ipv4(address) if address.is_loopback() => {
            Some((LO_V4, IpAddress::v4(127, 0, 0, 1)))
        }
        IpAddress::Ipv6(address) if address.is_loopback() => {
            Some((LO_V6, IpAddress::Ipv6(address)))
        }
        _ => None,
    }
}

/// Tells whether an address is one of this machine's.
pub fn is_local(address: IpAddress) -> bool {
    route(address).is_some()
}

/// Returns the address that "any" means as a destination: the machine itself.
pub fn destination(address: IpAddress) -> IpAddress {
    match address {
        IpAddress::Ipv4(any) if any.is_unspecified() => IpAddress::v4(127, 0, 0, 1),
        IpAddress::Ipv6(any) if any.is_unspecified() => IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 1),
        address => address,
    }
}
