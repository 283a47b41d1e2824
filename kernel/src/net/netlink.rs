//! Routing netlink sockets (rtnetlink(7)), as far as if_nameindex(3) and getifaddrs(3) need them: a
//! request for all links or all addresses is answered with their list.

use super::inbox::{self, Inbox};
use super::interfaces::{self, Interface};
use super::stack;
use crate::fs::anonymous;
use crate::fs::file::{File, Metadata, OpenFlags, PollEvents};
use crate::fs::io::Sink;
use crate::fs::socket::{Outgoing, Received, Socket, SocketFile};
use crate::fs::socket_options::{Options, words};
use crate::libc::errno::{Errno, SysResult};
use crate::log;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use linux_raw_sys::general::S_IFSOCK;
use linux_raw_sys::net as raw;
use linux_raw_sys::netlink::{self as numbers, rt_scope_t};
use smoltcp::wire::{IpAddress, IpCidr};
use smp::{Mutex, WaitQueue};

/// The only protocol.
const ROUTE: u32 = numbers::NETLINK_ROUTE;
/// Bytes of `sockaddr_nl`: family, padding, port id, groups.
const ADDRESS_LEN: usize = 12;
/// Bytes of `nlmsghdr`: length, type, flags, sequence number, port id.
const HEADER_LEN: usize = 16;
/// What one read gets at most; musl reads with 8 KiB of room.
const DATAGRAM_MAX: usize = 4096;
/// The most that a request may be long.
const REQUEST_MAX: usize = 4096;

const GET_LINK: u16 = numbers::RTM_GETLINK as u16;
const NEW_LINK: u16 = numbers::RTM_NEWLINK as u16;
const GET_ADDRESS: u16 = numbers::RTM_GETADDR as u16;
const NEW_ADDRESS: u16 = numbers::RTM_NEWADDR as u16;

/// A netlink socket.
pub struct NetlinkSocket {
    kind: u32,
    port: Mutex<u32>,
    inbox: Mutex<Inbox<()>>,
    changed: WaitQueue,
    options: Options,
    metadata: Metadata,
}

/// Makes a socket of AF_NETLINK.
pub fn open(kind: u32, protocol: u32) -> Result<Arc<dyn File>, Errno> {
    if !matches!(kind, raw::SOCK_RAW | raw::SOCK_DGRAM) {
        return Err(Errno::ESOCKTNOSUPPORT);
    }
    if protocol != ROUTE {
        return Err(Errno::EPROTONOSUPPORT);
    }
    Ok(Arc::new(NetlinkSocket {
        kind,
        port: Mutex::new(0),
        inbox: Mutex::new(Inbox::new()),
        changed: WaitQueue::new(),
        options: Options::new(),
        metadata: anonymous::metadata(S_IFSOCK | 0o777),
    }))
}

fn address(port: u32) -> Vec<u8> {
    let mut bytes = (raw::AF_NETLINK as u16).to_ne_bytes().to_vec();
    bytes.resize(4, 0);
    bytes.extend_from_slice(&port.to_ne_bytes());
    bytes.resize(ADDRESS_LEN, 0);
    bytes
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
    word.map_or(0, |word| u32::from_ne_bytes(*word))
}

fn half(bytes: &[u8], at: usize) -> u16 {
    let half = bytes.get(at..).and_then(|rest| rest.first_chunk());
    half.map_or(0, |half| u16::from_ne_bytes(*half))
}

/// A message: its header with the length filled in, and what follows.
fn message(kind: u16, flags: u32, sequence: u32, port: u32, body: &[u8]) -> Vec<u8> {
    let len = (HEADER_LEN + body.len()) as u32;
    let mut bytes = len.to_ne_bytes().to_vec();
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&(flags as u16).to_ne_bytes());
    bytes.extend_from_slice(&sequence.to_ne_bytes());
    bytes.extend_from_slice(&port.to_ne_bytes());
    bytes.extend_from_slice(body);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Adds an attribute (`rtattr`): length, type, value, padding.
fn attribute(bytes: &mut Vec<u8>, kind: u32, value: &[u8]) {
    bytes.extend_from_slice(&((4 + value.len()) as u16).to_ne_bytes());
    bytes.extend_from_slice(&(kind as u16).to_ne_bytes());
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// `ifinfomsg` with its attributes.
fn link_body(interface: &Interface) -> Vec<u8> {
    let mut bytes = vec![0; 2];
    bytes.extend_from_slice(&interface.kind().to_ne_bytes());
    bytes.extend_from_slice(&interface.index.to_ne_bytes());
    bytes.extend_from_slice(&interface.flags().to_ne_bytes());
    bytes.extend_from_slice(&[0; 4]);
    let mut name = interface.name.clone().into_bytes();
    name.push(0);
    attribute(&mut bytes, numbers::IFLA_IFNAME as u32, &name);
    attribute(
        &mut bytes,
        numbers::IFLA_MTU as u32,
        &interface.mtu.to_ne_bytes(),
    );
    let (own, all) = match interface.mac {
        Some(mac) => (mac, [0xff; 6]),
        None => ([0; 6], [0; 6]),
    };
    attribute(&mut bytes, numbers::IFLA_ADDRESS as u32, &own);
    attribute(&mut bytes, numbers::IFLA_BROADCAST as u32, &all);
    bytes
}

/// `ifaddrmsg` with its attributes.
fn address_body(interface: &Interface, address: &IpCidr) -> Vec<u8> {
    let (family, own, is_loopback, is_link_local) = match address.address() {
        IpAddress::Ipv4(own) => {
            let octets = own.octets().to_vec();
            (raw::AF_INET, octets, own.is_loopback(), own.is_link_local())
        }
        IpAddress::Ipv6(own) => {
            let octets = own.octets().to_vec();
            let is_link_local = own.is_unicast_link_local();
            (raw::AF_INET6, octets, own.is_loopback(), is_link_local)
        }
    };
    let scope = if is_loopback {
        rt_scope_t::RT_SCOPE_HOST
    } else if is_link_local {
        rt_scope_t::RT_SCOPE_LINK
    } else {
        rt_scope_t::RT_SCOPE_UNIVERSE
    };
    let flags = numbers::IFA_F_PERMANENT;
    let mut bytes = vec![family as u8, address.prefix_len(), flags as u8, scope as u8];
    bytes.extend_from_slice(&interface.index.to_ne_bytes());
    attribute(&mut bytes, numbers::IFA_ADDRESS as u32, &own);
    if let IpCidr::Ipv4(own_v4) = address {
        attribute(&mut bytes, numbers::IFA_LOCAL as u32, &own);
        if interface.mac.is_some()
            && let Some(all) = own_v4.broadcast()
        {
            attribute(&mut bytes, numbers::IFA_BROADCAST as u32, &all.octets());
        }
        let mut name = interface.name.clone().into_bytes();
        name.push(0);
        attribute(&mut bytes, numbers::IFA_LABEL as u32, &name);
    }
    bytes
}

/// The log has named a request that is not known; there may be many more.
static HAS_REFUSED: AtomicBool = AtomicBool::new(false);

/// Answers one request: the datagrams that its sender gets.
fn answer(request: &[u8], port: u32, interfaces: &[Interface]) -> Vec<Vec<u8>> {
    let (kind, flags, sequence) = (half(request, 4), half(request, 6), word(request, 8));
    let family = u32::from(request.get(HEADER_LEN).copied().unwrap_or(0));
    let is_dump = u32::from(flags) & numbers::NLM_F_DUMP == numbers::NLM_F_DUMP;
    let bodies: Vec<(u16, Vec<u8>)> = match kind {
        GET_LINK if is_dump => interfaces
            .iter()
            .map(|interface| (NEW_LINK, link_body(interface)))
            .collect(),
        GET_ADDRESS if is_dump => interfaces
            .iter()
            .flat_map(|interface| {
                let addresses = interface.addresses.iter();
                addresses.map(|address| address_body(interface, address))
            })
            .filter(|body| family == raw::AF_UNSPEC || u32::from(body[0]) == family)
            .map(|body| (NEW_ADDRESS, body))
            .collect(),
        _ => {
            if !HAS_REFUSED.swap(true, Ordering::Relaxed) {
                log::info!(
                    "kernel.net",
                    "rtnetlink request {kind} with flags {flags:#x}, answered EOPNOTSUPP"
                );
            }
            let mut body = (-Errno::EOPNOTSUPP.number()).to_ne_bytes().to_vec();
            body.extend_from_slice(&request[..HEADER_LEN]);
            return vec![message(
                numbers::NLMSG_ERROR as u16,
                0,
                sequence,
                port,
                &body,
            )];
        }
    };
    let mut datagrams = vec![Vec::new()];
    let done = (numbers::NLMSG_DONE as u16, 0i32.to_ne_bytes().to_vec());
    for (kind, body) in bodies.into_iter().chain([done]) {
        let message = message(kind, numbers::NLM_F_MULTI, sequence, port, &body);
        match datagrams.last_mut() {
            Some(last) if last.len() + message.len() <= DATAGRAM_MAX => last.extend(message),
            _ => datagrams.push(message),
        }
    }
    datagrams
}

impl NetlinkSocket {
    /// Returns the port id; gives the socket `wanted`, or a new one, if it has none.
    fn port_or(&self, wanted: u32) -> u32 {
        /// Above every process id, which programs like to choose for themselves.
        static NEXT: AtomicU32 = AtomicU32::new(1 << 31);
        let mut port = self.port.lock();
        if *port == 0 {
            *port = match wanted {
                0 => NEXT.fetch_add(1, Ordering::Relaxed),
                wanted => wanted,
            };
        }
        *port
    }
}

/// Reads a `sockaddr_nl`; returns port id and groups.
fn parse(bytes: &[u8]) -> Result<(u32, u32), Errno> {
    if bytes.len() < ADDRESS_LEN || u32::from(half(bytes, 0)) != raw::AF_NETLINK {
        return Err(Errno::EINVAL);
    }
    Ok((word(bytes, 4), word(bytes, 8)))
}

impl Socket for NetlinkSocket {
    fn bind(&self, bytes: &[u8]) -> Result<(), Errno> {
        let (port, groups) = parse(bytes)?;
        if groups != 0 {
            // Nobody would ever tell them anything.
            return Err(Errno::EOPNOTSUPP);
        }
        if self.port_or(port) != port && port != 0 {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    fn listen(&self, _: i32) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn accept(&self, _: OpenFlags) -> Result<(Arc<dyn File>, Vec<u8>), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn connect(&self, bytes: &[u8], _: OpenFlags) -> Result<(), Errno> {
        match parse(bytes)? {
            (0, 0) => Ok(()),
            _ => Err(Errno::ECONNREFUSED),
        }
    }

    fn local_address(&self) -> Result<Vec<u8>, Errno> {
        Ok(address(*self.port.lock()))
    }

    fn peer_address(&self) -> Result<Vec<u8>, Errno> {
        Ok(address(0))
    }

    fn send(&self, message: Outgoing, _: u32, _: OpenFlags) -> SysResult {
        if !message.to.is_empty() && parse(message.to)? != (0, 0) {
            return Err(Errno::ECONNREFUSED);
        }
        let len = message.data.remaining();
        if len > REQUEST_MAX {
            return Err(Errno::EMSGSIZE);
        }
        let mut bytes = vec![0; len];
        message.data.take(&mut bytes)?;
        let port = self.port_or(0);
        let interfaces = stack::with(|stack| interfaces::all(stack));
        let mut rest = &bytes[..];
        while rest.len() >= HEADER_LEN {
            let len = word(rest, 0) as usize;
            if !(HEADER_LEN..=rest.len()).contains(&len) {
                break;
            }
            let answers = answer(&rest[..len], port, &interfaces);
            let mut inbox = self.inbox.lock();
            for answer in answers {
                inbox.offer(usize::MAX, (), answer);
            }
            drop(inbox);
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
        self.changed.wake_all();
        Ok(bytes.len())
    }

    fn receive(&self, to: &mut dyn Sink, flags: u32, open: OpenFlags) -> Result<Received, Errno> {
        let waiting = (&self.options, &self.changed);
        let received = inbox::receive(to, flags, open, waiting, || {
            Some(Ok(Some(self.inbox.lock().next(flags)?)))
        })?;
        let (_, received) = received.unwrap_or_default();
        Ok(Received {
            from: address(0),
            ..received
        })
    }

    fn shutdown(&self, _: u32) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn option(&self, level: u32, name: u32) -> Result<Vec<u8>, Errno> {
        if level != raw::SOL_SOCKET {
            return Err(Errno::ENOPROTOOPT);
        }
        match name {
            raw::SO_TYPE => Ok(words(&[self.kind])),
            raw::SO_DOMAIN => Ok(words(&[raw::AF_NETLINK])),
            raw::SO_PROTOCOL => Ok(words(&[ROUTE])),
            raw::SO_ACCEPTCONN => Ok(words(&[0])),
            _ => self.options.get(name),
        }
    }

    fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
        if level != raw::SOL_SOCKET {
            return Err(Errno::ENOPROTOOPT);
        }
        self.options.set(name, value)
    }
}

impl SocketFile for NetlinkSocket {
    fn stat(&self) -> Metadata {
        self.metadata
    }

    fn readiness(&self) -> PollEvents {
        let mut events = PollEvents::WRITABLE;
        events.set(PollEvents::READABLE, !self.inbox.lock().is_empty());
        events
    }

    fn changed(&self) -> &WaitQueue {
        &self.changed
    }

    fn unread(&self) -> Result<usize, Errno> {
        Err(Errno::ENOTTY)
    }

    fn unsent(&self) -> Result<usize, Errno> {
        Err(Errno::ENOTTY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kind: u16, flags: u32, family: u32) -> Vec<u8> {
        message(kind, flags, 7, 0, &[family as u8])
    }

    fn kinds(datagrams: &[Vec<u8>]) -> Vec<u16> {
        let mut found = Vec::new();
        for datagram in datagrams {
            let mut rest = &datagram[..];
            while !rest.is_empty() {
                assert_eq!((word(rest, 8), word(rest, 12)), (7, 99));
                found.push(half(rest, 4));
                rest = &rest[word(rest, 0) as usize..];
            }
        }
        found
    }

    #[test]
    fn a_list_is_as_long_as_what_there_is_and_ends() {
        let many = (1..100).map(|index| Interface {
            index,
            name: "lo".into(),
            mac: None,
            is_up: true,
            mtu: 65535,
            addresses: vec![IpCidr::new(IpAddress::v4(127, 0, 0, 1), 8)],
        });
        let many: Vec<Interface> = many.collect();
        let links = answer(&request(GET_LINK, numbers::NLM_F_DUMP, 0), 99, &many);
        assert!(links.len() > 1);
        assert!(links.iter().all(|datagram| datagram.len() <= DATAGRAM_MAX));
        let mut expected = vec![NEW_LINK; 99];
        expected.push(numbers::NLMSG_DONE as u16);
        assert_eq!(kinds(&links), expected);
        let dump = |family| {
            answer(
                &request(GET_ADDRESS, numbers::NLM_F_DUMP, family),
                99,
                &many,
            )
        };
        assert_eq!(kinds(&dump(raw::AF_INET)).len(), 100);
        assert_eq!(kinds(&dump(raw::AF_INET6)), [numbers::NLMSG_DONE as u16]);
    }

    #[test]
    fn what_is_not_known_is_an_error() {
        for request in [
            request(GET_LINK, 0, 0),
            request(999, numbers::NLM_F_DUMP, 0),
        ] {
            let answers = answer(&request, 99, &[]);
            assert_eq!(kinds(&answers), [numbers::NLMSG_ERROR as u16]);
            let errno = word(&answers[0], HEADER_LEN).cast_signed();
            assert_eq!(errno, -Errno::EOPNOTSUPP.number());
        }
    }
}
