//! The segments of TCP over a card. smoltcp is told that a card carries the longest packet there is, so that datagrams
//! come out whole and are cut up here ([`super::fragments`]); TCP would take that for the size of its segments.
#![forbid(unsafe_code)]

use super::device::ETHERNET_HEADER;
use super::header::Header;
use smoltcp::wire::{IpProtocol, TcpPacket};

/// Numbers of TCP's options (RFC 9293, 3.2).
const END: u8 = 0;
const PADDING: u8 = 1;
const SEGMENT_SIZE: u8 = 2;
/// Bytes of a TCP header.
const TCP_HEADER: usize = 20;

/// Has a frame that opens a connection ask for no longer segments than fit into packets of `mtu` bytes. So neither
/// end sends longer ones, whichever the frame comes from.
pub fn limit(frame: &mut [u8], mtu: usize) {
    let Some(packet) = frame.get(ETHERNET_HEADER..) else {
        return;
    };
    let Some((header, _)) = Header::parse(packet) else {
        return;
    };
    if IpProtocol::from(header.protocol) != IpProtocol::Tcp {
        return;
    }
    let most = (mtu - header.payload_at - TCP_HEADER) as u16;
    let bytes = &mut frame[ETHERNET_HEADER + header.payload_at..ETHERNET_HEADER + header.len];
    let Ok(mut segment) = TcpPacket::new_checked(bytes) else {
        return;
    };
    if segment.syn() && lower(segment.options_mut(), most) {
        segment.fill_checksum(&header.source, &header.destination);
    }
}

/// Lowers the size that options tell of; tells whether it was higher.
fn lower(mut options: &mut [u8], most: u16) -> bool {
    loop {
        match *options {
            [] | [END, ..] => return false,
            [PADDING, ref mut rest @ ..] => options = rest,
            [SEGMENT_SIZE, 4, ref mut high, ref mut low, ..] => {
                let is_higher = u16::from_be_bytes([*high, *low]) > most;
                if is_higher {
                    [*high, *low] = most.to_be_bytes();
                }
                return is_higher;
            }
            [_, len, ..] => match options.get_mut(usize::from(len).max(2)..) {
                Some(rest) => options = rest,
                None => return false,
            },
            [_] => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{IpAddress, TcpRepr};

    #[test]
    fn the_size_is_lowered_and_never_raised() {
        for (options, expected) in [
            (&[2, 4, 255, 255][..], Some(&[2, 4, 5, 180][..])),
            (
                &[1, 8, 4, 9, 9, 2, 4, 255, 255],
                Some(&[1, 8, 4, 9, 9, 2, 4, 5, 180]),
            ),
            (&[2, 4, 2, 0], None),
            (&[0, 2, 4, 255, 255], None),
            (&[3, 0, 2, 4, 255, 255], Some(&[3, 0, 2, 4, 5, 180])),
            (&[3, 200, 2, 4, 255, 255], None),
            (&[2], None),
            (&[], None),
        ] {
            let mut found = options.to_vec();
            assert_eq!(lower(&mut found, 1460), expected.is_some(), "{options:?}");
            assert_eq!(found, expected.unwrap_or(options));
        }
    }

    #[test]
    fn a_frame_stays_sound() {
        let (from, to) = (IpAddress::v4(10, 0, 0, 1), IpAddress::v4(10, 0, 0, 2));
        let mut frame = vec![0; ETHERNET_HEADER + 20 + 24];
        let ip = &mut frame[ETHERNET_HEADER..];
        ip[..4].copy_from_slice(&[0x45, 0, 0, 44]);
        ip[8..10].copy_from_slice(&[64, 6]);
        ip[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        // Ports, numbers, 6 words of header, SYN, a window; then the option.
        ip[20..24].copy_from_slice(&[0, 1, 0, 2]);
        ip[32..36].copy_from_slice(&[0x60, 2, 1, 0]);
        ip[40..44].copy_from_slice(&[2, 4, 255, 215]);
        TcpPacket::new_unchecked(&mut ip[20..]).fill_checksum(&from, &to);
        limit(&mut frame, 1500);
        let segment = TcpPacket::new_checked(&frame[ETHERNET_HEADER + 20..]).unwrap();
        let read = TcpRepr::parse(&segment, &from, &to, &ChecksumCapabilities::default()).unwrap();
        assert_eq!(read.max_seg_size, Some(1460));
    }
}
