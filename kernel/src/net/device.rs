//! Network interfaces from below: what packets go through, as smoltcp sees it. That is the memory of `lo`, or a
//! network card.

use super::fragments::{self, Outcome, Reassembly};
use super::frame::{self, Sorted};
use super::link::Version;
use super::packet::Seen;
use super::segment_size;
use crate::libc::random;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use smoltcp::phy::{
    self, Checksum, ChecksumCapabilities, DeviceCapabilities, Medium, RxToken, TxToken,
};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, EthernetFrame, EthernetProtocol, HardwareAddress};

/// The longest packet that sockets send, IP header included.
pub const PACKET_MAX: usize = 65535;
/// The longest packet on `lo`, IP header included.
pub const LOOPBACK_MTU: usize = PACKET_MAX;
/// The longest packet on Ethernet (IEEE 802.3), IP header included.
pub const ETHERNET_MTU: usize = 1500;
/// Bytes of an Ethernet header.
pub const ETHERNET_HEADER: usize = 14;
/// How many frames of one IP version may wait while those of the other are handled.
const WAITING_MAX: usize = 64;
/// How many fragments may wait until the card has room; the longest packet is 46.
const UNSENT_MAX: usize = 64;
/// How long it takes until a card is asked again whether it has room for them.
const ASK_FOR_ROOM: Duration = Duration::from_millis(1);
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
    Card(Box<Ethernet>),
}

/// A card, and the fragments that come and go through it.
struct Ethernet {
    card: Box<dyn Card>,
    /// What has arrived in part, by IP version.
    arriving: [Reassembly; 2],
    /// Fragments that the card had no room for yet, the headroom in front of each.
    unsent: VecDeque<Vec<u8>>,
}

impl Ethernet {
    /// Gives the card what waits, as far as there is room.
    fn send_waiting(&mut self, counters: &mut Counters) {
        while self.card.has_room()
            && let Some(frame) = self.unsent.pop_front()
        {
            counters.sent(frame.len() - self.card.headroom(), self.card.send(frame));
        }
    }

    /// Tells whether a frame is for this machine, or for many.
    fn is_addressed(&self, frame: &[u8]) -> bool {
        EthernetFrame::new_checked(frame).is_ok_and(|frame| {
            let to = frame.dst_addr();
            to.0 == self.card.mac() || to.is_multicast()
        })
    }
}

impl Counters {
    /// Counts a frame that was sent, or was not.
    fn sent(&mut self, len: usize, is_sent: bool) {
        if is_sent {
            self.tx_packets += 1;
            self.tx_bytes += len as u64;
        } else {
            self.tx_dropped += 1;
        }
    }
}

/// A network interface: a way for packets out of this machine, or back into it.
pub struct Device {
    /// Its name: `lo`, `eth0`.
    pub name: String,
    /// What went through it.
    pub counters: Counters,
    /// Whether it is in use. What arrives at one that is not is forgotten.
    pub is_up: bool,
    /// When [`Device::attend`] was called last.
    now: Instant,
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
            now: Instant::ZERO,
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
        let ethernet = Ethernet {
            card,
            arriving: [Version::V4, Version::V6].map(Reassembly::new),
            unsent: VecDeque::new(),
        };
        Device::new(name, Kind::Card(Box::new(ethernet)))
    }

    /// Returns its address on the link.
    pub fn hardware_address(&self) -> HardwareAddress {
        match &self.kind {
            Kind::Loopback => HardwareAddress::Ip,
            Kind::Card(own) => HardwareAddress::Ethernet(EthernetAddress(own.card.mac())),
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
        if let Kind::Card(own) = &mut self.kind {
            own.card.rearm();
        }
    }

    /// Does what is due: fragments leave that the card had no room for, and those are given up whose rest never came.
    pub fn attend(&mut self, now: Instant) {
        self.now = now;
        if let Kind::Card(own) = &mut self.kind {
            own.send_waiting(&mut self.counters);
            own.arriving
                .iter_mut()
                .for_each(|arriving| arriving.expire(now));
        }
    }

    /// Returns when it is to be attended to again.
    pub fn next_deadline(&self) -> Option<Instant> {
        let Kind::Card(own) = &self.kind else {
            return None;
        };
        // A card does not tell when it has room: it is asked again, without keeping a CPU busy.
        let sending = (!own.unsent.is_empty()).then_some(self.now + ASK_FOR_ROOM);
        let arriving = own.arriving.iter().filter_map(Reassembly::deadline);
        arriving.chain(sending).min()
    }

    /// Returns the packet or frame of a version that comes next.
    pub fn peek(&mut self, version: Version) -> Option<&[u8]> {
        while self.waiting[version as usize].is_empty() {
            let Kind::Card(own) = &mut self.kind else {
                return None;
            };
            let frame = own.card.receive()?;
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
            Sorted::For(version) => match self.assemble(version, frame) {
                Outcome::Whole(frame) => self.wait(version, frame),
                Outcome::Waits => {}
                Outcome::Malformed => self.counters.rx_errors += 1,
            },
            // Nobody here speaks it, as most of what switches tell each other.
            Sorted::Other => {}
            Sorted::Malformed => counters.rx_errors += 1,
        }
    }

    /// Puts a fragment to the others of its packet.
    fn assemble(&mut self, version: Version, frame: Vec<u8>) -> Outcome {
        let Kind::Card(own) = &mut self.kind else {
            return Outcome::Whole(frame);
        };
        let is_arp = EthernetFrame::new_unchecked(&frame).ethertype() == EthernetProtocol::Arp;
        if is_arp || !own.is_addressed(&frame) {
            return Outcome::Whole(frame);
        }
        let len = frame.len();
        match own.arriving[version as usize].add(frame, self.now) {
            // What was in pieces can be looked into only now.
            Outcome::Whole(whole)
                if whole.len() != len && frame::sort(&whole) != Sorted::For(version) =>
            {
                Outcome::Malformed
            }
            outcome => outcome,
        }
    }

    /// Has a frame wait until its version is handled.
    fn wait(&mut self, version: Version, mut frame: Vec<u8>) {
        segment_size::limit(&mut frame, self.mtu());
        let waiting = &mut self.waiting[version as usize];
        if waiting.len() < WAITING_MAX {
            waiting.push_back(frame);
        } else {
            self.counters.rx_dropped += 1;
        }
    }

    /// Tells whether a packet or frame can be sent now.
    pub fn has_room(&mut self) -> bool {
        match &mut self.kind {
            Kind::Loopback => true,
            Kind::Card(own) => {
                own.send_waiting(&mut self.counters);
                own.unsent.is_empty() && own.card.has_room()
            }
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
            Kind::Card(own) => own.card.headroom(),
        };
        let mut packet = vec![0; headroom + len];
        let result = fill(&mut packet[headroom..]);
        if !self.is_up {
            return result;
        }
        let mtu = self.mtu();
        let frames = match &self.kind {
            Kind::Loopback => vec![packet],
            Kind::Card(_) if len <= ETHERNET_HEADER + mtu => {
                segment_size::limit(&mut packet[headroom..], mtu);
                vec![packet]
            }
            Kind::Card(_) => {
                let mut number = [0; 4];
                random::fill(&mut number);
                let number = u32::from_ne_bytes(number);
                fragments::split(&packet, headroom, mtu, version, number)
            }
        };
        for frame in &frames {
            self.show(true, sender, &frame[headroom..]);
            if matches!(self.kind, Kind::Loopback) {
                self.show(false, None, frame);
            }
        }
        let counters = &mut self.counters;
        match &mut self.kind {
            Kind::Loopback => {
                for packet in frames {
                    counters.rx_packets += 1;
                    counters.rx_bytes += packet.len() as u64;
                    counters.sent(packet.len(), true);
                    self.waiting[version as usize].push_back(packet);
                }
            }
            // Nothing overtakes what waits.
            Kind::Card(own) if frames.len() > 1 || !own.unsent.is_empty() => {
                if own.unsent.len() + frames.len() > UNSENT_MAX {
                    counters.tx_dropped += frames.len() as u64;
                } else {
                    own.unsent.extend(frames);
                    own.send_waiting(counters);
                }
            }
            Kind::Card(own) => {
                for frame in frames {
                    counters.sent(frame.len() - headroom, own.card.send(frame));
                }
            }
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
                // What is longer than a frame is cut up when it is sent.
                capabilities.max_transmission_unit = ETHERNET_HEADER + PACKET_MAX;
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
