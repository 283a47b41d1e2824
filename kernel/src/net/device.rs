//! Network interfaces from below: what packets go through, as smoltcp sees it. That is the memory of `lo`, or a
//! network card.

use super::frame::{self, Sorted};
use super::link::Version;
use super::packet::Seen;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use smoltcp::phy::{
    self, Checksum, ChecksumCapabilities, DeviceCapabilities, Medium, RxToken, TxToken,
};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress};

/// The longest packet on `lo`, IP header included.
pub const LOOPBACK_MTU: usize = 65535;
/// The longest packet on Ethernet (IEEE 802.3), IP header included.
pub const ETHERNET_MTU: usize = 1500;
/// Bytes of an Ethernet header.
pub const ETHERNET_HEADER: usize = 14;
/// How many frames of one IP version may wait while those of the other are handled.
const WAITING_MAX: usize = 64;
/// How many frames may wait to be shown to packet sockets.
const SEEN_MAX: usize = 256;

/// What a network card does for the stack, whose lock is held meanwhile. Nothing of it waits.
pub trait Card: Send {
    /// Has it interrupt again when the next frame arrives, and if one already has.
    fn rearm(&mut self);

    /// Returns its Ethernet address.
    fn mac(&self) -> [u8; 6];

    /// Returns how many bytes of its own the card wants in front of each frame that it sends.
    fn headroom(&self) -> usize;

    /// Takes the next frame that has arrived.
    fn receive(&mut self) -> Option<Vec<u8>>;

    /// Tells whether a frame can be sent now.
    fn has_room(&mut self) -> bool;

    /// Sends a frame, which begins after the headroom; false if it is lost, for want of room.
    fn send(&mut self, frame: Vec<u8>) -> bool;
}

/// What went through an interface, as ip(8) counts it with `-s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes received, link header included.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Packets received that make no sense: cut short, a wrong checksum, an impossible address.
    pub rx_errors: u64,
    /// Packets received that there was no room for.
    pub rx_dropped: u64,
    /// Bytes sent, link header included.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Packets that the card refused.
    pub tx_errors: u64,
    /// Packets that were not sent for want of room.
    pub tx_dropped: u64,
}

enum Kind {
    /// What is sent comes back. It is the kernel's memory: nothing is lost, so nothing needs a checksum.
    Loopback,
    Card(Box<dyn Card>),
}

/// A network interface: a way for packets out of this machine, or back into it.
pub struct Device {
    /// Its name: `lo`, `eth0`.
    pub name: String,
    /// What went through it.
    pub counters: Counters,
    /// Whether it is in use. What arrives at one that is not is forgotten.
    pub is_up: bool,
    kind: Kind,
    /// Packets or frames that have arrived, by IP version.
    waiting: [VecDeque<Vec<u8>>; 2],
    /// What packet sockets have not been shown yet; `None`: there are none.
    seen: Option<VecDeque<Seen>>,
}

impl Device {
    fn new(name: String, kind: Kind) -> Self {
        Device {
            name,
            counters: Counters::default(),
            is_up: true,
            kind,
            waiting: Default::default(),
            seen: None,
        }
    }

    /// Has what it receives and sends kept for packet sockets, or not.
    pub fn watch(&mut self, is_watched: bool) {
        if !is_watched {
            self.seen = None;
        } else if self.seen.is_none() {
            self.seen = Some(VecDeque::new());
        }
    }

    /// Takes what was kept since the last time.
    pub fn take_seen(&mut self) -> VecDeque<Seen> {
        self.seen.as_mut().map(core::mem::take).unwrap_or_default()
    }

    fn show(&mut self, is_outgoing: bool, sender: Option<u64>, bytes: &[u8]) {
        if let Some(seen) = &mut self.seen
            && seen.len() < SEEN_MAX
        {
            seen.push_back(Seen {
                is_outgoing,
                sender,
                bytes: bytes.to_vec(),
            });
        }
    }

    /// Makes `lo`.
    pub fn loopback() -> Self {
        Device::new("lo".into(), Kind::Loopback)
    }

    /// Makes the interface of a card.
    pub fn ethernet(name: String, card: Box<dyn Card>) -> Self {
        Device::new(name, Kind::Card(card))
    }

    /// Returns its address on the link.
    pub fn hardware_address(&self) -> HardwareAddress {
        match &self.kind {
            Kind::Loopback => HardwareAddress::Ip,
            Kind::Card(card) => HardwareAddress::Ethernet(EthernetAddress(card.mac())),
        }
    }

    /// Returns the longest packet that goes through it, IP header included.
    pub fn mtu(&self) -> usize {
        match self.kind {
            Kind::Loopback => LOOPBACK_MTU,
            Kind::Card(_) => ETHERNET_MTU,
        }
    }

    /// Has the card, if there is one, interrupt when more arrives.
    pub fn rearm(&mut self) {
        if let Kind::Card(card) = &mut self.kind {
            card.rearm();
        }
    }

    /// Returns the packet or frame of a version that comes next.
    pub fn peek(&mut self, version: Version) -> Option<&[u8]> {
        while self.waiting[version as usize].is_empty() {
            let Kind::Card(card) = &mut self.kind else {
                return None;
            };
            let frame = card.receive()?;
            self.arrive(frame);
        }
        self.waiting[version as usize].front().map(Vec::as_slice)
    }

    /// Takes the packet or frame of a version that comes next.
    pub fn take(&mut self, version: Version) -> Option<Vec<u8>> {
        self.peek(version)?;
        self.waiting[version as usize].pop_front()
    }

    /// Counts and sorts a frame that a card has received.
    fn arrive(&mut self, frame: Vec<u8>) {
        if !self.is_up {
            return;
        }
        self.show(false, None, &frame);
        let counters = &mut self.counters;
        counters.rx_packets += 1;
        counters.rx_bytes += frame.len() as u64;
        match frame::sort(&frame) {
            Sorted::For(version) => {
                let waiting = &mut self.waiting[version as usize];
                if waiting.len() < WAITING_MAX {
                    waiting.push_back(frame);
                } else {
                    counters.rx_dropped += 1;
                }
            }
            // Nobody here speaks it, as most of what switches tell each other.
            Sorted::Other => {}
            Sorted::Malformed => counters.rx_errors += 1,
        }
    }

    /// Tells whether a packet or frame can be sent now.
    pub fn has_room(&mut self) -> bool {
        match &mut self.kind {
            Kind::Loopback => true,
            Kind::Card(card) => card.has_room(),
        }
    }

    /// Sends a packet or frame of `len` bytes that `fill` writes.
    pub fn send<R>(
        &mut self,
        version: Version,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        self.send_for(None, version, len, fill)
    }

    /// Sends a packet or frame for a packet socket, which it is not shown to.
    pub fn send_for<R>(
        &mut self,
        sender: Option<u64>,
        version: Version,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        let headroom = match &self.kind {
            Kind::Loopback => 0,
            Kind::Card(card) => card.headroom(),
        };
        let mut packet = vec![0; headroom + len];
        let result = fill(&mut packet[headroom..]);
        if !self.is_up {
            return result;
        }
        self.show(true, sender, &packet[headroom..]);
        if matches!(self.kind, Kind::Loopback) {
            self.show(false, None, &packet);
        }
        let counters = &mut self.counters;
        let is_sent = match &mut self.kind {
            Kind::Loopback => {
                counters.rx_packets += 1;
                counters.rx_bytes += len as u64;
                self.waiting[version as usize].push_back(packet);
                true
            }
            Kind::Card(card) => card.send(packet),
        };
        if is_sent {
            counters.tx_packets += 1;
            counters.tx_bytes += len as u64;
        } else {
            counters.tx_dropped += 1;
        }
        result
    }
}

/// One IP version over a device.
pub struct Way<'a> {
    /// The device.
    pub device: &'a mut Device,
    /// The version.
    pub version: Version,
}

/// A packet that has arrived.
pub struct Arrived(Vec<u8>);

impl RxToken for Arrived {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

/// The right to send a packet.
pub struct Departing<'a>(Way<'a>);

impl TxToken for Departing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        self.0.device.send(self.0.version, len, f)
    }
}

impl Way<'_> {
    fn departing(&mut self) -> Departing<'_> {
        Departing(Way {
            device: self.device,
            version: self.version,
        })
    }
}

impl phy::Device for Way<'_> {
    type RxToken<'a>
        = Arrived
    where
        Self: 'a;
    type TxToken<'a>
        = Departing<'a>
    where
        Self: 'a;

    fn receive(&mut self, _: Instant) -> Option<(Arrived, Departing<'_>)> {
        let packet = self.device.take(self.version)?;
        Some((Arrived(packet), self.departing()))
    }

    fn transmit(&mut self, _: Instant) -> Option<Departing<'_>> {
        self.device.has_room().then(|| self.departing())
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        match self.device.kind {
            Kind::Loopback => {
                capabilities.medium = Medium::Ip;
                capabilities.max_transmission_unit = LOOPBACK_MTU;
                capabilities.checksum = ChecksumCapabilities::ignored();
            }
            Kind::Card(_) => {
                capabilities.medium = Medium::Ethernet;
                capabilities.max_transmission_unit = ETHERNET_HEADER + ETHERNET_MTU;
                // What arrives has been checked, and counted, when it was sorted.
                let checksum = &mut capabilities.checksum;
                checksum.ipv4 = Checksum::Tx;
                checksum.udp = Checksum::Tx;
                checksum.tcp = Checksum::Tx;
                checksum.icmpv4 = Checksum::Tx;
                checksum.icmpv6 = Checksum::Tx;
            }
        }
        capabilities
    }
}
