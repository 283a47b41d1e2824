//! Cards, on the host: a card that tests feed, and what the links over it do.

use super::device::{Card, Counters, Device};
use super::link::{self, LO_V4, Link};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress,
    EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv6Packet, Icmpv6Repr, IpAddress, IpCidr,
    IpProtocol, Ipv4Address, Ipv4Cidr, Ipv4Packet, Ipv4Repr, Ipv6Address, Ipv6Packet, Ipv6Repr,
    NdiscPrefixInfoFlags, NdiscPrefixInformation, NdiscRepr, NdiscRouterFlags, UdpPacket, UdpRepr,
};
use std::sync::Mutex;

const MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 1]);
const ROUTER_MAC: EthernetAddress = EthernetAddress([2, 0, 0, 0, 0, 2]);
const ROUTER: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
const OURS: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);
const NAME_SERVER: Ipv4Address = Ipv4Address::new(10, 0, 2, 3);
const LEASE: u64 = 100;

/// The network at the other end of a card's wire.
#[derive(Clone, Default)]
pub struct Wire(Arc<Mutex<Frames>>);

#[derive(Default)]
struct Frames {
    arriving: VecDeque<Vec<u8>>,
    sent: VecDeque<Vec<u8>>,
}

impl Wire {
    /// Has a frame arrive at the card.
    pub fn deliver(&self, frame: Vec<u8>) {
        self.0.lock().unwrap().arriving.push_back(frame);
    }

    /// Takes a frame that the card has sent.
    pub fn take(&self) -> Option<Vec<u8>> {
        self.0.lock().unwrap().sent.pop_front()
    }
}

impl Card for Wire {
    fn rearm(&mut self) {}

    fn mac(&self) -> [u8; 6] {
        MAC.0
    }

    fn headroom(&self) -> usize {
        12
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        self.0.lock().unwrap().arriving.pop_front()
    }

    fn has_room(&mut self) -> bool {
        true
    }

    fn send(&mut self, frame: Vec<u8>) -> bool {
        self.0.lock().unwrap().sent.push_back(frame[12..].to_vec());
        true
    }
}

/// A machine of `lo` and one card, without sockets.
struct Machine {
    devices: Vec<Device>,
    links: Vec<Link>,
    wire: Wire,
}

/// What a machine on the network answers.
type Answer<'a> = &'a mut dyn FnMut(&[u8]) -> Option<Vec<u8>>;

impl Machine {
    fn new() -> Self {
        let wire = Wire::default();
        let mut lo = Device::loopback();
        let mut links: Vec<Link> = Link::loopbacks(&mut lo, 1).into();
        let mut card = Device::ethernet("eth0".into(), Box::new(wire.clone()));
        links.extend(Link::of_card(1, &mut card, 2));
        Machine {
            devices: vec![lo, card],
            links,
            wire,
        }
    }

    fn counters(&self) -> Counters {
        self.devices[1].counters
    }

    /// Runs the card's links until nothing is left to do at this time.
    fn run(&mut self, now: Instant, answer: Answer) {
        loop {
            let mut is_busy = false;
            for link in &mut self.links[2..] {
                while link.receive_one(&mut self.devices, now) {}
                is_busy |= link.send(&mut self.devices, now);
                link.configure("eth0", now);
            }
            while let Some(frame) = self.wire.take() {
                if let Some(frame) = answer(&frame) {
                    self.wire.deliver(frame);
                    is_busy = true;
                }
            }
            if !is_busy {
                return;
            }
        }
    }

    fn addresses(&self) -> Vec<IpCidr> {
        self.links[2].addresses().to_vec()
    }
}

fn at(seconds: u64) -> Instant {
    Instant::from_secs(seconds as i64)
}

fn ethernet(protocol: EthernetProtocol, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 14 + payload.len()];
    let repr = EthernetRepr {
        src_addr: ROUTER_MAC,
        dst_addr: MAC,
        ethertype: protocol,
    };
    repr.emit(&mut EthernetFrame::new_unchecked(&mut frame));
    frame[14..].copy_from_slice(payload);
    frame
}

/// Makes an Ethernet frame with a datagram from the router.
fn datagram(
    to: Ipv4Address,
    ports: (u16, u16),
    len: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let checked = ChecksumCapabilities::default();
    let header = Ipv4Repr {
        src_addr: ROUTER,
        dst_addr: to,
        next_header: IpProtocol::Udp,
        payload_len: 8 + len,
        hop_limit: 64,
    };
    let mut bytes = vec![0; 28 + len];
    header.emit(&mut Ipv4Packet::new_unchecked(&mut bytes), &checked);
    let udp = UdpRepr {
        src_port: ports.0,
        dst_port: ports.1,
    };
    udp.emit(
        &mut UdpPacket::new_unchecked(&mut bytes[20..]),
        &ROUTER.into(),
        &to.into(),
        len,
        fill,
        &checked,
    );
    ethernet(EthernetProtocol::Ipv4, &bytes)
}

/// Answers as a router with a DHCP server does; notes what it was asked.
fn serve(frame: &[u8], asked: &mut Vec<DhcpMessageType>) -> Option<Vec<u8>> {
    let frame = EthernetFrame::new_checked(frame).unwrap();
    if frame.ethertype() == EthernetProtocol::Arp {
        let packet = ArpPacket::new_checked(frame.payload()).unwrap();
        let ArpRepr::EthernetIpv4 {
            source_hardware_addr,
            source_protocol_addr,
            target_protocol_addr,
            ..
        } = ArpRepr::parse(&packet).unwrap()
        else {
            return None;
        };
        assert_eq!(target_protocol_addr, ROUTER);
        let reply = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr: ROUTER_MAC,
            source_protocol_addr: ROUTER,
            target_hardware_addr: source_hardware_addr,
            target_protocol_addr: source_protocol_addr,
        };
        let mut bytes = vec![0; reply.buffer_len()];
        reply.emit(&mut ArpPacket::new_unchecked(&mut bytes));
        return Some(ethernet(EthernetProtocol::Arp, &bytes));
    }
    let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
    let udp = UdpPacket::new_checked(packet.payload()).unwrap();
    assert_eq!(udp.dst_port(), 67);
    let message = DhcpPacket::new_checked(udp.payload()).unwrap();
    let question = DhcpRepr::parse(&message).unwrap();
    asked.push(question.message_type);
    let answer = DhcpRepr {
        message_type: match question.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            _ => DhcpMessageType::Ack,
        },
        transaction_id: question.transaction_id,
        secs: 0,
        client_hardware_address: MAC,
        client_ip: Ipv4Address::UNSPECIFIED,
        your_ip: OURS,
        server_ip: ROUTER,
        router: Some(ROUTER),
        subnet_mask: Some(Ipv4Address::new(255, 255, 255, 0)),
        relay_agent_ip: Ipv4Address::UNSPECIFIED,
        broadcast: false,
        requested_ip: None,
        client_identifier: None,
        server_identifier: Some(ROUTER),
        parameter_request_list: None,
        dns_servers: Some([NAME_SERVER].into_iter().collect()),
        max_size: None,
        lease_duration: Some(LEASE as u32),
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
    };
    let fill = |bytes: &mut [u8]| answer.emit(&mut DhcpPacket::new_unchecked(bytes)).unwrap();
    Some(datagram(OURS, (67, 68), answer.buffer_len(), fill))
}

#[test]
fn a_lease_is_had_renewed_and_lost() {
    let mut machine = Machine::new();
    let mut asked = Vec::new();
    machine.run(at(1), &mut |frame| serve(frame, &mut asked));
    let ours = IpCidr::Ipv4(Ipv4Cidr::new(OURS, 24));
    assert_eq!(machine.addresses(), [ours]);
    assert_eq!(machine.links[2].router(), Some(ROUTER.into()));
    let lease = machine.links[2].lease().unwrap().clone();
    assert_eq!(lease.expires, at(1 + LEASE));
    assert_eq!(lease.name_servers, [NAME_SERVER]);

    // At half of its time it is renewed, and by nobody but who gave it.
    let due = machine.links[2].next_deadline(at(2)).unwrap();
    assert_eq!(due, at(1 + LEASE / 2));
    asked.clear();
    machine.run(due, &mut |frame| serve(frame, &mut asked));
    assert_eq!(asked, [DhcpMessageType::Request]);
    let renewed = machine.links[2].lease().unwrap().clone();
    assert_eq!(renewed.expires, due + Duration::from_secs(LEASE));
    assert_eq!(renewed.address, lease.address);

    // Nobody answers any more: what was leased is given up when its time is over, and asked for again.
    let mut now = due;
    while now < renewed.expires {
        now = machine.links[2].next_deadline(now).unwrap().max(now);
        machine.run(now, &mut |_| None);
        now += Duration::from_millis(1);
    }
    assert_eq!(machine.addresses(), []);
    assert_eq!(machine.links[2].router(), None);
    asked.clear();
    machine.run(now + Duration::from_secs(20), &mut |frame| {
        serve(frame, &mut asked)
    });
    assert_eq!(asked, [DhcpMessageType::Discover, DhcpMessageType::Request]);
    assert_eq!(machine.addresses(), [ours]);
}

#[test]
fn what_is_set_by_hand_stays_and_a_stopped_client_keeps_its_address() {
    let mut machine = Machine::new();
    machine.run(at(1), &mut |frame| serve(frame, &mut Vec::new()));
    let leased = machine.addresses();
    machine.links[2].ask_for_address(false);
    machine.run(at(1000), &mut |frame| {
        let frame = EthernetFrame::new_checked(frame).unwrap();
        let is_v6 = frame.ethertype() == EthernetProtocol::Ipv6;
        assert!(is_v6, "over IPv4 it asks for nothing");
        None
    });
    assert_eq!(machine.addresses(), leased);
    assert_eq!(machine.links[2].lease(), None);
    let own = IpCidr::new(IpAddress::v4(192, 0, 2, 1), 28);
    machine.links[2].set_addresses(&[own]);
    machine.links[2].set_router(Some(IpAddress::v4(192, 0, 2, 2)));
    machine.links[2].ask_for_address(true);
    machine.run(at(1001), &mut |frame| serve(frame, &mut Vec::new()));
    assert_eq!(machine.addresses(), [leased[0], own]);
}

#[test]
fn the_nearest_network_leads_there_and_else_the_first_router() {
    let mut machine = Machine::new();
    let mut second = Device::ethernet("eth1".into(), Box::new(Wire::default()));
    machine.links.extend(Link::of_card(2, &mut second, 3));
    let v4 = |a, b, c, d| IpAddress::v4(a, b, c, d);
    machine.links[2].set_addresses(&[IpCidr::new(v4(10, 0, 0, 1), 8)]);
    machine.links[4].set_addresses(&[IpCidr::new(v4(10, 1, 0, 1), 16)]);
    let route = |machine: &Machine, to| link::route(&machine.links, to);
    assert_eq!(route(&machine, v4(10, 2, 0, 9)), Some((2, v4(10, 0, 0, 1))));
    assert_eq!(route(&machine, v4(10, 1, 0, 9)), Some((4, v4(10, 1, 0, 1))));
    assert_eq!(route(&machine, v4(192, 0, 2, 1)), None);
    assert_eq!(
        route(&machine, v4(10, 1, 0, 1)),
        Some((LO_V4, v4(10, 1, 0, 1)))
    );
    machine.links[4].set_router(Some(v4(10, 1, 0, 2)));
    assert_eq!(
        route(&machine, v4(192, 0, 2, 1)),
        Some((4, v4(10, 1, 0, 1)))
    );
    machine.links[2].set_router(Some(v4(10, 0, 0, 2)));
    assert_eq!(
        route(&machine, v4(192, 0, 2, 1)),
        Some((2, v4(10, 0, 0, 1)))
    );
    machine.links[2].is_up = false;
    assert_eq!(route(&machine, v4(10, 2, 0, 9)), Some((4, v4(10, 1, 0, 1))));
}

#[test]
fn the_senseless_is_counted_and_dropped() {
    let mut machine = Machine::new();
    let sound = datagram(OURS, (9, 9), 4, |bytes| bytes.fill(7));
    let spoilt = |at: usize| {
        let mut frame = sound.clone();
        frame[at] ^= 1;
        frame
    };
    let martian = datagram(Ipv4Address::LOCALHOST, (9, 9), 4, |bytes| bytes.fill(7));
    let wrong: Vec<Vec<u8>> = vec![
        sound[..13].to_vec(),      // not even an Ethernet header
        sound[..14 + 19].to_vec(), // the IP header cut short
        sound[..14 + 27].to_vec(), // shorter than its IP header says
        spoilt(14),                // no version 4
        spoilt(14 + 10),           // the header's checksum
        spoilt(14 + 20 + 6),       // the datagram's checksum
        spoilt(14 + 31),           // its last byte
        martian,
        Vec::new(),
    ];
    let count = wrong.len() as u64;
    wrong
        .into_iter()
        .for_each(|frame| machine.wire.deliver(frame));
    machine.wire.deliver(sound.clone());
    machine
        .wire
        .deliver(ethernet(EthernetProtocol::Unknown(0x88cc), &[0; 46]));
    let now = at(1);
    machine.run(now, &mut |_| None);
    let counters = machine.counters();
    assert_eq!(counters.rx_errors, count);
    assert_eq!(counters.rx_packets, count + 2);
    assert!(counters.rx_bytes > 2 * sound.len() as u64);
}

proptest::proptest! {
    #[test]
    fn no_frame_whatever_is_in_it_does_harm(
        len in 0usize..128,
        kind in proptest::sample::select(vec![0x0800u16, 0x0806, 0x86dd, 0x88cc]),
        seed in proptest::collection::vec(0u8..=255, 128),
    ) {
        let mut machine = Machine::new();
        machine.links[2].set_addresses(&[IpCidr::Ipv4(Ipv4Cidr::new(OURS, 24))]);
        let mut frame = ethernet(EthernetProtocol::from(kind), &seed[..len]);
        // With a sound beginning it gets further.
        if len > 0 {
            frame[14] = if kind == 0x86dd { 0x60 } else { 0x45 };
        }
        machine.wire.deliver(frame);
        machine.run(at(1), &mut |_| None);
        proptest::prop_assert_eq!(machine.counters().rx_packets, 1);
    }
}

/// Makes a router's advertisement of a network.
fn advertisement(from: Ipv6Address, lifetime: u64, valid: u64) -> Vec<u8> {
    let checked = ChecksumCapabilities::default();
    let to = Ipv6Address::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let message = Icmpv6Repr::Ndisc(NdiscRepr::RouterAdvert {
        hop_limit: 64,
        flags: NdiscRouterFlags::empty(),
        router_lifetime: Duration::from_secs(lifetime),
        reachable_time: Duration::ZERO,
        retrans_time: Duration::ZERO,
        lladdr: Some(ROUTER_MAC.into()),
        mtu: None,
        prefix_info: Some(NdiscPrefixInformation {
            prefix_len: 64,
            flags: NdiscPrefixInfoFlags::ADDRCONF | NdiscPrefixInfoFlags::ON_LINK,
            valid_lifetime: Duration::from_secs(valid),
            preferred_lifetime: Duration::from_secs(valid),
            prefix: Ipv6Address::new(0xfec0, 0, 0, 0, 0, 0, 0, 0),
        }),
    });
    let header = Ipv6Repr {
        src_addr: from,
        dst_addr: to,
        next_header: IpProtocol::Icmpv6,
        payload_len: message.buffer_len(),
        hop_limit: 255,
    };
    let mut bytes = vec![0; 40 + message.buffer_len()];
    header.emit(&mut Ipv6Packet::new_unchecked(&mut bytes));
    message.emit(
        &from,
        &to,
        &mut Icmpv6Packet::new_unchecked(&mut bytes[40..]),
        &checked,
    );
    ethernet(EthernetProtocol::Ipv6, &bytes)
}

#[test]
fn routers_are_asked_for_and_what_they_tell_lasts_as_long_as_they_say() {
    let mut machine = Machine::new();
    let mut asked = 0;
    let mut count = |frame: &[u8]| {
        let frame = EthernetFrame::new_checked(frame).unwrap();
        asked += usize::from(frame.ethertype() == EthernetProtocol::Ipv6);
        None
    };
    for seconds in 1..30 {
        machine.run(at(seconds), &mut count);
    }
    assert_eq!(asked, 3);
    assert_eq!(
        machine.links[3].next_deadline(at(30)),
        None,
        "it has given up"
    );
    let router = Ipv6Address::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
    let far = Ipv6Address::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
    let alone = machine.links[3].addresses().to_vec();
    machine.wire.deliver(advertisement(far, 1800, 3600));
    machine.run(at(30), &mut |_| None);
    assert_eq!(
        machine.links[3].addresses(),
        alone,
        "it comes from another network"
    );
    machine.wire.deliver(advertisement(router, 1800, 3600));
    machine.run(at(30), &mut |_| None);
    let own = IpAddress::v6(0xfec0, 0, 0, 0, 0, 0xff, 0xfe00, 1);
    assert_eq!(
        machine.links[3].addresses(),
        [IpCidr::new(own, 64), alone[0]]
    );
    assert_eq!(machine.links[3].router(), Some(router.into()));
    let outside = IpAddress::v6(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9);
    assert_eq!(link::route(&machine.links, outside), Some((3, own)));
    assert_eq!(machine.links[3].next_deadline(at(31)), Some(at(30 + 1800)));
    machine.run(at(30 + 1800), &mut |_| None);
    assert_eq!(machine.links[3].router(), None);
    machine.run(at(30 + 3600), &mut |_| None);
    assert_eq!(machine.links[3].addresses(), alone);
}
