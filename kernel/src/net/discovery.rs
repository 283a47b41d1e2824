//! Routers and addresses of an IPv6 network, as its routers tell of them (RFC 4861, 6.3; RFC 4862, 5.5).
//!
//! smoltcp has this too, but its `poll_at` then forgets timers, and names one long past when no router answers.
#![forbid(unsafe_code)]

use super::link::with_interface_id;
use alloc::vec;
use alloc::vec::Vec;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv6Message, Icmpv6Packet,
    Icmpv6Repr, IpProtocol, Ipv6Address, Ipv6Cidr, Ipv6Packet, Ipv6Repr, NdiscPrefixInfoFlags,
    NdiscPrefixInformation, NdiscRepr,
};

/// How often, and how far apart, routers are asked for (RFC 4861, 10).
const SOLICITATIONS: u8 = 3;
const INTERVAL: Duration = Duration::from_secs(4);
/// More than so many addresses are not taken: anybody on the network can tell of prefixes.
const ADDRESSES_MAX: usize = 4;
const ALL_ROUTERS: Ipv6Address = Ipv6Address::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// What is known of one card's network.
pub struct Discovery {
    hardware: EthernetAddress,
    solicitations_left: u8,
    solicit_at: Instant,
    /// The router, and until when it is one.
    router: Option<(Ipv6Address, Instant)>,
    /// Addresses, and until when they are ours.
    addresses: Vec<(Ipv6Cidr, Instant)>,
}

impl Discovery {
    /// Starts to ask for routers.
    pub fn new(hardware: EthernetAddress) -> Self {
        Discovery {
            hardware,
            solicitations_left: SOLICITATIONS,
            solicit_at: Instant::ZERO,
            router: None,
            addresses: Vec::new(),
        }
    }

    /// Returns the router.
    pub fn router(&self) -> Option<Ipv6Address> {
        self.router.map(|(router, _)| router)
    }

    /// Returns the addresses.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv6Cidr> {
        self.addresses.iter().map(|&(address, _)| address)
    }

    /// Returns when [`Discovery::solicitation`] and [`Discovery::expire`] are to be called next.
    pub fn next_deadline(&self) -> Option<Instant> {
        let solicit = (self.solicitations_left > 0).then_some(self.solicit_at);
        let ends = self.addresses.iter().map(|&(_, until)| until);
        ends.chain(solicit)
            .chain(self.router.map(|(_, until)| until))
            .min()
    }

    /// Returns the frame that asks for routers, when it is time to.
    pub fn solicitation(&mut self, from: Ipv6Address, now: Instant) -> Option<Vec<u8>> {
        if self.solicitations_left == 0 || now < self.solicit_at {
            return None;
        }
        self.solicitations_left -= 1;
        self.solicit_at = now + INTERVAL;
        let solicit = Icmpv6Repr::Ndisc(NdiscRepr::RouterSolicit {
            lladdr: Some(self.hardware.into()),
        });
        let header = Ipv6Repr {
            src_addr: from,
            dst_addr: ALL_ROUTERS,
            next_header: IpProtocol::Icmpv6,
            payload_len: solicit.buffer_len(),
            hop_limit: 255,
        };
        let ethernet = EthernetRepr {
            src_addr: self.hardware,
            // RFC 2464, 7.
            dst_addr: EthernetAddress([0x33, 0x33, 0, 0, 0, 2]),
            ethertype: EthernetProtocol::Ipv6,
        };
        let mut frame = vec![0; ethernet.buffer_len() + header.buffer_len() + solicit.buffer_len()];
        ethernet.emit(&mut EthernetFrame::new_unchecked(&mut frame));
        let (_, packet) = frame.split_at_mut(ethernet.buffer_len());
        header.emit(&mut Ipv6Packet::new_unchecked(&mut *packet));
        let message = &mut packet[header.buffer_len()..];
        let checksums = ChecksumCapabilities::default();
        let mut message = Icmpv6Packet::new_unchecked(message);
        solicit.emit(&from, &ALL_ROUTERS, &mut message, &checksums);
        Some(frame)
    }

    /// Takes over what a frame, whose checksums are right, tells if it is a router's advertisement; tells whether
    /// anything has changed.
    pub fn hear(&mut self, frame: &[u8], now: Instant) -> bool {
        let Some((from, lifetime, prefix)) = advertisement(frame) else {
            return false;
        };
        self.solicitations_left = 0;
        let before = (self.router(), self.addresses.len());
        match self.router {
            // The first that is heard of stays while it lives.
            Some((router, _)) if router != from => {}
            _ if lifetime == Duration::ZERO => self.router = None,
            _ => self.router = Some((from, now + lifetime)),
        }
        if let Some(prefix) = prefix {
            self.take_prefix(&prefix, now);
        }
        before != (self.router(), self.addresses.len())
    }

    fn take_prefix(&mut self, prefix: &NdiscPrefixInformation, now: Instant) {
        let is_for_addresses = prefix.flags.contains(NdiscPrefixInfoFlags::ADDRCONF);
        let is_sane = prefix.prefix_len == 64
            && !prefix.prefix.is_unicast_link_local()
            && !prefix.prefix.is_multicast()
            && prefix.preferred_lifetime <= prefix.valid_lifetime;
        if !is_for_addresses || !is_sane {
            return;
        }
        let address = with_interface_id(Ipv6Cidr::new(prefix.prefix, 64), self.hardware);
        let until = now + prefix.valid_lifetime;
        let has_room = self.addresses.len() < ADDRESSES_MAX;
        let known = self.addresses.iter_mut().find(|(own, _)| *own == address);
        match known {
            Some(known) => known.1 = until,
            None if has_room => self.addresses.push((address, until)),
            None => {}
        }
        self.addresses.retain(|&(_, until)| until > now);
    }

    /// Gives up what has not been told of for too long; tells whether anything has changed.
    pub fn expire(&mut self, now: Instant) -> bool {
        let before = (self.router(), self.addresses.len());
        self.router = self.router.filter(|&(_, until)| until > now);
        self.addresses.retain(|&(_, until)| until > now);
        before != (self.router(), self.addresses.len())
    }
}

/// Returns a router's address, how long it is one, and the prefix that it tells of.
fn advertisement(frame: &[u8]) -> Option<(Ipv6Address, Duration, Option<NdiscPrefixInformation>)> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
    let from = packet.src_addr();
    // From beyond a router it would have fewer hops left (RFC 4861, 6.1.2).
    let is_from_here = packet.hop_limit() == 255 && from.is_unicast_link_local();
    if packet.next_header() != IpProtocol::Icmpv6 || !is_from_here {
        return None;
    }
    let message = Icmpv6Packet::new_checked(packet.payload()).ok()?;
    if message.msg_type() != Icmpv6Message::RouterAdvert {
        return None;
    }
    match NdiscRepr::parse(&message).ok()? {
        NdiscRepr::RouterAdvert {
            router_lifetime,
            prefix_info,
            ..
        } => Some((from, router_lifetime, prefix_info)),
        _ => None,
    }
}
