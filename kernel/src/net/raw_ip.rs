//! Raw sockets (raw(7), ipv6(7)): packets of one IP protocol as they are, such as ping's.
//!
//! What arrives is copied before smoltcp sees it, which may answer it as well. What is sent goes
//! through a raw socket of smoltcp's, which finds the receiver's Ethernet address. As long as there is
//! one, smoltcp does not tell anybody that the protocol is not spoken here.

use super::address::{self, Family};
use super::buffers;
use super::channel::Channel;
use super::control::{self, Arrival};
use super::device::PACKET_MAX;
use super::header::Header;
use super::inbox::{self, Inbox};
use super::link::{self, Link, Version};
use super::options;
use super::stack::{self, Stack};
use super::status::{self, SocketStatus};
use crate::fs::anonymous;
use crate::fs::file::{File, Metadata, OpenFlags, PollEvents};
use crate::fs::io::Sink;
use crate::fs::socket::{Outgoing, Received, Socket, SocketFile};
use crate::fs::socket_options::{Direction, words};
use crate::libc::errno::{Errno, SysResult};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use linux_raw_sys::general::S_IFSOCK;
use linux_raw_sys::net as raw;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::raw as smoltcp_raw;
use smoltcp::wire::{
    Icmpv6Packet, IpAddress, IpEndpoint, IpProtocol, IpVersion, Ipv4Packet, Ipv6Packet,
};
use smp::WaitQueue;

/// Bytes of the headers that are put in front of what is sent.
const HEADER_V4: usize = 20;
const HEADER_V6: usize = 40;
/// The socket's filter of ICMP types: a level and a name for each version.
const SOL_RAW: u32 = 255;
const ICMP_FILTER: u32 = 1;
const SOL_ICMPV6: u32 = 58;
const ICMPV6_FILTER: u32 = 1;

const KNOWN_SEND: u32 =
    raw::MSG_DONTWAIT | raw::MSG_NOSIGNAL | raw::MSG_DONTROUTE | raw::MSG_CONFIRM;

/// What is told of a packet that has arrived.
#[derive(Clone)]
struct About {
    from: IpAddress,
    arrival: Arrival,
}

/// A raw socket's state.
pub(super) struct RawEntry {
    channel: Arc<Channel>,
    protocol: u8,
    /// smoltcp's socket on each link.
    handles: Vec<Option<SocketHandle>>,
    local: Option<IpAddress>,
    peer: Option<IpAddress>,
    inbox: Inbox<About>,
    /// A bit for each type of ICMP that is not wanted.
    blocked: [u32; 8],
    is_receive_shut: bool,
    wants_room: bool,
}

impl RawEntry {
    /// Takes a copy of a packet, if it is one for this socket.
    pub(super) fn offer(&mut self, header: &Header, packet: &[u8], interface: u32) {
        let is_ours = header.version() == version(self.channel.family)
            && header.protocol == self.protocol
            && self.local.is_none_or(|local| local == header.destination)
            && self.peer.is_none_or(|peer| peer == header.source);
        // Who asks for IPv4 gets the header too (raw(7)).
        let from = match self.channel.family {
            Family::V4 => 0,
            Family::V6 => header.payload_at,
        };
        let payload = packet.get(header.payload_at..header.len);
        let (Some(payload), Some(data), true) = (payload, packet.get(from..header.len), is_ours)
        else {
            return;
        };
        if self.is_icmp() && payload.first().is_some_and(|&kind| self.blocks(kind)) {
            return;
        }
        if self.is_receive_shut {
            return;
        }
        let about = About {
            from: header.source,
            arrival: Arrival {
                to: header.destination,
                interface,
                hop_limit: header.hop_limit,
                traffic_class: header.traffic_class,
            },
        };
        let room = self.channel.options.receive_buffer();
        if self.inbox.offer(room, about, data.to_vec()) {
            self.channel.changed.wake_all();
        }
    }

    /// Wakes who waits for room, once there is some.
    pub(super) fn tell_of_room(&mut self, links: &mut [Link]) {
        if !self.wants_room {
            return;
        }
        let mut pairs = links.iter_mut().zip(&self.handles);
        let has_room = pairs.all(|(link, handle)| {
            handle.is_none_or(|handle| {
                let socket: &mut smoltcp_raw::Socket = link.sockets.get_mut(handle);
                socket.can_send()
            })
        });
        if has_room {
            self.wants_room = false;
            self.channel.changed.wake_all();
        }
    }

    /// Tells of it, as netstat(8) does, with the protocol where others have a port.
    pub(super) fn status(&self) -> SocketStatus {
        let family = self.channel.family;
        let any = family.any(self.protocol.into());
        let at = |address| IpEndpoint::new(address, self.protocol.into());
        SocketStatus {
            protocol: match family {
                Family::V4 => "raw",
                Family::V6 => "raw6",
            },
            local: status::words(self.local.map_or(any, at)),
            remote: self
                .peer
                .map(|peer| status::words(IpEndpoint::new(peer, 0))),
            state: "",
            receive_queue: self.inbox.len(),
            send_queue: 0,
        }
    }

    fn is_icmp(&self) -> bool {
        let icmp = match self.channel.family {
            Family::V4 => IpProtocol::Icmp,
            Family::V6 => IpProtocol::Icmpv6,
        };
        IpProtocol::from(self.protocol) == icmp
    }

    fn blocks(&self, kind: u8) -> bool {
        self.blocked[usize::from(kind >> 5)] & 1 << (kind & 31) != 0
    }
}

fn version(family: Family) -> Version {
    match family {
        Family::V4 => Version::V4,
        Family::V6 => Version::V6,
    }
}

fn make(version: Version, protocol: u8) -> smoltcp_raw::Socket<'static> {
    let buffer = |packets, bytes| {
        let places = vec![smoltcp_raw::PacketMetadata::EMPTY; packets];
        smoltcp_raw::PacketBuffer::new(places, vec![0; bytes])
    };
    let version = match version {
        Version::V4 => IpVersion::Ipv4,
        Version::V6 => IpVersion::Ipv6,
    };
    // Nothing is received here: `offer` has been quicker.
    smoltcp_raw::Socket::new(
        Some(version),
        Some(protocol.into()),
        buffer(0, 0),
        buffer(16, PACKET_MAX),
    )
}

/// A raw socket. The stack's lock guards its state.
pub struct RawSocket {
    channel: Arc<Channel>,
    metadata: Metadata,
}

impl RawSocket {
    /// Makes a socket for a protocol.
    pub fn new(family: Family, protocol: u32) -> Result<Arc<Self>, Errno> {
        let protocol = u8::try_from(protocol).map_err(|_| Errno::EINVAL)?;
        // 0 is no protocol, and a socket for all of them (IPPROTO_RAW) is not known.
        if protocol == 0 || protocol == u8::MAX {
            return Err(Errno::EPROTONOSUPPORT);
        }
        let channel = Channel::new(family);
        stack::with(|stack| {
            buffers::check(PACKET_MAX * stack.links.len())?;
            let own = version(family);
            let handles = stack
                .links
                .iter_mut()
                .map(|link| (link.version == own).then(|| link.sockets.add(make(own, protocol))));
            let entry = RawEntry {
                channel: channel.clone(),
                protocol,
                handles: handles.collect(),
                local: None,
                peer: None,
                inbox: Inbox::new(),
                blocked: [0; 8],
                is_receive_shut: false,
                wants_room: false,
            };
            stack.raw.insert(channel.id, entry);
            Ok::<(), Errno>(())
        })?;
        Ok(Arc::new(RawSocket {
            channel,
            metadata: anonymous::metadata(S_IFSOCK | 0o777),
        }))
    }

    fn with_entry<R>(&self, f: impl FnOnce(&mut RawEntry, &mut [Link]) -> R) -> R {
        stack::with(|stack| {
            let entry = stack.raw.get_mut(&self.channel.id);
            f(
                entry.expect("an open socket has its entry"),
                &mut stack.links,
            )
        })
    }

    /// Reads an address of the socket's own version.
    fn parse(&self, bytes: &[u8]) -> Result<IpAddress, Errno> {
        let found = self.channel.family.parse(bytes)?.addr;
        if Version::of(found) == version(self.channel.family) {
            Ok(found)
        } else {
            Err(Errno::EINVAL)
        }
    }

    fn address(&self, address: Option<IpAddress>, port: u16) -> Vec<u8> {
        let family = self.channel.family;
        let any = family.any(port);
        let endpoint = address.map_or(any, |address| IpEndpoint::new(address, port));
        family.to_bytes(endpoint)
    }

    /// Puts one packet on its way; `None` if there is no room now.
    fn send_one(&self, on: usize, packet: &[u8]) -> Result<Option<()>, Errno> {
        stack::with(|stack| {
            let Stack { links, raw, .. } = stack;
            let entry = raw.get_mut(&self.channel.id).ok_or(Errno::EBADF)?;
            let handle = entry.handles.get(on).copied().flatten();
            let handle = handle.ok_or(Errno::ENETUNREACH)?;
            let socket: &mut smoltcp_raw::Socket = links[on].sockets.get_mut(handle);
            if socket.send_slice(packet).is_err() {
                entry.wants_room = true;
                return Ok(None);
            }
            stack.run();
            Ok(Some(()))
        })
    }
}

/// Puts the header in front of what a socket sends.
fn wrap(protocol: u8, from: IpAddress, to: IpAddress, hop_limit: u8, data: &[u8]) -> Vec<u8> {
    match (from, to) {
        (IpAddress::Ipv4(from), IpAddress::Ipv4(to)) => {
            let mut packet = Ipv4Packet::new_unchecked(vec![0; HEADER_V4 + data.len()]);
            packet.set_version(4);
            packet.set_header_len(HEADER_V4 as u8);
            packet.set_total_len((HEADER_V4 + data.len()) as u16);
            packet.set_dont_frag(true);
            packet.set_hop_limit(hop_limit);
            packet.set_next_header(protocol.into());
            packet.set_src_addr(from);
            packet.set_dst_addr(to);
            packet.payload_mut().copy_from_slice(data);
            packet.fill_checksum();
            packet.into_inner()
        }
        (IpAddress::Ipv6(from), IpAddress::Ipv6(to)) => {
            let mut packet = Ipv6Packet::new_unchecked(vec![0; HEADER_V6 + data.len()]);
            packet.set_version(6);
            packet.set_payload_len(data.len() as u16);
            packet.set_hop_limit(hop_limit);
            packet.set_next_header(protocol.into());
            packet.set_src_addr(from);
            packet.set_dst_addr(to);
            packet.payload_mut().copy_from_slice(data);
            // RFC 3542, 3.1: for ICMPv6 alone the kernel knows where the checksum is.
            const ICMP_HEADER: usize = 4;
            if IpProtocol::from(protocol) == IpProtocol::Icmpv6 && data.len() >= ICMP_HEADER {
                Icmpv6Packet::new_unchecked(packet.payload_mut()).fill_checksum(&from, &to);
            }
            packet.into_inner()
        }
        // A route leads from an address of the same version.
        _ => Vec::new(),
    }
}

impl Socket for RawSocket {
    fn bind(&self, bytes: &[u8]) -> Result<(), Errno> {
        let at = self.parse(bytes)?;
        if !at.is_unspecified() && !stack::with(|stack| link::is_local(&stack.links, at)) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        let local = (!at.is_unspecified()).then_some(at);
        self.with_entry(|entry, _| entry.local = local);
        Ok(())
    }

    fn listen(&self, _: i32) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn accept(&self, _: OpenFlags) -> Result<(Arc<dyn File>, Vec<u8>), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn connect(&self, bytes: &[u8], _: OpenFlags) -> Result<(), Errno> {
        if address::number_of(bytes) == Some(raw::AF_UNSPEC) {
            self.with_entry(|entry, _| entry.peer = None);
            return Ok(());
        }
        let peer = link::destination(self.parse(bytes)?);
        let way = stack::with(|stack| stack.route(peer));
        let (_, source) = way.ok_or(Errno::ENETUNREACH)?;
        self.with_entry(|entry, _| {
            entry.peer = Some(peer);
            entry.local.get_or_insert(source);
        });
        Ok(())
    }

    fn local_address(&self) -> Result<Vec<u8>, Errno> {
        // As on Linux the protocol stands where others have a port.
        let (local, protocol) = self.with_entry(|entry, _| (entry.local, entry.protocol));
        Ok(self.address(local, protocol.into()))
    }

    fn peer_address(&self) -> Result<Vec<u8>, Errno> {
        let peer = self.with_entry(|entry, _| entry.peer);
        Ok(self.address(Some(peer.ok_or(Errno::ENOTCONN)?), 0))
    }

    fn send(&self, message: Outgoing, flags: u32, open: OpenFlags) -> SysResult {
        if flags & !KNOWN_SEND != 0 || !message.rights.is_empty() {
            return Err(Errno::EOPNOTSUPP);
        }
        self.channel.options.check_error()?;
        let (local, peer, protocol) =
            self.with_entry(|entry, _| (entry.local, entry.peer, entry.protocol));
        let to = if message.to.is_empty() {
            peer.ok_or(Errno::EDESTADDRREQ)?
        } else {
            link::destination(self.parse(message.to)?)
        };
        let way = stack::with(|stack| stack.route(to));
        let (on, source) = way.ok_or(Errno::ENETUNREACH)?;
        let wishes = control::wishes(self.channel.family, &message.control)?;
        stack::with(|stack| wishes.check(&stack.links, to, on))?;
        let source = wishes.source.or(local).unwrap_or(source);
        let hop_limit = wishes
            .hop_limit
            .unwrap_or(self.channel.ip_options.hop_limit());
        let header = match self.channel.family {
            Family::V4 => HEADER_V4,
            Family::V6 => HEADER_V6,
        };
        let len = message.data.remaining();
        let may_fragment = self.channel.ip_options.may_fragment(Version::of(to));
        let mtu = stack::with(|stack| stack.mtu(on));
        if len + header > if may_fragment { PACKET_MAX } else { mtu } {
            return Err(Errno::EMSGSIZE);
        }
        let mut data = vec![0; len];
        message.data.take(&mut data)?;
        let packet = wrap(protocol, source, to, hop_limit, &data);
        let is_nonblocking = open.is_nonblocking() || flags & raw::MSG_DONTWAIT != 0;
        self.channel.options.wait(
            &self.channel.changed,
            Direction::Send,
            is_nonblocking,
            || self.send_one(on, &packet).transpose(),
        )??;
        Ok(len)
    }

    fn receive(&self, to: &mut dyn Sink, flags: u32, open: OpenFlags) -> Result<Received, Errno> {
        let channel = &self.channel;
        let waiting = (&channel.options, &channel.changed);
        let received = inbox::receive(to, flags, open, waiting, || {
            self.with_entry(|entry, _| match entry.inbox.next(flags) {
                None => entry.is_receive_shut.then_some(Ok(None)),
                found => Some(Ok(found)),
            })
        })?;
        let Some((About { from, arrival }, received)) = received else {
            return Ok(Received::default());
        };
        Ok(Received {
            from: self.address(Some(from), 0),
            control: control::tell(channel.family, &channel.ip_options, &arrival),
            ..received
        })
    }

    fn shutdown(&self, how: u32) -> Result<(), Errno> {
        if how > raw::SHUT_RDWR {
            return Err(Errno::EINVAL);
        }
        let is_connected = self.with_entry(|entry, _| {
            entry.is_receive_shut |= how != raw::SHUT_WR;
            entry.peer.is_some()
        });
        self.channel.changed.wake_all();
        // As for UDP, Linux shuts it down and says that it is not connected.
        if is_connected {
            Ok(())
        } else {
            Err(Errno::ENOTCONN)
        }
    }

    fn option(&self, level: u32, name: u32) -> Result<Vec<u8>, Errno> {
        match (level, name) {
            _ if options::is_path_mtu(level, name) => {
                stack::path_mtu(self.with_entry(|entry, _| entry.peer))
            }
            (raw::SOL_SOCKET, raw::SO_TYPE) => Ok(words(&[raw::SOCK_RAW])),
            (raw::SOL_SOCKET, raw::SO_DOMAIN) => Ok(words(&[self.channel.family.to_raw()])),
            (raw::SOL_SOCKET, raw::SO_PROTOCOL) => {
                let protocol = self.with_entry(|entry, _| entry.protocol);
                Ok(words(&[protocol.into()]))
            }
            (raw::SOL_SOCKET, raw::SO_ACCEPTCONN) => Ok(words(&[0])),
            (raw::SOL_SOCKET, _) => self.channel.options.get(name),
            (SOL_RAW, ICMP_FILTER) if self.channel.family == Family::V4 => {
                Ok(words(&self.with_entry(|entry, _| [entry.blocked[0]])))
            }
            (SOL_ICMPV6, ICMPV6_FILTER) if self.channel.family == Family::V6 => {
                Ok(words(&self.with_entry(|entry, _| entry.blocked)))
            }
            _ => self.channel.ip_options.get(level, name, false),
        }
    }

    fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
        let family = self.channel.family;
        let count = match (level, name, family) {
            (raw::SOL_SOCKET, ..) => return self.channel.options.set(name, value),
            (SOL_RAW, ICMP_FILTER, Family::V4) => 1,
            (SOL_ICMPV6, ICMPV6_FILTER, Family::V6) => 8,
            _ => {
                let options = &self.channel.ip_options;
                return options.set(family, level, name, value, false);
            }
        };
        if value.len() < count * 4 {
            return Err(Errno::EINVAL);
        }
        self.with_entry(|entry, _| {
            if !entry.is_icmp() {
                return Err(Errno::EOPNOTSUPP);
            }
            let (given, _) = value.as_chunks();
            for (blocked, word) in entry.blocked.iter_mut().zip(given).take(count) {
                *blocked = u32::from_ne_bytes(*word);
            }
            Ok(())
        })
    }
}

impl Drop for RawSocket {
    fn drop(&mut self) {
        stack::with(|stack| {
            if let Some(entry) = stack.raw.remove(&self.channel.id) {
                for (link, handle) in stack.links.iter_mut().zip(entry.handles) {
                    if let Some(handle) = handle {
                        link.sockets.remove(handle);
                    }
                }
            }
        });
    }
}

impl SocketFile for RawSocket {
    fn stat(&self) -> Metadata {
        self.metadata
    }

    fn readiness(&self) -> PollEvents {
        let mut events = PollEvents::WRITABLE;
        let has_more = self.with_entry(|entry, _| !entry.inbox.is_empty() || entry.is_receive_shut);
        events.set(PollEvents::READABLE, has_more);
        events.set(PollEvents::ERR, self.channel.options.has_error());
        events
    }

    fn changed(&self) -> &WaitQueue {
        &self.channel.changed
    }

    fn unread(&self) -> Result<usize, Errno> {
        Ok(self.with_entry(|entry, _| entry.inbox.next_len()))
    }
}
