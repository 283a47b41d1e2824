//! Control messages of IP and IPv6 (ip(7), ipv6(7), RFC 3542): what a receiver wants to know of each
//! datagram, and what a sender says of one.
#![forbid(unsafe_code)]

use super::address::Family;
use super::interfaces;
use super::link::{self, Link, Version};
use super::options::{IP, IPV6, IpOptions};
use crate::fs::socket::Control;
use crate::libc::errno::Errno;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use linux_raw_sys::net as raw;
use smoltcp::wire::IpAddress;

/// What is known of a datagram that arrived, beside its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The address that it was sent to.
    pub to: IpAddress,
    /// The number of the interface that it came through.
    pub interface: u32,
    /// Its TTL or hop limit.
    pub hop_limit: u8,
    /// Its TOS or traffic class.
    pub traffic_class: u8,
}

/// Returns what the options of a receiver ask for.
pub fn tell(family: Family, options: &IpOptions, arrival: &Arrival) -> Vec<Control> {
    let mut found = Vec::new();
    let mut add = |level, wish, kind, data: &[u8]| {
        if options.wants(level, wish) {
            found.push(Control {
                level,
                kind,
                data: data.to_vec(),
            });
        }
    };
    let interface = arrival.interface.to_ne_bytes();
    let hops = u32::from(arrival.hop_limit).to_ne_bytes();
    let class = u32::from(arrival.traffic_class);
    // A socket of AF_INET6 gets IPv4 packets too, and may ask in the words of either version.
    if let IpAddress::Ipv4(to) = arrival.to {
        let info = [interface, to.octets(), to.octets()].concat();
        add(IP, raw::IP_PKTINFO, raw::IP_PKTINFO, &info);
        add(IP, raw::IP_RECVTTL, raw::IP_TTL, &hops);
        add(IP, raw::IP_RECVTOS, raw::IP_TOS, &[arrival.traffic_class]);
    }
    if family == Family::V6 {
        let to = match arrival.to {
            IpAddress::Ipv4(to) => to.to_ipv6_mapped(),
            IpAddress::Ipv6(to) => to,
        };
        let info = [&to.octets()[..], &interface].concat();
        add(IPV6, raw::IPV6_RECVPKTINFO, raw::IPV6_PKTINFO, &info);
        if matches!(arrival.to, IpAddress::Ipv6(_)) {
            add(IPV6, raw::IPV6_RECVHOPLIMIT, raw::IPV6_HOPLIMIT, &hops);
            let class = class.to_ne_bytes();
            add(IPV6, raw::IPV6_RECVTCLASS, raw::IPV6_TCLASS, &class);
        }
    }
    found
}

/// What a sender says of one datagram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Its TTL or hop limit.
    pub hop_limit: Option<u8>,
    /// The address that it shall come from.
    pub source: Option<IpAddress>,
    /// The number of the interface that it shall leave through.
    pub interface: Option<u32>,
}

/// Reads the control messages of a datagram that is to be sent.
pub fn wishes(family: Family, messages: &[Control]) -> Result<Wishes, Errno> {
    let mut wishes = Wishes::default();
    for message in messages {
        match (message.level, message.kind) {
            (IP, raw::IP_PKTINFO) => {
                let info: &[u8; 12] = exactly(&message.data)?;
                let source: [u8; 4] = core::array::from_fn(|index| info[4 + index]);
                wishes.interface(info)?;
                let source = Ipv4Addr::from(source);
                if !source.is_unspecified() {
                    wishes.source = Some(IpAddress::Ipv4(source));
                }
            }
            (IP, raw::IP_TTL) => {
                wishes.hop_limit = Some(hop_limit(number(&message.data)?)?);
            }
            (IPV6, raw::IPV6_PKTINFO) if family == Family::V6 => {
                let info: &[u8; 20] = exactly(&message.data)?;
                let source: [u8; 16] = core::array::from_fn(|index| info[index]);
                wishes.interface(&info[16..])?;
                let source = Ipv6Addr::from(source);
                if let Some(source) = source.to_ipv4_mapped() {
                    wishes.source = Some(IpAddress::Ipv4(source));
                } else if !source.is_unspecified() {
                    wishes.source = Some(IpAddress::Ipv6(source));
                }
            }
            (IPV6, raw::IPV6_HOPLIMIT) if family == Family::V6 => {
                // -1: the socket's own.
                wishes.hop_limit = match number(&message.data)? {
                    -1 => None,
                    hops => Some(hop_limit(hops)?),
                };
            }
            // -1 is the default, which is 0: all that is sent has it.
            (IPV6, raw::IPV6_TCLASS) if family == Family::V6 => match number(&message.data)? {
                -1 | 0 => {}
                1..=255 => return Err(Errno::EOPNOTSUPP),
                _ => return Err(Errno::EINVAL),
            },
            (IP | IPV6, _) => return Err(Errno::EINVAL),
            // Linux passes over what is for other levels.
            _ => {}
        }
    }
    Ok(wishes)
}

impl Wishes {
    /// Tells whether a packet can go as they say, where the way to its destination is over link `on`.
    pub fn check(&self, links: &[Link], to: IpAddress, on: usize) -> Result<(), Errno> {
        let is_fit =
            |source| Version::of(source) == Version::of(to) && link::is_local(links, source);
        if self.source.is_some_and(|source| !is_fit(source)) {
            return Err(Errno::EINVAL);
        }
        match self.interface {
            Some(number) if number != interfaces::index_of(links[on].device) => {
                Err(Errno::ENETUNREACH)
            }
            _ => Ok(()),
        }
    }

    fn interface(&mut self, number: &[u8]) -> Result<(), Errno> {
        let number = number.first_chunk().ok_or(Errno::EINVAL)?;
        let number = u32::from_ne_bytes(*number);
        self.interface = (number != 0).then_some(number);
        Ok(())
    }
}

fn exactly<const LEN: usize>(data: &[u8]) -> Result<&[u8; LEN], Errno> {
    data.try_into().map_err(|_| Errno::EINVAL)
}

fn number(data: &[u8]) -> Result<i32, Errno> {
    exactly(data).map(|bytes| i32::from_ne_bytes(*bytes))
}

fn hop_limit(hops: i32) -> Result<u8, Errno> {
    let hops = u8::try_from(hops).ok().filter(|&hops| hops > 0);
    hops.ok_or(Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(level: u32, kind: u32, data: &[u8]) -> Control {
        Control {
            level,
            kind,
            data: data.to_vec(),
        }
    }

    #[test]
    fn a_receiver_is_told_what_it_asked_for_and_no_more() {
        let options = IpOptions::default();
        let mut arrival = Arrival {
            to: IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 1),
            interface: 1,
            hop_limit: 64,
            traffic_class: 3,
        };
        assert!(tell(Family::V6, &options, &arrival).is_empty());
        for wish in [raw::IPV6_RECVPKTINFO, raw::IPV6_RECVHOPLIMIT] {
            let on = 1u32.to_ne_bytes();
            options.set(Family::V6, IPV6, wish, &on, false).unwrap();
        }
        let kinds = |arrival: Arrival| -> Vec<u32> {
            let told = tell(Family::V6, &options, &arrival);
            told.iter().map(|control| control.kind).collect()
        };
        assert_eq!(kinds(arrival), [raw::IPV6_PKTINFO, raw::IPV6_HOPLIMIT]);
        arrival.to = IpAddress::v4(127, 0, 0, 1);
        assert_eq!(kinds(arrival), [raw::IPV6_PKTINFO]);
    }

    #[test]
    fn a_sender_s_nonsense_is_refused() {
        let wish = |level, kind, data: &[u8]| wishes(Family::V6, &[control(level, kind, data)]);
        let hops = |hops: i32| wish(IPV6, raw::IPV6_HOPLIMIT, &hops.to_ne_bytes());
        assert_eq!(hops(2).unwrap().hop_limit, Some(2));
        assert_eq!(hops(-1).unwrap(), Wishes::default());
        assert_eq!(hops(256), Err(Errno::EINVAL));
        assert_eq!(wish(IPV6, raw::IPV6_HOPLIMIT, &[0; 5]), Err(Errno::EINVAL));
        assert_eq!(wish(IP, 99, &[]), Err(Errno::EINVAL));
        assert_eq!(wish(99, 99, &[]), Ok(Wishes::default()));
        let mut info = [0; 12];
        info[4..8].copy_from_slice(&[127, 0, 0, 9]);
        let found = wish(IP, raw::IP_PKTINFO, &info).unwrap();
        assert_eq!(found.source, Some(IpAddress::v4(127, 0, 0, 9)));
        assert_eq!(found.interface, None);
    }
}
