//! Addresses of the Internet families: `sockaddr_in` and `sockaddr_in6` (ip(7), ipv6(7)).

use crate::libc::errno::Errno;
use alloc::vec::Vec;
use core::net::Ipv6Addr;
use linux_raw_sys::net as raw;
use smoltcp::wire::{IpAddress, IpEndpoint};

/// Bytes of `sockaddr_in`.
const V4_LEN: usize = 16;
/// Bytes of `sockaddr_in6`; its last field, the scope, may be missing (RFC 2133).
const V6_LEN: usize = 28;
const V6_LEN_MIN: usize = 24;

/// An Internet family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// AF_INET.
    V4,
    /// AF_INET6, which reaches IPv4 by mapped addresses unless IPV6_V6ONLY is set.
    V6,
}

impl Family {
    /// Finds the family with a number.
    pub fn from_raw(number: u32) -> Option<Family> {
        match number {
            raw::AF_INET => Some(Family::V4),
            raw::AF_INET6 => Some(Family::V6),
            _ => None,
        }
    }

    /// Returns its number.
    pub fn to_raw(self) -> u32 {
        match self {
            Family::V4 => raw::AF_INET,
            Family::V6 => raw::AF_INET6,
        }
    }

    /// Returns the address that means "any", with a port.
    pub fn any(self, port: u16) -> IpEndpoint {
        match self {
            Family::V4 => IpEndpoint::new(IpAddress::v4(0, 0, 0, 0), port),
            Family::V6 => IpEndpoint::new(IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 0), port),
        }
    }

    /// Reads a `sockaddr`. A mapped IPv4 address comes back as the IPv4 address that it stands for.
    pub fn parse(self, bytes: &[u8]) -> Result<IpEndpoint, Errno> {
        let len = match self {
            Family::V4 => V4_LEN,
            Family::V6 => V6_LEN_MIN,
        };
        if bytes.len() < len {
            return Err(Errno::EINVAL);
        }
        if number_of(bytes) != Some(self.to_raw()) {
            return Err(Errno::EAFNOSUPPORT);
        }
        let port = u16::from_be_bytes([bytes[2], bytes[3]]);
        let address = match self {
            Family::V4 => IpAddress::v4(bytes[4], bytes[5], bytes[6], bytes[7]),
            Family::V6 => {
                let octets: [u8; 16] = core::array::from_fn(|index| bytes[8 + index]);
                let address = Ipv6Addr::from(octets);
                address
                    .to_ipv4_mapped()
                    .map_or(IpAddress::Ipv6(address), IpAddress::Ipv4)
            }
        };
        Ok(IpEndpoint::new(address, port))
    }

    /// Returns an address as a `sockaddr` of this family.
    pub fn to_bytes(self, endpoint: IpEndpoint) -> Vec<u8> {
        let mut bytes = (self.to_raw() as u16).to_ne_bytes().to_vec();
        bytes.extend_from_slice(&endpoint.port.to_be_bytes());
        match (self, endpoint.addr) {
            (Family::V4, IpAddress::Ipv4(address)) => bytes.extend_from_slice(&address.octets()),
            // A socket of AF_INET has no IPv6 address.
            (Family::V4, IpAddress::Ipv6(_)) => {}
            (Family::V6, IpAddress::Ipv4(address)) => {
                bytes.extend_from_slice(&[0; 4]);
                bytes.extend_from_slice(&address.to_ipv6_mapped().octets());
            }
            (Family::V6, IpAddress::Ipv6(address)) => {
                bytes.extend_from_slice(&[0; 4]);
                bytes.extend_from_slice(&address.octets());
            }
        }
        bytes.resize(
            match self {
                Family::V4 => V4_LEN,
                Family::V6 => V6_LEN,
            },
            0,
        );
        bytes
    }
}

/// Returns the family number in front of a `sockaddr`.
pub fn number_of(bytes: &[u8]) -> Option<u32> {
    bytes
        .first_chunk()
        .map(|family| u32::from(u16::from_ne_bytes(*family)))
}

/// Which IP versions a socket with a local address serves (see [`super::link::Version`]).
pub fn covers(family: Family, address: IpAddress, is_v6_only: bool) -> [bool; 2] {
    match (family, address) {
        (_, IpAddress::Ipv4(_)) => [true, false],
        (Family::V6, address) if address.is_unspecified() => [!is_v6_only, true],
        _ => [false, true],
    }
}
