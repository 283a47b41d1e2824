//! The header of an IP packet, as far as sockets ask for it beyond what smoltcp tells them.
#![forbid(unsafe_code)]

use super::link::Version;
use smoltcp::wire::{IpAddress, Ipv4Packet, Ipv6Packet};

/// What the network layer says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Who sent it.
    pub source: IpAddress,
    /// Whom it is for.
    pub destination: IpAddress,
    /// How many more routers it may pass (TTL, hop limit).
    pub hop_limit: u8,
    /// What kind of service it asks for (TOS, traffic class).
    pub traffic_class: u8,
    /// The number of what it carries.
    pub protocol: u8,
    /// Where what it carries begins.
    pub payload_at: usize,
    /// Where it ends; a short frame has padding after it.
    pub len: usize,
}

impl Header {
    /// Reads the header in front of a packet; returns it and what the packet carries.
    pub fn parse(packet: &[u8]) -> Option<(Header, &[u8])> {
        match packet.first()? >> 4 {
            4 => {
                let ip = Ipv4Packet::new_checked(packet).ok()?;
                let header = Header {
                    source: IpAddress::Ipv4(ip.src_addr()),
                    destination: IpAddress::Ipv4(ip.dst_addr()),
                    hop_limit: ip.hop_limit(),
                    traffic_class: ip.dscp() << 2 | ip.ecn(),
                    protocol: ip.next_header().into(),
                    payload_at: ip.header_len().into(),
                    len: ip.total_len().into(),
                };
                Some((header, ip.payload()))
            }
            6 => {
                let ip = Ipv6Packet::new_checked(packet).ok()?;
                let header = Header {
                    source: IpAddress::Ipv6(ip.src_addr()),
                    destination: IpAddress::Ipv6(ip.dst_addr()),
                    hop_limit: ip.hop_limit(),
                    traffic_class: ip.traffic_class(),
                    protocol: ip.next_header().into(),
                    payload_at: ip.header_len(),
                    len: ip.total_len(),
                };
                Some((header, ip.payload()))
            }
            _ => None,
        }
    }

    /// Returns the version that it is written in.
    pub fn version(&self) -> Version {
        Version::of(self.destination)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_read_and_nonsense_is_not() {
        let mut v4 = [0; 21];
        v4[..4].copy_from_slice(&[0x45, 0xb9, 0, 21]);
        v4[8..10].copy_from_slice(&[7, 1]);
        v4[16..21].copy_from_slice(&[127, 0, 0, 1, 0xaa]);
        let (header, payload) = Header::parse(&v4).unwrap();
        assert_eq!(header.destination, IpAddress::v4(127, 0, 0, 1));
        assert_eq!((header.hop_limit, header.traffic_class), (7, 0xb9));
        assert_eq!((header.protocol, payload), (1, &[0xaa][..]));
        assert_eq!((header.payload_at, header.len), (20, 21));
        assert_eq!(header.version(), Version::V4);
        let mut v6 = [0; 41];
        v6[..8].copy_from_slice(&[0x6b, 0x90, 0, 0, 0, 1, 58, 9]);
        let (header, payload) = Header::parse(&v6).unwrap();
        assert_eq!((header.hop_limit, header.traffic_class), (9, 0xb9));
        assert_eq!((header.protocol, payload.len()), (58, 1));
        assert_eq!((header.payload_at, header.len), (40, 41));
        assert_eq!(header.version(), Version::V6);
        for len in 0..20 {
            assert_eq!(Header::parse(&v4[..len]), None);
        }
        assert_eq!(Header::parse(&[0xf0; 60]), None);
    }
}
