//! Virtio network cards (Virtual I/O Device specification 1.2, 5.1).
//!
//! The stack owns a card and calls it under its lock. An interrupt says only that something has
//! arrived: it wakes the network's thread. Nothing interrupts when a frame has been sent; its buffer is
//! taken back before the next one goes.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use virtio_drivers::device::net::VirtIONetRaw;
use virtio_drivers::transport::SomeTransport;

use super::dma::Machine;
use super::virtio::{Device, Interrupt};
use crate::log;
use crate::net::device::Card;
use crate::net::{stack, timers};

/// Frames that may wait in each direction. More would make the driver too big for a kernel stack, on which it
/// comes into being.
const QUEUE: usize = 32;
/// Index of the queue of received frames.
const RECEIVE: u16 = 0;
/// An Ethernet frame with the device's header, rounded up.
const BUFFER: usize = 2048;
/// Bytes of the longest header that a device wants in front of each frame.
const HEADER_MAX: usize = 12;

type Raw = VirtIONetRaw<Machine, SomeTransport<'static>, QUEUE>;

struct VirtioCard {
    raw: Box<Raw>,
    /// The buffers that the device has, by its number for each.
    receiving: Vec<Option<Box<[u8]>>>,
    sending: Vec<Option<Vec<u8>>>,
    interrupt: Interrupt,
    /// Bytes of the header that the device wants in front of each frame; those from before version 1 of the
    /// specification want fewer.
    header: usize,
}

/// Takes the cards into use.
pub fn start(device: Device) {
    let name = alloc::format!("{device}");
    let Some(interrupt) = device.interrupt("network", timers::wake) else {
        log::error!("kernel.drivers", "{name}: no interrupt for it");
        return;
    };
    let Some(transport) = device.open() else {
        return;
    };
    let raw = match Raw::new(transport).map(Box::new) {
        Ok(raw) => raw,
        Err(error) => {
            log::warn!("kernel.drivers", "{name}: {error}");
            return;
        }
    };
    let Ok(header) = raw.fill_buffer_header(&mut [0; HEADER_MAX]) else {
        log::error!("kernel.drivers", "{name}: its header is not known");
        return;
    };
    let mut card = VirtioCard {
        raw,
        header,
        receiving: vec![None; QUEUE],
        sending: vec![None; QUEUE],
        interrupt,
    };
    for _ in 0..QUEUE {
        card.offer(vec![0; BUFFER].into_boxed_slice());
    }
    card.interrupt.enable(RECEIVE);
    stack::with(|stack| stack.add_card(Box::new(card)));
}

impl VirtioCard {
    /// Gives the device a buffer to receive into.
    fn offer(&mut self, mut buffer: Box<[u8]>) {
        // SAFETY: the buffer is kept, untouched, until the device has given it back.
        match unsafe { self.raw.receive_begin(&mut buffer) } {
            Ok(token) => self.receiving[usize::from(token)] = Some(buffer),
            Err(error) => log::warn!("kernel.drivers", "a network card takes no buffer: {error}"),
        }
    }

    /// Takes back what has been sent.
    fn reclaim(&mut self) {
        while let Some(token) = self.raw.poll_transmit() {
            let Some(frame) = self.sending[usize::from(token)].take() else {
                return;
            };
            // SAFETY: the buffer that began with this token.
            let _ = unsafe { self.raw.transmit_complete(token, &frame) };
        }
    }
}

impl Card for VirtioCard {
    fn rearm(&mut self) {
        self.raw.ack_interrupt();
        self.interrupt.rearm();
    }

    fn mac(&self) -> [u8; 6] {
        self.raw.mac_address()
    }

    fn headroom(&self) -> usize {
        self.header
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        let token = self.raw.poll_receive()?;
        let mut buffer = self.receiving[usize::from(token)].take()?;
        // SAFETY: the buffer that began with this token.
        let lengths = unsafe { self.raw.receive_complete(token, &mut buffer) };
        let frame = match lengths {
            Ok((header, len)) => buffer.get(header..header + len).map(<[u8]>::to_vec),
            Err(_) => None,
        };
        self.offer(buffer);
        // An empty frame stands for one that made no sense: the stack drops it.
        Some(frame.unwrap_or_default())
    }

    fn has_room(&mut self) -> bool {
        self.reclaim();
        self.raw.can_send()
    }

    fn send(&mut self, mut frame: Vec<u8>) -> bool {
        self.reclaim();
        if self.raw.fill_buffer_header(&mut frame) != Ok(self.header) {
            return false;
        }
        // SAFETY: the frame is kept, untouched, until the device has given it back.
        let Ok(token) = (unsafe { self.raw.transmit_begin(&frame) }) else {
            return false;
        };
        self.sending[usize::from(token)] = Some(frame);
        true
    }
}
