//! What packets travel through, as smoltcp sees it: the memory of `lo`, or a network card.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use smoltcp::phy::{self, ChecksumCapabilities, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

/// The longest packet on `lo`, IP header included.
pub const LOOPBACK_MTU: usize = 65535;
/// The longest packet on Ethernet (IEEE 802.3), IP header included.
pub const ETHERNET_MTU: usize = 1500;
/// Bytes of an Ethernet header.
const ETHERNET_HEADER: usize = 14;

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

    /// Sends a frame, which begins after the headroom. Where there is no room it is lost.
    fn send(&mut self, frame: Vec<u8>);
}

/// A way for packets out of this machine, or back into it.
pub enum Device {
    /// The queue that a packet sent over `lo` comes back from. It is the kernel's memory: nothing is
    /// lost, so nothing needs a checksum.
    Loopback(VecDeque<Vec<u8>>),
    /// A card, and the frame that came from it and that nobody has taken yet.
    Card(Box<dyn Card>, Option<Vec<u8>>),
}

impl Device {
    /// Returns the packet or frame that comes next.
    pub fn peek(&mut self) -> Option<&[u8]> {
        match self {
            Device::Loopback(queue) => queue.front().map(Vec::as_slice),
            Device::Card(card, next) => {
                if next.is_none() {
                    *next = card.receive();
                }
                next.as_deref()
            }
        }
    }

    /// Takes the packet or frame that comes next.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        match self {
            Device::Loopback(queue) => queue.pop_front(),
            Device::Card(card, next) => next.take().or_else(|| card.receive()),
        }
    }
}

/// A packet that has arrived.
pub struct Arrived(Vec<u8>);

impl RxToken for Arrived {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

/// The right to send a packet.
pub struct Departing<'a>(&'a mut Device);

impl TxToken for Departing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        match self.0 {
            Device::Loopback(queue) => {
                let mut packet = vec![0; len];
                let result = f(&mut packet);
                queue.push_back(packet);
                result
            }
            Device::Card(card, _) => {
                let headroom = card.headroom();
                let mut frame = vec![0; headroom + len];
                let result = f(&mut frame[headroom..]);
                card.send(frame);
                result
            }
        }
    }
}

impl phy::Device for Device {
    type RxToken<'a> = Arrived;
    type TxToken<'a> = Departing<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Arrived, Departing<'_>)> {
        let packet = self.take()?;
        Some((Arrived(packet), Departing(self)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Departing<'_>> {
        let has_room = match self {
            Device::Loopback(_) => true,
            Device::Card(card, _) => card.has_room(),
        };
        has_room.then_some(Departing(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        match self {
            Device::Loopback(_) => {
                capabilities.medium = Medium::Ip;
                capabilities.max_transmission_unit = LOOPBACK_MTU;
                capabilities.checksum = ChecksumCapabilities::ignored();
            }
            Device::Card(..) => {
                capabilities.medium = Medium::Ethernet;
                capabilities.max_transmission_unit = ETHERNET_HEADER + ETHERNET_MTU;
            }
        }
        capabilities
    }
}
