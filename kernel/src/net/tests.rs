//! Sockets against each other over loopback, on the host.

use super::address::Family;
use super::packet::PacketSocket;
use super::raw_ip::RawSocket;
use super::tcp::TcpSocket;
use super::udp::UdpSocket;
use crate::fs::file::{File, OpenFlags, PollEvents};
use crate::fs::io::KernelSink;
use crate::fs::socket::{Outgoing, Socket};
use crate::libc::errno::{Errno, SysResult};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use linux_raw_sys::net as raw;
use smoltcp::wire::{IpAddress, IpEndpoint};

const WAIT: OpenFlags = OpenFlags::RDWR;
const NOW: OpenFlags = OpenFlags::RDWR.union(OpenFlags::NONBLOCK);
const LOCALHOST: IpAddress = IpAddress::v4(127, 0, 0, 1);

fn localhost(port: u16) -> Vec<u8> {
    Family::V4.to_bytes(IpEndpoint::new(LOCALHOST, port))
}

fn listener(backlog: i32) -> (Arc<TcpSocket>, Vec<u8>) {
    let server = TcpSocket::new(Family::V4);
    server.bind(&localhost(0)).unwrap();
    server.listen(backlog).unwrap();
    let address = server.local_address().unwrap();
    (server, address)
}

fn pair() -> (Arc<TcpSocket>, Arc<dyn File>) {
    let (server, address) = listener(1);
    let client = TcpSocket::new(Family::V4);
    client.connect(&address, WAIT).unwrap();
    let (accepted, from) = server.accept(WAIT).unwrap();
    assert_eq!(from, client.local_address().unwrap());
    (client, accepted)
}

fn socket(file: &Arc<dyn File>) -> &dyn Socket {
    file.socket().expect("it is a socket")
}

fn send(socket: &dyn Socket, mut bytes: &[u8], open: OpenFlags) -> SysResult {
    let message = Outgoing {
        data: &mut bytes,
        to: &[],
        rights: Vec::new(),
        control: Vec::new(),
    };
    socket.send(message, raw::MSG_NOSIGNAL, open)
}

fn receive(socket: &dyn Socket, most: usize, open: OpenFlags) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; most];
    let count = socket
        .receive(&mut KernelSink::new(&mut bytes), 0, open)?
        .count;
    bytes.truncate(count);
    Ok(bytes)
}

#[test]
fn a_stream_goes_both_ways_and_ends_by_halves() {
    let (client, server) = pair();
    assert_eq!(receive(&*client, 1, NOW), Err(Errno::EAGAIN));
    assert_eq!(send(&*client, b"question", WAIT), Ok(8));
    assert_eq!(receive(socket(&server), 99, NOW).unwrap(), b"question");
    client.shutdown(raw::SHUT_WR).unwrap();
    assert_eq!(receive(socket(&server), 9, NOW).unwrap(), b"");
    assert!(server.poll().contains(PollEvents::RDHUP | PollEvents::OUT));
    assert_eq!(send(socket(&server), b"answer", WAIT), Ok(6));
    drop(server);
    assert_eq!(receive(&*client, 3, NOW).unwrap(), b"ans");
    assert_eq!(receive(&*client, 9, NOW).unwrap(), b"wer");
    assert_eq!(receive(&*client, 9, NOW).unwrap(), b"");
    assert_eq!(send(&*client, b"more", WAIT), Err(Errno::EPIPE));
}

#[test]
fn what_does_not_fit_waits_until_the_other_end_reads() {
    let (client, server) = pair();
    let bytes: Vec<u8> = (0..1_000_000u32).map(|number| (number * 7) as u8).collect();
    let mut sent = 0;
    let mut got = Vec::new();
    while got.len() < bytes.len() {
        while sent < bytes.len() {
            match send(&*client, &bytes[sent..], NOW) {
                Ok(count) => sent += count,
                Err(errno) => {
                    assert_eq!(errno, Errno::EAGAIN);
                    assert!(!client.poll().contains(PollEvents::OUT));
                    break;
                }
            }
        }
        got.extend(receive(socket(&server), 30_000, NOW).unwrap());
    }
    assert!(got == bytes, "what arrives is what was sent");
}

#[test]
fn nobody_listens_and_nobody_can_be_reached() {
    let (server, address) = listener(1);
    drop(server);
    let client = TcpSocket::new(Family::V4);
    assert_eq!(client.connect(&address, WAIT), Err(Errno::ECONNREFUSED));
    assert_eq!(client.connect(&address, NOW), Err(Errno::EINPROGRESS));
    assert!(client.poll().contains(PollEvents::ERR | PollEvents::OUT));
    let error = client.option(raw::SOL_SOCKET, raw::SO_ERROR).unwrap();
    assert_eq!(error, Errno::ECONNREFUSED.number().to_ne_bytes());
    let far = Family::V4.to_bytes(IpEndpoint::new(IpAddress::v4(192, 0, 2, 1), 80));
    assert_eq!(client.connect(&far, WAIT), Err(Errno::ENETUNREACH));
    assert_eq!(client.bind(&far), Err(Errno::EADDRNOTAVAIL));
}

#[test]
fn unread_bytes_and_linger_zero_reset_the_other_end() {
    let (client, server) = pair();
    send(&*client, b"unread", WAIT).unwrap();
    drop(server);
    assert_eq!(receive(&*client, 1, NOW), Err(Errno::ECONNRESET));
    assert_eq!(receive(&*client, 1, NOW).unwrap(), b"", "told once");

    let (client, server) = pair();
    send(socket(&server), b"last words", WAIT).unwrap();
    let at_once = [1u32, 0].map(u32::to_ne_bytes).concat();
    socket(&server)
        .set_option(raw::SOL_SOCKET, raw::SO_LINGER, &at_once)
        .unwrap();
    drop(server);
    assert_eq!(receive(&*client, 99, NOW).unwrap(), b"last words");
    assert_eq!(receive(&*client, 1, NOW), Err(Errno::ECONNRESET));
}

#[test]
fn a_full_backlog_keeps_the_next_one_waiting() {
    let (server, address) = listener(1);
    let clients: Vec<_> = (0..3).map(|_| TcpSocket::new(Family::V4)).collect();
    for client in &clients {
        assert_eq!(client.connect(&address, NOW), Err(Errno::EINPROGRESS));
    }
    assert!(clients[1].poll().contains(PollEvents::OUT));
    assert_eq!(clients[2].poll(), PollEvents::empty());
    assert_eq!(clients[2].connect(&address, NOW), Err(Errno::EALREADY));
    for client in &clients[..2] {
        let (_, from) = server.accept(NOW).unwrap();
        assert_eq!(from, client.local_address().unwrap());
    }
    assert_eq!(server.accept(NOW).err(), Some(Errno::EAGAIN));
    drop(server);
    drop(clients);
}

#[test]
fn the_versions_stay_apart_unless_one_socket_serves_both() {
    let any = Family::V6.to_bytes(Family::V6.any(0));
    let dual = TcpSocket::new(Family::V6);
    dual.bind(&any).unwrap();
    dual.listen(5).unwrap();
    let port = Family::V6
        .parse(&dual.local_address().unwrap())
        .unwrap()
        .port;
    let client = TcpSocket::new(Family::V4);
    client.connect(&localhost(port), WAIT).unwrap();
    let (_, from) = dual.accept(NOW).unwrap();
    assert_eq!(
        &from[8..24],
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1]
    );
    drop(dual);

    let only = TcpSocket::new(Family::V6);
    only.set_option(41, raw::IPV6_V6ONLY, &1u32.to_ne_bytes())
        .unwrap();
    only.bind(&any).unwrap();
    only.listen(5).unwrap();
    let port = Family::V6
        .parse(&only.local_address().unwrap())
        .unwrap()
        .port;
    let client = TcpSocket::new(Family::V4);
    assert_eq!(
        client.connect(&localhost(port), WAIT),
        Err(Errno::ECONNREFUSED)
    );
}

#[test]
fn all_of_127_is_this_machine() {
    let at = Family::V4.to_bytes(IpEndpoint::new(IpAddress::v4(127, 9, 8, 7), 0));
    let server = TcpSocket::new(Family::V4);
    server.bind(&at).unwrap();
    server.listen(1).unwrap();
    let client = TcpSocket::new(Family::V4);
    client
        .connect(&server.local_address().unwrap(), WAIT)
        .unwrap();
    let (accepted, _) = server.accept(NOW).unwrap();
    send(&*client, b"x", WAIT).unwrap();
    assert_eq!(receive(socket(&accepted), 1, NOW).unwrap(), b"x");
}

#[test]
fn a_thousand_connections_leave_nothing_behind() {
    let (server, address) = listener(8);
    for _ in 0..1000 {
        let client = TcpSocket::new(Family::V4);
        client.connect(&address, WAIT).unwrap();
        let (accepted, _) = server.accept(NOW).unwrap();
        send(&*client, b"ping", WAIT).unwrap();
        assert_eq!(receive(socket(&accepted), 4, NOW).unwrap(), b"ping");
        drop(client);
        assert_eq!(receive(socket(&accepted), 4, NOW).unwrap(), b"");
    }
    let port = Family::V4.parse(&address).unwrap().port;
    let left = super::stack::with(|stack| {
        stack.links[0]
            .sockets
            .iter()
            .filter(|(_, socket)| match socket {
                smoltcp::socket::Socket::Tcp(socket) => {
                    let ends = [socket.local_endpoint(), socket.remote_endpoint()];
                    ends.iter().flatten().any(|end| end.port == port)
                }
                _ => false,
            })
            .count()
    });
    assert_eq!(left, 0);
}

#[test]
fn a_thread_that_waits_is_woken() {
    let (server, address) = listener(1);
    let thread = std::thread::spawn(move || {
        let (accepted, _) = server.accept(WAIT).unwrap();
        let got = receive(socket(&accepted), 9, WAIT).unwrap();
        assert_eq!(receive(socket(&accepted), 9, WAIT).unwrap(), b"");
        got
    });
    let client = TcpSocket::new(Family::V4);
    client.connect(&address, WAIT).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    send(&*client, b"late", WAIT).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    client.shutdown(raw::SHUT_WR).unwrap();
    assert_eq!(thread.join().unwrap(), b"late");
}

#[test]
fn datagrams_keep_their_borders_and_their_senders() {
    let (a, b) = (UdpSocket::new(Family::V4), UdpSocket::new(Family::V4));
    b.bind(&localhost(0)).unwrap();
    let to = b.local_address().unwrap();
    for bytes in [&b"one"[..], b"", b"three"] {
        let message = Outgoing {
            data: &mut &*bytes,
            to: &to,
            rights: Vec::new(),
            control: Vec::new(),
        };
        assert_eq!(a.send(message, 0, WAIT), Ok(bytes.len()));
    }
    let none = b.read(&mut KernelSink::new(&mut []), NOW);
    assert_eq!(none, Ok(0), "a read of no bytes takes no datagram");
    assert_eq!(receive(&*b, 99, NOW).unwrap(), b"one");
    assert_eq!(receive(&*b, 99, NOW).unwrap(), b"");
    let mut bytes = [0; 2];
    let cut = b.receive(&mut KernelSink::new(&mut bytes), 0, NOW).unwrap();
    assert_eq!((cut.count, cut.flags), (2, raw::MSG_TRUNC));
    assert_eq!(receive(&*b, 99, NOW), Err(Errno::EAGAIN));
    assert_eq!(send(&*b, b"x", WAIT), Err(Errno::EDESTADDRREQ));
    b.connect(&localhost(9), WAIT).unwrap();
    a.connect(&to, WAIT).unwrap();
    assert_eq!(send(&*a, b"not from the peer", WAIT), Ok(17));
    assert_eq!(receive(&*b, 99, NOW), Err(Errno::EAGAIN));
    assert_eq!(send(&*a, &vec![0; 65_508], WAIT), Err(Errno::EMSGSIZE));
    drop(b);
    assert_eq!(send(&*a, b"x", WAIT), Ok(1));
    assert_eq!(send(&*a, b"x", WAIT), Err(Errno::ECONNREFUSED));
}

#[test]
fn the_longest_datagram_arrives() {
    let (a, b) = (UdpSocket::new(Family::V6), UdpSocket::new(Family::V6));
    let at = IpEndpoint::new(IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 1), 0);
    b.bind(&Family::V6.to_bytes(at)).unwrap();
    a.connect(&b.local_address().unwrap(), WAIT).unwrap();
    let bytes = vec![7; 65_487];
    for _ in 0..3 {
        assert_eq!(send(&*a, &bytes, WAIT), Ok(bytes.len()));
        assert_eq!(receive(&*b, 70_000, NOW).unwrap(), bytes);
    }
}

fn ping(family: Family, to: IpAddress, request: &[u8]) -> Vec<Vec<u8>> {
    let protocol = match family {
        Family::V4 => 1,
        Family::V6 => 58,
    };
    let socket = RawSocket::new(family, protocol).unwrap();
    let message = Outgoing {
        data: &mut &*request,
        to: &family.to_bytes(IpEndpoint::new(to, 0)),
        rights: Vec::new(),
        control: Vec::new(),
    };
    assert_eq!(socket.send(message, 0, WAIT), Ok(request.len()));
    let mut found = Vec::new();
    while let Ok(packet) = receive(&*socket, 999, NOW) {
        found.push(packet);
    }
    // Other tests speak ICMP too.
    found.retain(|packet| packet.ends_with(&request[4..]));
    found
}

#[test]
fn a_raw_socket_sees_a_ping_and_its_answer() {
    let found = ping(
        Family::V4,
        LOCALHOST,
        b"\x08\0\xbd\x35\x12\x34\0\x01ping v4!",
    );
    assert_eq!(found.len(), 2, "the request comes by as well, as on Linux");
    assert_eq!((found[0][0], found[0][9], found[0][20]), (0x45, 1, 8));
    assert_eq!(found[1][20], 0, "an echo reply, after its IP header");
    assert_eq!(found[1].len(), 20 + 16);

    let localhost = IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 1);
    let found = ping(Family::V6, localhost, b"\x80\0\0\0\x12\x34\0\x01ping v6!");
    let kinds: Vec<u8> = found.iter().map(|packet| packet[0]).collect();
    assert_eq!(kinds, [128, 129], "without a header");
    assert_ne!(found[0][2..4], [0, 0], "the checksum is put in");
}

#[test]
fn a_raw_socket_leaves_out_what_its_filter_blocks() {
    let socket = RawSocket::new(Family::V4, 1).unwrap();
    let all_but_replies = (!1u32).to_ne_bytes();
    socket.set_option(255, 1, &all_but_replies).unwrap();
    assert_eq!(socket.option(255, 1).unwrap(), all_but_replies);
    let request = b"\x08\0\x56\x31\x56\x78\0\x01filtered";
    ping(Family::V4, LOCALHOST, request);
    let mut found = Vec::new();
    while let Ok(packet) = receive(&*socket, 999, NOW) {
        found.extend(packet.ends_with(b"filtered").then(|| packet[20]));
    }
    assert_eq!(found, [0]);
    let none = RawSocket::new(Family::V4, 0).map(drop);
    assert_eq!(none, Err(Errno::EPROTONOSUPPORT));
}

#[test]
fn a_packet_socket_sees_what_goes_over_lo_both_ways() {
    let open = |kind, protocol: u16| {
        let protocol = u32::from(protocol.to_be());
        let file = PacketSocket::open(kind, protocol).unwrap();
        let mut lo = (raw::AF_PACKET as u16).to_ne_bytes().to_vec();
        lo.extend([0, 0, 1, 0, 0, 0]);
        lo.resize(20, 0);
        socket(&file).bind(&lo).unwrap();
        file
    };
    let frames = |file: &Arc<dyn File>| {
        let mut found = Vec::new();
        let mut bytes = [0; 999];
        while let Ok(received) = socket(file).receive(&mut KernelSink::new(&mut bytes), 0, NOW) {
            let frame = bytes[..received.count].to_vec();
            // Other tests use `lo` too.
            if frame.ends_with(b"tapped") {
                found.push((received.from[10], frame));
            }
        }
        found
    };
    let (all, ip, other) = (
        open(raw::SOCK_RAW, 3),
        open(raw::SOCK_DGRAM, 0x800),
        open(raw::SOCK_RAW, 0x806),
    );
    let (a, b) = (UdpSocket::new(Family::V4), UdpSocket::new(Family::V4));
    b.bind(&localhost(0)).unwrap();
    a.connect(&b.local_address().unwrap(), WAIT).unwrap();
    send(&*a, b"tapped", WAIT).unwrap();
    let found = frames(&all);
    let kinds: Vec<u8> = found.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [4, 0], "outgoing, then for this host");
    assert_eq!(
        found[0].1[..15],
        [[0; 12].as_slice(), &[8, 0, 0x45]].concat()
    );
    let found = frames(&ip);
    assert_eq!(found.len(), 1, "one protocol is heard coming in alone");
    assert_eq!((found[0].0, found[0].1[0]), (0, 0x45), "without its header");
    assert!(frames(&other).is_empty());
    // What it sends itself reaches everybody else.
    let frame = [&[0; 12][..], &[8, 0], &found[0].1].concat();
    assert_eq!(send(socket(&all), &frame, WAIT), Ok(frame.len()));
    assert_eq!(receive(&*b, 99, NOW).unwrap(), b"tapped");
    assert_eq!(receive(&*b, 99, NOW).unwrap(), b"tapped");
    assert_eq!(frames(&all).len(), 1, "as it comes in again");
    assert_eq!(frames(&ip).len(), 1);
}
