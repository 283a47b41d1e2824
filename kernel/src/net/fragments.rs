//! Packets in fragments: what is longer than a card's frames is cut up, and what arrives in pieces is put together
//! (RFC 791, 3.2; RFC 8200, 4.5).
//!
//! All of it is about whole frames, Ethernet header included: a packet that is complete is like one that came whole.
#![forbid(unsafe_code)]

use super::device::ETHERNET_HEADER;
use super::link::Version;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv6Packet};

/// What all pieces of one version may take up, with what it costs to keep them; the oldest packet gives way.
const BYTES_MAX: usize = 512 * 1024;
/// How many packets may be incomplete at a time.
const PACKETS_MAX: usize = 256;
/// What a piece counts for beyond its bytes.
const PIECE_OVERHEAD: usize = 128;
/// The longest IPv4 packet, and what an IPv6 header says at most of what follows it.
const LEN_MAX: usize = 65535;
/// Bytes of an IPv6 header, and where in it and in a hop-by-hop header the number of the next one is.
const HEADER_V6: usize = 40;
const NEXT_HEADER_V6: usize = 6;
/// Bytes of an IPv6 fragment header.
const FRAGMENT_HEADER: usize = 8;
/// Every piece but the last is a multiple of this.
const UNIT: usize = 8;

/// What tells packets apart whose pieces are under way. An IPv6 packet has 0 for a protocol: only its first piece is
/// sure to tell which it is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    addresses: Vec<u8>,
    protocol: u8,
    identification: u32,
}

/// One fragment.
#[derive(Debug)]
struct Piece {
    key: Key,
    /// Where it belongs in what the packet carries.
    start: usize,
    is_last: bool,
    /// The frame up to what the packet carries, without a fragment header.
    head: Vec<u8>,
    data: Vec<u8>,
}

/// What a frame of a sound IP header is.
#[derive(Debug)]
enum Kind {
    /// It carries a whole packet.
    Whole,
    Piece(Piece),
    /// It is a piece that belongs nowhere.
    Malformed,
}

/// Where the headers of an IPv6 packet end that routers look at, and where the number of what follows is; both count
/// from the beginning of the packet.
fn per_fragment_headers(packet: &[u8]) -> Option<(usize, usize)> {
    if IpProtocol::from(*packet.get(NEXT_HEADER_V6)?) != IpProtocol::HopByHop {
        return Some((HEADER_V6, NEXT_HEADER_V6));
    }
    let len = 8 * (usize::from(*packet.get(HEADER_V6 + 1)?) + 1);
    Some((HEADER_V6 + len, HEADER_V6))
}

fn look_v4(frame: &[u8]) -> Option<Kind> {
    let packet = Ipv4Packet::new_checked(frame.get(ETHERNET_HEADER..)?).ok()?;
    let start = usize::from(packet.frag_offset());
    if start == 0 && !packet.more_frags() {
        return Some(Kind::Whole);
    }
    let header = usize::from(packet.header_len());
    let piece = Piece {
        key: Key {
            addresses: [packet.src_addr().octets(), packet.dst_addr().octets()].concat(),
            protocol: packet.next_header().into(),
            identification: packet.ident().into(),
        },
        start,
        is_last: !packet.more_frags(),
        head: frame[..ETHERNET_HEADER + header].to_vec(),
        data: packet.payload().to_vec(),
    };
    Some(piece.check(header))
}

fn look_v6(frame: &[u8]) -> Option<Kind> {
    let bytes = frame.get(ETHERNET_HEADER..)?;
    let packet = Ipv6Packet::new_checked(bytes).ok()?;
    let (end, next_at) = per_fragment_headers(bytes)?;
    if IpProtocol::from(*bytes.get(next_at)?) != IpProtocol::Ipv6Frag {
        return Some(Kind::Whole);
    }
    let fragment = bytes.get(end..)?.first_chunk::<FRAGMENT_HEADER>()?;
    let [next, _, high, low, identification @ ..] = *fragment;
    let place = u16::from_be_bytes([high, low]);
    let mut head = frame[..ETHERNET_HEADER + end].to_vec();
    head[ETHERNET_HEADER + next_at] = next;
    let piece = Piece {
        key: Key {
            addresses: [packet.src_addr().octets(), packet.dst_addr().octets()].concat(),
            protocol: 0,
            identification: u32::from_be_bytes(identification),
        },
        start: usize::from(place & !7),
        is_last: place & 1 == 0,
        head,
        data: bytes
            .get(end + FRAGMENT_HEADER..packet.total_len())?
            .to_vec(),
    };
    // The IPv6 header does not count itself.
    Some(piece.check(end - HEADER_V6))
}

impl Piece {
    /// Tells whether it can be a part of a packet with so many bytes of header.
    fn check(self, header: usize) -> Kind {
        let is_sound = !self.data.is_empty()
            && (self.is_last || self.data.len().is_multiple_of(UNIT))
            && header + self.start + self.data.len() <= LEN_MAX;
        if is_sound {
            Kind::Piece(self)
        } else {
            Kind::Malformed
        }
    }

    fn end(&self) -> usize {
        self.start + self.data.len()
    }
}

/// A packet of which pieces have arrived.
struct Incomplete {
    key: Key,
    begun: Instant,
    /// The frame up to what the packet carries, from its first piece.
    head: Option<Vec<u8>>,
    /// The pieces by their places. No two share a byte.
    pieces: BTreeMap<usize, Vec<u8>>,
    /// How many bytes they are.
    len: usize,
    /// How many it carries, once its last piece is there.
    total: Option<usize>,
}

/// What a piece does to the packet that it is of.
enum Effect {
    Fits,
    /// It was there before.
    IsKnown,
    /// It contradicts another.
    Spoils,
}

impl Incomplete {
    fn new(key: Key, begun: Instant) -> Self {
        Incomplete {
            key,
            begun,
            head: None,
            pieces: BTreeMap::new(),
            len: 0,
            total: None,
        }
    }

    fn cost(&self) -> usize {
        self.len + self.pieces.len() * PIECE_OVERHEAD
    }

    fn add(&mut self, piece: Piece) -> Effect {
        let (start, end) = (piece.start, piece.end());
        if self
            .pieces
            .get(&start)
            .is_some_and(|known| *known == piece.data)
        {
            return Effect::IsKnown;
        }
        let before = self.pieces.range(..end).next_back();
        let overlaps = before.is_some_and(|(at, data)| at + data.len() > start);
        let last = self.pieces.last_key_value();
        let known_end = last.map_or(0, |(at, data)| at + data.len());
        let is_past_end = self.total.is_some_and(|total| end > total || piece.is_last);
        if overlaps || is_past_end || piece.is_last && known_end > end {
            return Effect::Spoils;
        }
        if piece.is_last {
            self.total = Some(end);
        }
        if start == 0 {
            self.head = Some(piece.head);
        }
        self.len += piece.data.len();
        self.pieces.insert(start, piece.data);
        Effect::Fits
    }

    /// Returns the whole frame, once all of it is there. As no two pieces share a byte, that is when they are as many
    /// bytes as the packet carries.
    fn finish(&mut self, version: Version) -> Option<Vec<u8>> {
        if self.total != Some(self.len) {
            return None;
        }
        let mut frame = self.head.take()?;
        frame.reserve_exact(self.len);
        self.pieces.values().for_each(|data| frame.extend(data));
        set_len(&mut frame, version);
        if version == Version::V4 {
            let mut packet = Ipv4Packet::new_unchecked(&mut frame[ETHERNET_HEADER..]);
            packet.clear_flags();
            packet.set_frag_offset(0);
            packet.fill_checksum();
        }
        Some(frame)
    }
}

/// Says in a frame's IP header how long its packet is.
fn set_len(frame: &mut [u8], version: Version) {
    let len = frame.len() - ETHERNET_HEADER;
    let bytes = &mut frame[ETHERNET_HEADER..];
    match version {
        Version::V4 => Ipv4Packet::new_unchecked(bytes).set_total_len(len as u16),
        Version::V6 => Ipv6Packet::new_unchecked(bytes).set_payload_len((len - HEADER_V6) as u16),
    }
}

/// What became of a frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its packet is whole; this is the frame of it.
    Whole(Vec<u8>),
    /// It is a piece, and others are not there yet.
    Waits,
    /// It is a piece that makes no sense, alone or beside those before it.
    Malformed,
}

/// The packets of one version that have arrived in part.
pub struct Reassembly {
    version: Version,
    /// How long one waits for the rest.
    patience: Duration,
    /// The oldest first.
    waiting: VecDeque<Incomplete>,
}

impl Reassembly {
    /// Makes one where nothing waits.
    pub fn new(version: Version) -> Self {
        Reassembly {
            version,
            patience: match version {
                // As Linux: `ipfrag_time`, and RFC 8200, 4.5.
                Version::V4 => Duration::from_secs(30),
                Version::V6 => Duration::from_secs(60),
            },
            waiting: VecDeque::new(),
        }
    }

    /// Takes a frame whose IP header is sound.
    ///
    /// A piece that shares bytes with another makes its packet be dropped, with all that has come of it (RFC 5722);
    /// the same piece twice does not.
    pub fn add(&mut self, frame: Vec<u8>, now: Instant) -> Outcome {
        let kind = match self.version {
            Version::V4 => look_v4(&frame),
            Version::V6 => look_v6(&frame),
        };
        let piece = match kind {
            Some(Kind::Whole) => return Outcome::Whole(frame),
            Some(Kind::Piece(piece)) => piece,
            Some(Kind::Malformed) | None => return Outcome::Malformed,
        };
        if piece.start == 0 && piece.is_last {
            // RFC 6946: it is whole, and has nothing to do with others of its number.
            let mut alone = Incomplete::new(piece.key.clone(), now);
            alone.add(piece);
            return alone
                .finish(self.version)
                .map_or(Outcome::Malformed, Outcome::Whole);
        }
        let known = self.waiting.iter().position(|each| each.key == piece.key);
        let at = known.unwrap_or_else(|| {
            self.waiting
                .push_back(Incomplete::new(piece.key.clone(), now));
            self.waiting.len() - 1
        });
        match self.waiting[at].add(piece) {
            Effect::IsKnown => return Outcome::Waits,
            Effect::Spoils => {
                self.waiting.remove(at);
                return Outcome::Malformed;
            }
            Effect::Fits => {}
        }
        if let Some(frame) = self.waiting[at].finish(self.version) {
            self.waiting.remove(at);
            return Outcome::Whole(frame);
        }
        while self.waiting.len() > PACKETS_MAX || self.cost() > BYTES_MAX {
            self.waiting.pop_front();
        }
        Outcome::Waits
    }

    fn cost(&self) -> usize {
        self.waiting.iter().map(Incomplete::cost).sum()
    }

    /// Gives up what has waited too long.
    pub fn expire(&mut self, now: Instant) {
        while self.deadline().is_some_and(|deadline| now >= deadline) {
            self.waiting.pop_front();
        }
    }

    /// Returns when the next packet is given up.
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting
            .front()
            .map(|oldest| oldest.begun + self.patience)
    }
}

/// Cuts a frame of an IP packet, which begins after `headroom` bytes, into frames for packets of `mtu` bytes at most;
/// each begins after as many bytes. `identification` is to be one that nobody can guess (RFC 7739).
pub fn split(
    frame: &[u8],
    headroom: usize,
    mtu: usize,
    version: Version,
    identification: u32,
) -> Vec<Vec<u8>> {
    let frame = &frame[headroom..];
    let packet = &frame[ETHERNET_HEADER..];
    let found = match version {
        Version::V4 => {
            let header = Ipv4Packet::new_checked(packet).map(|packet| packet.header_len());
            header.ok().map(|len| (usize::from(len), 0))
        }
        Version::V6 => per_fragment_headers(packet),
    };
    let Some((header, next_at)) = found.filter(|&(header, _)| header < packet.len()) else {
        return Vec::new();
    };
    let own_header = match version {
        Version::V4 => 0,
        Version::V6 => FRAGMENT_HEADER,
    };
    let most = (mtu - header - own_header) / UNIT * UNIT;
    let data = &packet[header..];
    let mut frames = Vec::new();
    for (index, part) in data.chunks(most).enumerate() {
        let start = index * most;
        let has_more = start + part.len() < data.len();
        let len = ETHERNET_HEADER + header + own_header + part.len();
        let mut piece = Vec::with_capacity(headroom + len);
        piece.resize(headroom, 0);
        piece.extend(&frame[..ETHERNET_HEADER + header]);
        if version == Version::V6 {
            let place = start as u16 | u16::from(has_more);
            piece.extend([packet[next_at], 0]);
            piece.extend(place.to_be_bytes());
            piece.extend(identification.to_be_bytes());
            piece[headroom + ETHERNET_HEADER + next_at] = IpProtocol::Ipv6Frag.into();
        }
        piece.extend(part);
        let bytes = &mut piece[headroom..];
        set_len(bytes, version);
        if version == Version::V4 {
            let mut packet = Ipv4Packet::new_unchecked(&mut bytes[ETHERNET_HEADER..]);
            packet.set_ident(identification as u16);
            packet.clear_flags();
            packet.set_more_frags(has_more);
            packet.set_frag_offset(start as u16);
            packet.fill_checksum();
        }
        frames.push(piece);
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::frame::{self, Sorted};
    use proptest::prelude::*;
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{IpAddress, UdpPacket, UdpRepr};

    const MTU: usize = 1500;

    /// A frame with a datagram of so many bytes; with a hop-by-hop header if that is asked for.
    fn datagram(version: Version, len: usize, has_options: bool) -> Vec<u8> {
        let checked = ChecksumCapabilities::default();
        let (from, to, header) = match version {
            Version::V4 => (IpAddress::v4(10, 0, 0, 1), IpAddress::v4(10, 0, 0, 2), 20),
            Version::V6 => (
                IpAddress::v6(0xfd00, 0, 0, 0, 0, 0, 0, 1),
                IpAddress::v6(0xfd00, 0, 0, 0, 0, 0, 0, 2),
                if has_options { 48 } else { 40 },
            ),
        };
        let mut frame = vec![0; ETHERNET_HEADER + header + 8 + len];
        frame[12..14].copy_from_slice(match version {
            Version::V4 => &[8, 0],
            Version::V6 => &[0x86, 0xdd],
        });
        let packet = &mut frame[ETHERNET_HEADER..];
        match (from, to) {
            (IpAddress::Ipv4(from), IpAddress::Ipv4(to)) => {
                let mut ip = Ipv4Packet::new_unchecked(&mut packet[..]);
                ip.set_version(4);
                ip.set_header_len(20);
                ip.set_total_len((28 + len) as u16);
                ip.set_hop_limit(64);
                ip.set_next_header(IpProtocol::Udp);
                ip.set_src_addr(from);
                ip.set_dst_addr(to);
                ip.fill_checksum();
            }
            (IpAddress::Ipv6(from), IpAddress::Ipv6(to)) => {
                let mut ip = Ipv6Packet::new_unchecked(&mut packet[..]);
                ip.set_version(6);
                ip.set_payload_len((header - 40 + 8 + len) as u16);
                ip.set_hop_limit(64);
                ip.set_src_addr(from);
                ip.set_dst_addr(to);
                if has_options {
                    ip.set_next_header(IpProtocol::HopByHop);
                    // A padding option as long as the header (RFC 8200, 4.2).
                    packet[40..48].copy_from_slice(&[17, 0, 1, 4, 0, 0, 0, 0]);
                } else {
                    ip.set_next_header(IpProtocol::Udp);
                }
            }
            _ => unreachable!(),
        }
        let ports = UdpRepr {
            src_port: 1,
            dst_port: 2,
        };
        let fill = |bytes: &mut [u8]| {
            for (index, byte) in bytes.iter_mut().enumerate() {
                *byte = (index * 31 / 8) as u8;
            }
        };
        let udp = &mut UdpPacket::new_unchecked(&mut packet[header..]);
        ports.emit(udp, &from, &to, len, fill, &checked);
        frame
    }

    fn at(seconds: i64) -> Instant {
        Instant::from_secs(seconds)
    }

    /// Adds pieces; returns the last outcome.
    fn add_all<'a>(to: &mut Reassembly, pieces: impl IntoIterator<Item = &'a Vec<u8>>) -> Outcome {
        let mut last = Outcome::Waits;
        for piece in pieces {
            last = to.add(piece.clone(), at(1));
        }
        last
    }

    const VERSIONS: [Version; 2] = [Version::V4, Version::V6];

    #[test]
    fn the_pieces_are_as_long_as_frames_may_be() {
        for (version, most) in [(Version::V4, 1480), (Version::V6, 1448)] {
            let whole = datagram(version, 65000, false);
            let pieces = split(&whole, 0, MTU, version, 7);
            assert_eq!(pieces.len(), 65008usize.div_ceil(most));
            for piece in &pieces {
                assert!(piece.len() <= ETHERNET_HEADER + MTU);
                assert_eq!(frame::sort(piece), Sorted::For(version));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn what_is_cut_up_is_whole_again_in_any_order(
            len in 1500usize..65000,
            mtu in 576usize..=1500,
            is_v6: bool,
            has_options: bool,
            seed in proptest::collection::vec(0usize..1000, 120),
        ) {
            let version = VERSIONS[usize::from(is_v6)];
            let whole = datagram(version, len, has_options);
            let mut framed = vec![9; 12];
            framed.extend(&whole);
            let mut pieces = split(&framed, 12, mtu, version, 0x12345678);
            for (index, other) in seed.iter().enumerate() {
                let count = pieces.len();
                pieces.swap(index % count, other % count);
            }
            let mut reassembly = Reassembly::new(version);
            for (index, piece) in pieces.iter().enumerate() {
                let piece = piece[12..].to_vec();
                // Twice is no harm.
                if index + 1 < pieces.len() {
                    prop_assert_eq!(reassembly.add(piece.clone(), at(1)), Outcome::Waits);
                    prop_assert_eq!(reassembly.add(piece, at(1)), Outcome::Waits);
                } else if let Outcome::Whole(mut found) = reassembly.add(piece, at(1)) {
                    prop_assert_eq!(frame::sort(&found), Sorted::For(version));
                    if version == Version::V4 {
                        // The header is another in its number and its checksum.
                        found[18..20].copy_from_slice(&whole[18..20]);
                        found[24..26].copy_from_slice(&whole[24..26]);
                    }
                    prop_assert_eq!(&found, &whole);
                } else {
                    prop_assert!(false, "the last piece makes it whole");
                }
            }
            prop_assert_eq!(reassembly.cost(), 0);
        }

        #[test]
        fn whatever_arrives_is_bounded(
            pieces in proptest::collection::vec((0u16..8192, 1usize..40, 0u16..2000, any::<bool>()), 1..3000),
        ) {
            let mut reassembly = Reassembly::new(Version::V4);
            for (start, units, number, has_more) in pieces {
                let mut frame = datagram(Version::V4, units * 8 - 8, false);
                let mut packet = Ipv4Packet::new_unchecked(&mut frame[ETHERNET_HEADER..]);
                packet.set_ident(number);
                packet.set_more_frags(has_more);
                packet.set_frag_offset(start << 3);
                packet.fill_checksum();
                reassembly.add(frame, at(1));
                prop_assert!(reassembly.waiting.len() <= PACKETS_MAX);
                prop_assert!(reassembly.cost() <= BYTES_MAX);
            }
        }
    }

    #[test]
    fn pieces_that_lie_over_each_other_spoil_their_packet() {
        for version in VERSIONS {
            let whole = datagram(version, 4000, false);
            // Cut at other places.
            let pieces = split(&whole, 0, MTU, version, 7);
            let others = split(&whole, 0, 1000, version, 7);
            let mut reassembly = Reassembly::new(version);
            assert_eq!(add_all(&mut reassembly, &pieces[..2]), Outcome::Waits);
            assert_eq!(add_all(&mut reassembly, &others[1..2]), Outcome::Malformed);
            assert_eq!(reassembly.waiting.len(), 0);
            // Nothing is left that its last piece could make whole.
            assert_eq!(add_all(&mut reassembly, &pieces[2..]), Outcome::Waits);
            // The same place with other bytes.
            let mut reassembly = Reassembly::new(version);
            let mut other = pieces[0].clone();
            *other.last_mut().unwrap() ^= 1;
            assert_eq!(
                add_all(&mut reassembly, [&pieces[0], &other]),
                Outcome::Malformed
            );
        }
    }

    #[test]
    fn two_ends_and_what_is_past_the_end_spoil_it_too() {
        let longer = split(&datagram(Version::V4, 4000, false), 0, MTU, Version::V4, 7);
        let shorter = split(&datagram(Version::V4, 2000, false), 0, MTU, Version::V4, 7);
        for pieces in [[&longer[2], &shorter[1]], [&shorter[1], &longer[2]]] {
            let mut reassembly = Reassembly::new(Version::V4);
            assert_eq!(add_all(&mut reassembly, pieces), Outcome::Malformed);
        }
    }

    #[test]
    fn a_piece_that_belongs_nowhere_is_malformed() {
        for version in VERSIONS {
            let place = |start: u16, has_more: bool, len: usize| {
                let mut frame =
                    split(&datagram(version, 4000, false), 0, MTU, version, 7).remove(1);
                let header = if version == Version::V4 { 20 } else { 48 };
                frame.resize(ETHERNET_HEADER + header + len, 0);
                set_len(&mut frame, version);
                let word = match version {
                    Version::V4 => start | u16::from(has_more) << 13,
                    Version::V6 => start << 3 | u16::from(has_more),
                };
                let word_at = ETHERNET_HEADER + if version == Version::V4 { 6 } else { 42 };
                frame[word_at..word_at + 2].copy_from_slice(&word.to_be_bytes());
                Reassembly::new(version).add(frame, at(1))
            };
            assert_eq!(place(1, true, 8), Outcome::Waits);
            assert_eq!(place(1, true, 9), Outcome::Malformed, "not in units of 8");
            assert_eq!(place(1, true, 0), Outcome::Malformed, "nothing in it");
            assert_eq!(place(8191, false, 8), Outcome::Malformed, "past 64 KiB");
            assert!(matches!(place(0, false, 9), Outcome::Whole(_)), "all of it");
        }
    }

    #[test]
    fn what_is_never_completed_is_given_up() {
        for (version, patience) in [(Version::V4, 30), (Version::V6, 60)] {
            let pieces = split(&datagram(version, 4000, false), 0, MTU, version, 7);
            let mut reassembly = Reassembly::new(version);
            assert_eq!(reassembly.deadline(), None);
            add_all(&mut reassembly, &pieces[..2]);
            assert_eq!(reassembly.deadline(), Some(at(1 + patience)));
            reassembly.expire(at(patience));
            assert_eq!(reassembly.waiting.len(), 1);
            reassembly.expire(at(1 + patience));
            assert_eq!(reassembly.waiting.len(), 0);
            assert_eq!(add_all(&mut reassembly, &pieces[2..]), Outcome::Waits);
        }
    }

    #[test]
    fn packets_are_told_apart_by_addresses_protocol_and_number() {
        let pieces = split(&datagram(Version::V4, 2000, false), 0, MTU, Version::V4, 7);
        for byte in [5, 9, 15, 19] {
            let mut reassembly = Reassembly::new(Version::V4);
            let mut other = pieces[1].clone();
            other[ETHERNET_HEADER + byte] ^= 1;
            Ipv4Packet::new_unchecked(&mut other[ETHERNET_HEADER..]).fill_checksum();
            assert_eq!(
                add_all(&mut reassembly, [&pieces[0], &other]),
                Outcome::Waits
            );
            assert_eq!(reassembly.waiting.len(), 2);
        }
    }
}
