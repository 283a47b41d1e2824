//! UDP sockets: datagrams with their borders, from and to any address or one peer.

use super::UDP;
use super::address::{self, Family};
use super::buffers;
use super::channel::Channel;
use super::control::{self, Arrival, Wishes};
use super::device::PACKET_MAX;
use super::header::Header;
use super::inbox::{self, Inbox};
use super::link::{self, Link, Version};
use super::options;
use super::ports::Binding;
use super::stack::{self, Stack};
use super::status::{self, SocketStatus};
use crate::fs::anonymous;
use crate::fs::file::{File, Metadata, OpenFlags, PollEvents};
use crate::fs::io::Sink;
use crate::fs::socket::{Outgoing, Received, Socket, SocketFile};
use crate::fs::socket_options::{Direction, words};
use crate::libc::errno::{Errno, SysResult};
use crate::libc::signal;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use linux_raw_sys::general::{S_IFSOCK, SIGPIPE};
use linux_raw_sys::net as raw;
use smoltcp::iface::SocketHandle;
use smoltcp::socket::udp;
use smoltcp::wire::{IpAddress, IpEndpoint, IpListenEndpoint};
use smp::WaitQueue;

/// Bytes of the headers of IPv4 and UDP.
const HEADERS_V4: usize = 20 + 8;
/// The same over IPv6.
const HEADERS_V6: usize = 40 + 8;
/// Bytes of the longest datagram over each.
const LEN_MAX: usize = PACKET_MAX - HEADERS_V4;
const LEN_MAX_V6: usize = PACKET_MAX - HEADERS_V6;

const KNOWN_SEND: u32 =
    raw::MSG_DONTWAIT | raw::MSG_NOSIGNAL | raw::MSG_EOR | raw::MSG_DONTROUTE | raw::MSG_CONFIRM;

/// What is told of a datagram that has arrived.
#[derive(Clone)]
struct About {
    from: IpEndpoint,
    arrival: Arrival,
}

/// A UDP socket's state.
pub(super) struct UdpEntry {
    channel: Arc<Channel>,
    /// smoltcp's socket on each link.
    handles: Vec<Option<SocketHandle>>,
    /// Our address as getsockname(2) tells it.
    local: IpEndpoint,
    peer: Option<IpEndpoint>,
    inbox: Inbox<About>,
    is_receive_shut: bool,
    is_send_shut: bool,
    /// Somebody waits for room to send.
    wants_room: bool,
}

impl UdpEntry {
    /// Wakes who waits for room, once there is some.
    pub(super) fn tell_of_room(&mut self, links: &mut [Link]) {
        if !self.wants_room {
            return;
        }
        let mut pairs = links.iter_mut().zip(&self.handles);
        let has_room = pairs.all(|(link, handle)| {
            handle.is_none_or(|handle| link.sockets.get_mut::<udp::Socket>(handle).can_send())
        });
        if has_room {
            self.wants_room = false;
            self.channel.changed.wake_all();
        }
    }

    /// Takes what has arrived out of smoltcp's buffers.
    /// `header` is that of the packet that they came in, `interface` where it came from.
    pub(super) fn collect(&mut self, links: &mut [Link], header: Option<Header>, interface: u32) {
        let mut has_changed = false;
        for (link, handle) in links.iter_mut().zip(self.handles.clone()) {
            let Some(handle) = handle else { continue };
            let socket: &mut udp::Socket = link.sockets.get_mut(handle);
            while let Ok((data, meta)) = socket.recv() {
                let from = meta.endpoint;
                if self.peer.is_some_and(|peer| peer != from) {
                    continue;
                }
                let arrival = Arrival {
                    to: meta.local_address.unwrap_or(self.local.addr),
                    interface,
                    hop_limit: header.map_or(0, |header| header.hop_limit),
                    traffic_class: header.map_or(0, |header| header.traffic_class),
                };
                // What does not fit is lost, as UDP may.
                let room = self.channel.options.receive_buffer();
                has_changed |= self
                    .inbox
                    .offer(room, About { from, arrival }, data.to_vec());
            }
        }
        if has_changed {
            self.channel.changed.wake_all();
        }
    }

    /// Returns what is told of it; `None` if it has no port.
    pub(super) fn status(&self) -> Option<SocketStatus> {
        (self.local.port != 0).then(|| SocketStatus {
            protocol: match self.channel.family {
                Family::V4 => "udp",
                Family::V6 => "udp6",
            },
            local: status::words(self.local),
            remote: self.peer.map(status::words),
            state: "",
            receive_queue: self.inbox.len(),
            send_queue: 0,
        })
    }

    fn remove(&mut self, links: &mut [Link]) {
        for (link, handle) in links.iter_mut().zip(&mut self.handles) {
            if let Some(handle) = handle.take() {
                link.sockets.remove(handle);
            }
        }
    }
}

fn make() -> udp::Socket<'static> {
    let buffer = |datagrams| {
        let places = vec![udp::PacketMetadata::EMPTY; datagrams];
        udp::PacketBuffer::new(places, vec![0; PACKET_MAX])
    };
    // One that arrives at a time: they are collected after each packet. What is sent may have to wait until
    // the receiver's Ethernet address is known.
    udp::Socket::new(buffer(1), buffer(16))
}

/// A UDP socket. The stack's lock guards its state.
pub struct UdpSocket {
    channel: Arc<Channel>,
    metadata: Metadata,
}

impl UdpSocket {
    /// Makes a socket that is bound to nothing.
    pub fn new(family: Family) -> Arc<Self> {
        let channel = Channel::new(family);
        let entry = UdpEntry {
            channel: channel.clone(),
            handles: Vec::new(),
            local: family.any(0),
            peer: None,
            inbox: Inbox::new(),
            is_receive_shut: false,
            is_send_shut: false,
            wants_room: false,
        };
        stack::with(|stack| stack.udp.insert(channel.id, entry));
        Arc::new(UdpSocket {
            channel,
            metadata: anonymous::metadata(S_IFSOCK | 0o777),
        })
    }

    fn with_entry<R>(&self, f: impl FnOnce(&mut UdpEntry, &mut [Link]) -> R) -> R {
        stack::with(|stack| {
            let entry = stack.udp.get_mut(&self.channel.id);
            f(
                entry.expect("an open socket has its entry"),
                &mut stack.links,
            )
        })
    }

    fn is_bound(&self) -> bool {
        stack::with(|stack| stack.udp_ports.get(self.channel.id).is_some())
    }

    fn bind_to(&self, at: IpEndpoint) -> Result<(), Errno> {
        let channel = &self.channel;
        let binding = Binding {
            covers: address::covers(channel.family, at.addr, channel.ip_options.is_v6_only()),
            address: (!at.addr.is_unspecified()).then_some(at.addr),
            port: at.port,
            reuses_address: channel.options.is_on(raw::SO_REUSEADDR),
            reuses_port: channel.options.is_on(raw::SO_REUSEPORT),
            is_listening: false,
        };
        stack::with(|stack| {
            buffers::check(2 * PACKET_MAX * stack.links.len())?;
            let port = stack.udp_ports.bind(channel.id, binding, |_| true)?;
            let Stack { links, udp, .. } = stack;
            let entry = udp.get_mut(&channel.id).ok_or(Errno::EBADF)?;
            entry.local = IpEndpoint::new(at.addr, port);
            let endpoint = IpListenEndpoint {
                addr: binding.address,
                port,
            };
            for link in links {
                let mut handle = None;
                if binding.covers[link.version as usize] {
                    let mut socket = make();
                    socket.bind(endpoint).map_err(|_| Errno::EADDRNOTAVAIL)?;
                    handle = Some(link.sockets.add(socket));
                }
                entry.handles.push(handle);
            }
            Ok(())
        })
    }

    fn ensure_bound(&self) -> Result<(), Errno> {
        if self.is_bound() {
            return Ok(());
        }
        let bound = self.bind_to(self.channel.family.any(0));
        bound.map_err(|errno| match errno {
            Errno::ENOBUFS => errno,
            // As Linux says when there are no ports left.
            _ => Errno::EAGAIN,
        })
    }

    /// Reads a destination and finds the way there.
    fn resolve(&self, bytes: &[u8]) -> Result<(IpEndpoint, usize, IpAddress), Errno> {
        let channel = &self.channel;
        let to = channel.family.parse(bytes)?;
        let to = IpEndpoint::new(link::destination(to.addr), to.port);
        if channel.family == Family::V6
            && channel.ip_options.is_v6_only()
            && matches!(to.addr, IpAddress::Ipv4(_))
        {
            return Err(Errno::ENETUNREACH);
        }
        let way = stack::with(|stack| stack.route(to.addr));
        let (link, source) = way.ok_or(Errno::ENETUNREACH)?;
        Ok((to, link, source))
    }

    /// Puts one datagram on its way; `None` if there is no room now. On `lo` there always is: it arrives before
    /// this returns.
    fn send_one(
        &self,
        to: IpEndpoint,
        on: usize,
        source: IpAddress,
        wishes: &Wishes,
        data: &[u8],
    ) -> Result<Option<usize>, Errno> {
        stack::with(|stack| {
            let Stack { links, udp, .. } = stack;
            let entry = udp.get_mut(&self.channel.id).ok_or(Errno::EBADF)?;
            // Bound to the other version's address: there is no way from here to there.
            let handle = entry.handles.get(on).copied().flatten();
            let handle = handle.ok_or(Errno::ENETUNREACH)?;
            let source = match wishes.source {
                Some(wished) => wished,
                None if entry.local.addr.is_unspecified() => source,
                None => entry.local.addr,
            };
            let socket: &mut udp::Socket = links[on].sockets.get_mut(handle);
            socket.set_hop_limit(
                wishes
                    .hop_limit
                    .or(Some(self.channel.ip_options.hop_limit())),
            );
            let meta = udp::UdpMetadata {
                local_address: Some(source),
                ..to.into()
            };
            match socket.send_slice(data, meta) {
                Ok(()) => {}
                Err(udp::SendError::BufferFull) => {
                    entry.wants_room = true;
                    return Ok(None);
                }
                Err(udp::SendError::Unaddressable) => return Err(Errno::EINVAL),
            }
            stack.run();
            Ok(Some(data.len()))
        })
    }

    /// Tells whether nobody can be there: of this machine alone that is known.
    fn is_unheard(&self, to: IpEndpoint, on: usize) -> bool {
        stack::with(|stack| {
            let is_own = stack.links[on].is_loopback();
            is_own
                && !stack.udp.values().any(|entry| {
                    entry.handles.get(on).is_some_and(Option::is_some)
                        && entry.local.port == to.port
                        && (entry.local.addr.is_unspecified() || entry.local.addr == to.addr)
                })
        })
    }

    fn send_message(&self, message: Outgoing, flags: u32, open: OpenFlags) -> SysResult {
        if flags & !KNOWN_SEND != 0 || !message.rights.is_empty() {
            return Err(Errno::EOPNOTSUPP);
        }
        let len = message.data.remaining();
        if len > LEN_MAX {
            return Err(Errno::EMSGSIZE);
        }
        let (peer, is_send_shut) = self.with_entry(|entry, _| (entry.peer, entry.is_send_shut));
        let (to, on, source) = if message.to.is_empty() {
            let peer = peer.ok_or(Errno::EDESTADDRREQ)?;
            let way = stack::with(|stack| stack.route(peer.addr));
            let (on, source) = way.ok_or(Errno::ENETUNREACH)?;
            (peer, on, source)
        } else {
            self.resolve(message.to)?
        };
        if to.port == 0 {
            return Err(Errno::EINVAL);
        }
        let wishes = control::wishes(self.channel.family, &message.control)?;
        stack::with(|stack| wishes.check(&stack.links, to.addr, on))?;
        let version = Version::of(to.addr);
        let (len_max, header) = match version {
            Version::V4 => (LEN_MAX, HEADERS_V4),
            Version::V6 => (LEN_MAX_V6, HEADERS_V6),
        };
        let is_long = len + header > stack::with(|stack| stack.mtu(on));
        if len > len_max || is_long && !self.channel.ip_options.may_fragment(version) {
            return Err(Errno::EMSGSIZE);
        }
        self.channel.options.check_error()?;
        if is_send_shut {
            return Err(Errno::EPIPE);
        }
        self.ensure_bound()?;
        let mut data = vec![0; len];
        message.data.take(&mut data)?;
        let is_unheard = self.is_unheard(to, on);
        let is_nonblocking = open.is_nonblocking() || flags & raw::MSG_DONTWAIT != 0;
        let sent = self.channel.options.wait(
            &self.channel.changed,
            Direction::Send,
            is_nonblocking,
            || self.send_one(to, on, source, &wishes, &data).transpose(),
        )??;
        if is_unheard && peer == Some(to) {
            // Nobody there: the next call of a connected socket hears of it (udp(7)).
            self.channel.options.set_error(Errno::ECONNREFUSED);
            self.channel.changed.wake_all();
        }
        Ok(sent)
    }
}

impl Socket for UdpSocket {
    fn bind(&self, bytes: &[u8]) -> Result<(), Errno> {
        let at = self.channel.family.parse(bytes)?;
        if !at.addr.is_unspecified() && !stack::with(|stack| link::is_local(&stack.links, at.addr))
        {
            return Err(Errno::EADDRNOTAVAIL);
        }
        if self.is_bound() {
            return Err(Errno::EINVAL);
        }
        self.bind_to(at)
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
        let (peer, _, source) = self.resolve(bytes)?;
        self.ensure_bound()?;
        self.with_entry(|entry, _| {
            entry.peer = Some(peer);
            // What came from others before is still read, as on Linux. The address that packets
            // leave from is known now (ip(7)).
            if entry.local.addr.is_unspecified() {
                entry.local.addr = source;
            }
        });
        Ok(())
    }

    fn local_address(&self) -> Result<Vec<u8>, Errno> {
        let local = self.with_entry(|entry, _| entry.local);
        Ok(self.channel.family.to_bytes(local))
    }

    fn peer_address(&self) -> Result<Vec<u8>, Errno> {
        let peer = self.with_entry(|entry, _| entry.peer);
        Ok(self.channel.family.to_bytes(peer.ok_or(Errno::ENOTCONN)?))
    }

    fn send(&self, message: Outgoing, flags: u32, open: OpenFlags) -> SysResult {
        let sent = self.send_message(message, flags, open);
        if sent == Err(Errno::EPIPE) && flags & raw::MSG_NOSIGNAL == 0 {
            signal::raise_in_current(SIGPIPE);
        }
        sent
    }

    fn receive(&self, to: &mut dyn Sink, flags: u32, open: OpenFlags) -> Result<Received, Errno> {
        let channel = &self.channel;
        let waiting = (&channel.options, &channel.changed);
        let received = inbox::receive(to, flags, open, waiting, || {
            if channel.options.has_error() {
                return Some(channel.options.check_error().map(|()| None));
            }
            self.with_entry(|entry, _| match entry.inbox.next(flags) {
                None => entry.is_receive_shut.then_some(Ok(None)),
                found => Some(Ok(found)),
            })
        })?;
        let Some((About { from, arrival }, received)) = received else {
            return Ok(Received::default());
        };
        Ok(Received {
            from: channel.family.to_bytes(from),
            control: control::tell(channel.family, &channel.ip_options, &arrival),
            ..received
        })
    }

    fn shutdown(&self, how: u32) -> Result<(), Errno> {
        let (receive, send) = match how {
            raw::SHUT_RD => (true, false),
            raw::SHUT_WR => (false, true),
            raw::SHUT_RDWR => (true, true),
            _ => return Err(Errno::EINVAL),
        };
        let is_connected = self.with_entry(|entry, _| {
            entry.is_receive_shut |= receive;
            entry.is_send_shut |= send;
            entry.peer.is_some()
        });
        self.channel.changed.wake_all();
        // Linux shuts it down and says that it is not connected.
        if is_connected {
            Ok(())
        } else {
            Err(Errno::ENOTCONN)
        }
    }

    fn option(&self, level: u32, name: u32) -> Result<Vec<u8>, Errno> {
        if options::is_path_mtu(level, name) {
            let peer = self.with_entry(|entry, _| entry.peer);
            return stack::path_mtu(peer.map(|peer| peer.addr));
        }
        if level != raw::SOL_SOCKET {
            return self.channel.ip_options.get(level, name, false);
        }
        match name {
            raw::SO_TYPE => Ok(words(&[raw::SOCK_DGRAM])),
            raw::SO_DOMAIN => Ok(words(&[self.channel.family.to_raw()])),
            raw::SO_PROTOCOL => Ok(words(&[UDP])),
            raw::SO_ACCEPTCONN => Ok(words(&[0])),
            _ => self.channel.options.get(name),
        }
    }

    fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
        if level == raw::SOL_SOCKET {
            return self.channel.options.set(name, value);
        }
        if level != 0 && name == raw::IPV6_V6ONLY && self.is_bound() {
            return Err(Errno::EINVAL);
        }
        self.channel
            .ip_options
            .set(self.channel.family, level, name, value, false)
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        stack::with(|stack| {
            stack.udp_ports.release(self.channel.id);
            if let Some(mut entry) = stack.udp.remove(&self.channel.id) {
                entry.remove(&mut stack.links);
            }
        });
    }
}

impl SocketFile for UdpSocket {
    fn stat(&self) -> Metadata {
        self.metadata
    }

    fn readiness(&self) -> PollEvents {
        let mut events = self.with_entry(|entry, _| {
            let mut events = PollEvents::WRITABLE;
            let is_shut = entry.is_receive_shut;
            events.set(PollEvents::READABLE, !entry.inbox.is_empty() || is_shut);
            events.set(PollEvents::RDHUP, is_shut);
            events.set(PollEvents::HUP, is_shut && entry.is_send_shut);
            events
        });
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
