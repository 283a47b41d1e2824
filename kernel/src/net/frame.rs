//! What arrives from a network: which frames are for us, and which make no sense.
//!
//! smoltcp drops the senseless without a word. They are told apart before, so that they are counted; it then need not
//! look at their checksums again.
#![forbid(unsafe_code)]

use super::link::Version;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpPacket, ArpRepr, EthernetFrame, EthernetProtocol, Icmpv4Packet, Icmpv6Packet, IpAddress,
    IpProtocol, Ipv4Packet, Ipv6ExtHeader, Ipv6Packet, Ipv6Repr, TcpPacket, TcpRepr, UdpPacket,
    UdpRepr,
};

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sorted {
    /// One of ARP or IPv4, or of IPv6.
    For(Version),
    /// One of a protocol that is not spoken here.
    Other,
    /// One that is cut short, has a wrong checksum, or comes from or goes to an address that never is on a network.
    Malformed,
}

/// Looks at a frame.
pub fn sort(frame: &[u8]) -> Sorted {
    let Ok(frame) = EthernetFrame::new_checked(frame) else {
        return Sorted::Malformed;
    };
    let (version, is_sound) = match frame.ethertype() {
        EthernetProtocol::Arp => (Version::V4, is_sound_arp(frame.payload())),
        EthernetProtocol::Ipv4 => (Version::V4, is_sound_v4(frame.payload())),
        EthernetProtocol::Ipv6 => (Version::V6, is_sound_v6(frame.payload())),
        _ => return Sorted::Other,
    };
    if is_sound {
        Sorted::For(version)
    } else {
        Sorted::Malformed
    }
}

fn is_sound_arp(bytes: &[u8]) -> bool {
    ArpPacket::new_checked(bytes).is_ok_and(|packet| ArpRepr::parse(&packet).is_ok())
}

fn is_sound_v4(bytes: &[u8]) -> bool {
    let Ok(packet) = Ipv4Packet::new_checked(bytes) else {
        return false;
    };
    let (from, to) = (packet.src_addr(), packet.dst_addr());
    // `Ipv4Repr::parse` would refuse fragments.
    if packet.version() != 4 || !packet.verify_checksum() || from.is_loopback() || to.is_loopback()
    {
        return false;
    }
    // The rest of a packet that comes in fragments is not there yet: it is looked into when it is whole.
    let is_fragment = packet.more_frags() || packet.frag_offset() != 0;
    is_fragment
        || is_sound_payload(
            packet.next_header(),
            packet.payload(),
            from.into(),
            to.into(),
        )
}

fn is_sound_v6(bytes: &[u8]) -> bool {
    let Ok(packet) = Ipv6Packet::new_checked(bytes) else {
        return false;
    };
    let (from, to) = (packet.src_addr(), packet.dst_addr());
    if Ipv6Repr::parse(&packet).is_err() || from.is_loopback() || to.is_loopback() {
        return false;
    }
    let (mut protocol, mut payload) = (packet.next_header(), packet.payload());
    if protocol == IpProtocol::HopByHop {
        // The one extension header that smoltcp reads on.
        let Ok(header) = Ipv6ExtHeader::new_checked(payload) else {
            return false;
        };
        protocol = header.next_header();
        let len = 8 * (usize::from(header.header_len()) + 1);
        payload = payload.get(len..).unwrap_or_default();
    }
    is_sound_payload(protocol, payload, from.into(), to.into())
}

fn is_sound_payload(protocol: IpProtocol, bytes: &[u8], from: IpAddress, to: IpAddress) -> bool {
    let checked = ChecksumCapabilities::default();
    match (protocol, from, to) {
        (IpProtocol::Tcp, ..) => TcpPacket::new_checked(bytes)
            .is_ok_and(|packet| TcpRepr::parse(&packet, &from, &to, &checked).is_ok()),
        (IpProtocol::Udp, ..) => UdpPacket::new_checked(bytes)
            .is_ok_and(|packet| UdpRepr::parse(&packet, &from, &to, &checked).is_ok()),
        (IpProtocol::Icmp, ..) => {
            Icmpv4Packet::new_checked(bytes).is_ok_and(|packet| packet.verify_checksum())
        }
        (IpProtocol::Icmpv6, IpAddress::Ipv6(from), IpAddress::Ipv6(to)) => {
            Icmpv6Packet::new_checked(bytes).is_ok_and(|packet| packet.verify_checksum(&from, &to))
        }
        _ => true,
    }
}
