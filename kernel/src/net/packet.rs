//! Packet sockets (packet(7)): whole frames of an interface, whatever protocol they are of.
//!
//! They see what an interface receives and sends, beside whoever else it is for; a card passes on
//! all that it hears, so every one is promiscuous.

use super::device::{Device, ETHERNET_HEADER};
use super::inbox::{self, Inbox};
use super::interfaces;
use super::link::Version;
use super::stack::{self, Stack};
use super::status::SocketStatus;
use crate::fs::anonymous;
use crate::fs::file::{File, Metadata, OpenFlags, PollEvents};
use crate::fs::io::Sink;
use crate::fs::socket::{Outgoing, Received, Socket, SocketFile};
use crate::fs::socket_options::{Options, words};
use crate::libc::errno::{Errno, SysResult};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use linux_raw_sys::general::S_IFSOCK;
use linux_raw_sys::if_arp::{ARPHRD_ETHER, ARPHRD_LOOPBACK};
use linux_raw_sys::net as raw;
use smoltcp::wire::{EthernetAddress, EthernetFrame, EthernetProtocol, HardwareAddress};
use smp::WaitQueue;

/// SOL_PACKET and its names.
const SOL_PACKET: u32 = 263;
const ADD_MEMBERSHIP: u32 = 1;
const DROP_MEMBERSHIP: u32 = 2;
/// Bytes of `struct packet_mreq`.
const MEMBERSHIP_LEN: usize = 16;
/// The protocol that stands for all (ETH_P_ALL).
const ALL: u16 = 3;
/// Bytes of `sockaddr_ll`, and of one whose hardware address is left off.
const ADDRESS_LEN: usize = 20;
const ADDRESS_LEN_MIN: usize = 12;

const KNOWN_SEND: u32 = raw::MSG_DONTWAIT | raw::MSG_NOSIGNAL;

/// What a frame is to this machine, in the numbers of packet(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Host = 0,
    Broadcast = 1,
    Multicast = 2,
    OtherHost = 3,
    Outgoing = 4,
}

/// A frame that an interface has received or sent.
pub struct Seen {
    /// Whether it was sent.
    pub is_outgoing: bool,
    /// The packet socket that sent it.
    pub sender: Option<u64>,
    /// The frame; on `lo`, the packet.
    pub bytes: Vec<u8>,
}

/// What is told of a frame.
#[derive(Clone)]
struct About {
    kind: Kind,
    /// The index of its interface.
    device: usize,
    source: [u8; 6],
    protocol: u16,
    hardware: u32,
}

/// A frame that an interface has received or sent, with its header.
struct Frame {
    about: About,
    /// The packet socket that sent it, which does not hear it.
    sender: Option<u64>,
    bytes: Vec<u8>,
}

/// A packet socket's state.
pub(super) struct PacketEntry {
    shared: Arc<Shared>,
    /// The protocol whose frames it takes; 0: none.
    protocol: u16,
    /// The interface; `None`: all.
    device: Option<usize>,
    inbox: Inbox<About>,
}

impl PacketEntry {
    fn offer(&mut self, frame: &Frame) {
        let about = &frame.about;
        // As on Linux only who takes all protocols hears what goes out.
        let is_wanted =
            self.protocol == ALL || self.protocol == about.protocol && about.kind != Kind::Outgoing;
        if !is_wanted || frame.sender == Some(self.shared.id) {
            return;
        }
        if self.device.is_some_and(|device| device != about.device) {
            return;
        }
        let room = self.shared.options.receive_buffer();
        let bytes = &frame.bytes[self.shared.header_hidden..];
        if self.inbox.offer(room, about.clone(), bytes.to_vec()) {
            self.shared.changed.wake_all();
        }
    }

    /// Tells of it, with its interface for an address and its protocol for a port.
    pub(super) fn status(&self, devices: &[Device]) -> SocketStatus {
        let name = self.device.map_or("*", |device| &devices[device].name);
        SocketStatus {
            protocol: "packet",
            local: (name.into(), self.protocol),
            remote: None,
            state: "",
            receive_queue: self.inbox.len(),
            send_queue: 0,
        }
    }
}

/// Reads what an interface has received or sent; on `lo`, puts the header in front that Linux shows there.
fn frame_of(device: &Device, index: usize, seen: Seen) -> Option<Frame> {
    let (own, hardware) = match device.hardware_address() {
        HardwareAddress::Ethernet(own) => (own, ARPHRD_ETHER),
        HardwareAddress::Ip => (EthernetAddress([0; 6]), ARPHRD_LOOPBACK),
    };
    let bytes = if hardware == ARPHRD_LOOPBACK {
        let protocol = match seen.bytes.first()? >> 4 {
            4 => EthernetProtocol::Ipv4,
            _ => EthernetProtocol::Ipv6,
        };
        let mut frame = vec![0; ETHERNET_HEADER];
        EthernetFrame::new_unchecked(&mut frame[..]).set_ethertype(protocol);
        frame.extend_from_slice(&seen.bytes);
        frame
    } else {
        seen.bytes
    };
    let header = EthernetFrame::new_checked(&bytes[..]).ok()?;
    let to = header.dst_addr();
    let kind = if seen.is_outgoing {
        Kind::Outgoing
    } else if to.is_broadcast() {
        Kind::Broadcast
    } else if to == own {
        Kind::Host
    } else if to.is_multicast() {
        Kind::Multicast
    } else {
        Kind::OtherHost
    };
    let about = About {
        kind,
        device: index,
        source: header.src_addr().0,
        protocol: header.ethertype().into(),
        hardware,
    };
    Some(Frame {
        about,
        sender: seen.sender,
        bytes,
    })
}

/// Gives the sockets what the interfaces have received and sent.
pub(super) fn deliver(stack: &mut Stack) {
    for (index, device) in stack.devices.iter_mut().enumerate() {
        for seen in device.take_seen() {
            let Some(frame) = frame_of(device, index, seen) else {
                continue;
            };
            for entry in stack.packet.values_mut() {
                entry.offer(&frame);
            }
        }
    }
}

/// What a packet socket and the stack share without the stack's lock.
struct Shared {
    id: u64,
    /// Bytes of each frame that do not come and go: the Ethernet header of SOCK_DGRAM.
    header_hidden: usize,
    changed: WaitQueue,
    options: Options,
}

/// A packet socket. The stack's lock guards its state.
pub struct PacketSocket {
    shared: Arc<Shared>,
    metadata: Metadata,
}

/// A `sockaddr_ll`.
struct Address {
    protocol: u16,
    interface: u32,
    hardware: Option<[u8; 6]>,
}

fn parse(bytes: &[u8]) -> Result<Address, Errno> {
    if bytes.len() < ADDRESS_LEN_MIN {
        return Err(Errno::EINVAL);
    }
    if super::address::number_of(bytes) != Some(raw::AF_PACKET) {
        return Err(Errno::EINVAL);
    }
    let len = usize::from(bytes[11]);
    let hardware = bytes.get(ADDRESS_LEN_MIN..ADDRESS_LEN_MIN + len);
    Ok(Address {
        protocol: u16::from_be_bytes([bytes[2], bytes[3]]),
        interface: u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        hardware: hardware.and_then(|address| address.try_into().ok()),
    })
}

fn address(
    protocol: u16,
    device: Option<usize>,
    hardware: u32,
    kind: u8,
    mac: &[u8; 6],
) -> Vec<u8> {
    let mut bytes = (raw::AF_PACKET as u16).to_ne_bytes().to_vec();
    bytes.extend_from_slice(&protocol.to_be_bytes());
    bytes.extend_from_slice(&device.map_or(0, interfaces::index_of).to_ne_bytes());
    bytes.extend_from_slice(&(hardware as u16).to_ne_bytes());
    bytes.extend_from_slice(&[kind, mac.len() as u8]);
    bytes.extend_from_slice(mac);
    bytes.resize(ADDRESS_LEN, 0);
    bytes
}

/// Finds the interface with a number; 0 stands for none.
fn device_of(stack: &Stack, number: u32) -> Result<Option<usize>, Errno> {
    if number == 0 {
        return Ok(None);
    }
    let found = (0..stack.devices.len()).find(|&device| interfaces::index_of(device) == number);
    found.map(Some).ok_or(Errno::ENODEV)
}

impl PacketSocket {
    /// Makes a socket of AF_PACKET; `protocol` is in network byte order, as socket(2) has it.
    pub fn open(kind: u32, protocol: u32) -> Result<Arc<dyn File>, Errno> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        if !matches!(kind, raw::SOCK_RAW | raw::SOCK_DGRAM) {
            return Err(Errno::ESOCKTNOSUPPORT);
        }
        let shared = Arc::new(Shared {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            header_hidden: if kind == raw::SOCK_RAW {
                0
            } else {
                ETHERNET_HEADER
            },
            changed: WaitQueue::new(),
            options: Options::new(),
        });
        let entry = PacketEntry {
            shared: shared.clone(),
            protocol: u16::from_be(protocol as u16),
            device: None,
            inbox: Inbox::new(),
        };
        stack::with(|stack| {
            stack.packet.insert(shared.id, entry);
            stack
                .devices
                .iter_mut()
                .for_each(|device| device.watch(true));
        });
        Ok(Arc::new(PacketSocket {
            shared,
            metadata: anonymous::metadata(S_IFSOCK | 0o777),
        }))
    }

    fn with_entry<R>(&self, f: impl FnOnce(&mut PacketEntry) -> R) -> R {
        stack::with(|stack| {
            let entry = stack.packet.get_mut(&self.shared.id);
            f(entry.expect("an open socket has its entry"))
        })
    }
}

impl Socket for PacketSocket {
    fn bind(&self, bytes: &[u8]) -> Result<(), Errno> {
        let at = parse(bytes)?;
        stack::with(|stack| {
            let device = device_of(stack, at.interface)?;
            let entry = stack.packet.get_mut(&self.shared.id).ok_or(Errno::EBADF)?;
            entry.device = device;
            if at.protocol != 0 {
                entry.protocol = at.protocol;
            }
            // What waits came from wherever it was bound before.
            entry.inbox.clear();
            Ok(())
        })
    }

    fn listen(&self, _: i32) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn accept(&self, _: OpenFlags) -> Result<(Arc<dyn File>, Vec<u8>), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn connect(&self, _: &[u8], _: OpenFlags) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn local_address(&self) -> Result<Vec<u8>, Errno> {
        let (protocol, device) = self.with_entry(|entry| (entry.protocol, entry.device));
        let hardware = stack::with(|stack| device.map(|at| stack.devices[at].hardware_address()));
        Ok(match hardware {
            Some(HardwareAddress::Ethernet(own)) => {
                address(protocol, device, ARPHRD_ETHER, 0, &own.0)
            }
            Some(HardwareAddress::Ip) => address(protocol, device, ARPHRD_LOOPBACK, 0, &[0; 6]),
            None => address(protocol, None, 0, 0, &[0; 6]),
        })
    }

    fn peer_address(&self) -> Result<Vec<u8>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn send(&self, message: Outgoing, flags: u32, _: OpenFlags) -> SysResult {
        if flags & !KNOWN_SEND != 0 || !message.rights.is_empty() {
            return Err(Errno::EOPNOTSUPP);
        }
        let to = match message.to {
            [] => None,
            bytes => Some(parse(bytes)?),
        };
        let len = message.data.remaining();
        let (bound, own) = self.with_entry(|entry| (entry.device, entry.protocol));
        let device = match &to {
            Some(to) => stack::with(|stack| device_of(stack, to.interface))?.or(bound),
            None => bound,
        };
        let device = device.ok_or(Errno::ENXIO)?;
        let header = self.shared.header_hidden;
        let (mtu, hardware) = stack::with(|stack| {
            let device = &stack.devices[device];
            (device.mtu(), device.hardware_address())
        });
        if len + header > mtu + ETHERNET_HEADER {
            return Err(Errno::EMSGSIZE);
        }
        if len + header < ETHERNET_HEADER {
            return Err(Errno::EINVAL);
        }
        let mut bytes = vec![0; header + len];
        message.data.take(&mut bytes[header..])?;
        if header > 0 {
            let to = to.ok_or(Errno::EDESTADDRREQ)?;
            let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
            frame.set_dst_addr(EthernetAddress(to.hardware.unwrap_or_default()));
            if let HardwareAddress::Ethernet(own) = hardware {
                frame.set_src_addr(own);
            }
            let protocol = if to.protocol == 0 { own } else { to.protocol };
            frame.set_ethertype(protocol.into());
        }
        stack::with(|stack| {
            let device = &mut stack.devices[device];
            if !device.is_up {
                return Err(Errno::ENETDOWN);
            }
            if !device.has_room() {
                return Err(Errno::ENOBUFS);
            }
            let version = match EthernetFrame::new_unchecked(&bytes[..]).ethertype() {
                EthernetProtocol::Ipv6 => Version::V6,
                _ => Version::V4,
            };
            // On `lo` there are no frames, and nobody who takes other protocols.
            let from = match hardware {
                HardwareAddress::Ethernet(_) => 0,
                HardwareAddress::Ip => ETHERNET_HEADER,
            };
            let sent = &bytes[from..];
            let sender = Some(self.shared.id);
            device.send_for(sender, version, sent.len(), |room| {
                room.copy_from_slice(sent);
            });
            stack.run();
            Ok(len)
        })
    }

    fn receive(&self, to: &mut dyn Sink, flags: u32, open: OpenFlags) -> Result<Received, Errno> {
        let waiting = (&self.shared.options, &self.shared.changed);
        let received = inbox::receive(to, flags, open, waiting, || {
            let next = self.with_entry(|entry| entry.inbox.next(flags))?;
            Some(Ok(Some(next)))
        })?;
        let Some((about, received)) = received else {
            return Ok(Received::default());
        };
        Ok(Received {
            from: address(
                about.protocol,
                Some(about.device),
                about.hardware,
                about.kind as u8,
                &about.source,
            ),
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
            raw::SO_TYPE if self.shared.header_hidden == 0 => Ok(words(&[raw::SOCK_RAW])),
            raw::SO_TYPE => Ok(words(&[raw::SOCK_DGRAM])),
            raw::SO_DOMAIN => Ok(words(&[raw::AF_PACKET])),
            raw::SO_PROTOCOL => {
                let protocol = self.with_entry(|entry| entry.protocol);
                Ok(words(&[protocol.to_be().into()]))
            }
            raw::SO_ACCEPTCONN => Ok(words(&[0])),
            _ => self.shared.options.get(name),
        }
    }

    fn set_option(&self, level: u32, name: u32, value: &[u8]) -> Result<(), Errno> {
        match (level, name) {
            (raw::SOL_SOCKET, _) => self.shared.options.set(name, value),
            // More than it hears already it cannot hear.
            (SOL_PACKET, ADD_MEMBERSHIP | DROP_MEMBERSHIP) => {
                let request = value.get(..MEMBERSHIP_LEN).ok_or(Errno::EINVAL)?;
                let number = u32::from_ne_bytes([request[0], request[1], request[2], request[3]]);
                let found = stack::with(|stack| device_of(stack, number))?;
                found.map(drop).ok_or(Errno::ENODEV)
            }
            _ => Err(Errno::ENOPROTOOPT),
        }
    }
}

impl Drop for PacketSocket {
    fn drop(&mut self) {
        stack::with(|stack| {
            stack.packet.remove(&self.shared.id);
            let is_watched = !stack.packet.is_empty();
            let devices = stack.devices.iter_mut();
            devices.for_each(|device| device.watch(is_watched));
        });
    }
}

impl SocketFile for PacketSocket {
    fn stat(&self) -> Metadata {
        self.metadata
    }

    fn readiness(&self) -> PollEvents {
        let mut events = PollEvents::WRITABLE;
        let has_more = self.with_entry(|entry| !entry.inbox.is_empty());
        events.set(PollEvents::READABLE, has_more);
        events.set(PollEvents::ERR, self.shared.options.has_error());
        events
    }

    fn changed(&self) -> &WaitQueue {
        &self.shared.changed
    }

    fn unread(&self) -> Result<usize, Errno> {
        Ok(self.with_entry(|entry| entry.inbox.next_len()))
    }
}
