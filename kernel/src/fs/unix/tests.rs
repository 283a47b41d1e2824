//! Local sockets between host threads, against unix(7).

use super::{Kind, UnixSocket};
use crate::fs::description::Description;
use crate::fs::file::{File, OpenFlags, PollEvents};
use crate::fs::io::KernelSink;
use crate::fs::pipe::Pipe;
use crate::fs::socket::{Outgoing, Socket};
use crate::libc::errno::{Errno, SysResult};
use linux_raw_sys::net as raw;
use std::sync::Arc;
use std::thread;

const WAIT: OpenFlags = OpenFlags::RDWR;
const NO_WAIT: OpenFlags = OpenFlags::RDWR.union(OpenFlags::NONBLOCK);

fn send(socket: &UnixSocket, bytes: &[u8], flags: OpenFlags) -> SysResult {
    socket.send(
        Outgoing {
            data: &mut &bytes[..],
            to: &[],
            rights: Vec::new(),
            control: Vec::new(),
        },
        raw::MSG_NOSIGNAL,
        flags,
    )
}

fn receive(socket: &UnixSocket, len: usize, flags: OpenFlags) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; len];
    let received = socket.receive(&mut KernelSink::new(&mut bytes), 0, flags)?;
    bytes.truncate(received.count);
    Ok(bytes)
}

fn abstract_address(name: &str) -> Vec<u8> {
    [
        &(raw::AF_UNIX as u16).to_ne_bytes()[..],
        b"\0",
        name.as_bytes(),
    ]
    .concat()
}

#[test]
fn a_stream_has_no_message_borders_and_an_end() {
    let (a, b) = UnixSocket::pair(Kind::Stream);
    assert_eq!(receive(&b, 1, NO_WAIT), Err(Errno::EAGAIN));
    send(&a, b"one", WAIT).unwrap();
    send(&a, b"two", WAIT).unwrap();
    assert_eq!(receive(&b, 4, WAIT).unwrap(), b"onet");
    a.shutdown(raw::SHUT_WR).unwrap();
    assert_eq!(send(&a, b"x", WAIT), Err(Errno::EPIPE));
    assert_eq!(receive(&b, 4, WAIT).unwrap(), b"wo");
    assert_eq!(receive(&b, 4, WAIT).unwrap(), b"");
    assert!(
        b.poll().contains(PollEvents::READABLE | PollEvents::RDHUP)
            && !b.poll().contains(PollEvents::HUP)
    );
    drop(a);
    assert!(b.poll().contains(PollEvents::HUP));
    assert_eq!(send(&b, b"x", WAIT), Err(Errno::EPIPE));
}

#[test]
fn closing_with_unread_bytes_resets() {
    let (a, b) = UnixSocket::pair(Kind::Stream);
    send(&a, b"unread", WAIT).unwrap();
    drop(b);
    assert_eq!(receive(&a, 1, WAIT), Err(Errno::ECONNRESET));
    assert_eq!(receive(&a, 1, WAIT).unwrap(), b"");
}

#[test]
fn a_writer_waits_for_room_and_nothing_is_lost() {
    let (a, b) = UnixSocket::pair(Kind::Stream);
    let sent: Vec<u8> = (0..1_000_000u32).map(|i| (i % 253) as u8).collect();
    let expected = sent.clone();
    let writer = thread::spawn(move || assert_eq!(send(&a, &sent, WAIT), Ok(sent.len())));
    let mut got = Vec::new();
    loop {
        let piece = receive(&b, 70_000, WAIT).unwrap();
        if piece.is_empty() {
            break;
        }
        got.extend(piece);
    }
    writer.join().unwrap();
    assert!(got == expected);
}

#[test]
fn datagrams_stay_whole_and_are_cut_to_the_buffer() {
    let (a, b) = UnixSocket::pair(Kind::Datagram);
    send(&a, b"first", WAIT).unwrap();
    send(&a, b"", WAIT).unwrap();
    send(&a, b"third", WAIT).unwrap();
    let mut bytes = [0; 3];
    let received = b
        .receive(&mut KernelSink::new(&mut bytes), raw::MSG_TRUNC, WAIT)
        .unwrap();
    assert_eq!(
        (received.count, received.flags, &bytes),
        (5, raw::MSG_TRUNC, b"fir")
    );
    assert_eq!(receive(&b, 9, WAIT).unwrap(), b"");
    assert_eq!(receive(&b, 9, WAIT).unwrap(), b"third");
    assert_eq!(send(&a, &[0; 300_000], WAIT), Err(Errno::EMSGSIZE));
    drop(b);
    assert_eq!(send(&a, b"x", WAIT), Err(Errno::ECONNREFUSED));
}

#[test]
fn a_listener_hands_out_connections() {
    let address = abstract_address("a listener");
    let server = UnixSocket::new(Kind::Stream);
    let client = UnixSocket::new(Kind::Stream);
    assert_eq!(client.connect(&address, WAIT), Err(Errno::ECONNREFUSED));
    assert_eq!(server.listen(1), Err(Errno::EINVAL), "without an address");
    server.bind(&address).unwrap();
    assert_eq!(
        client.connect(&address, WAIT),
        Err(Errno::ECONNREFUSED),
        "not listening yet"
    );
    server.listen(1).unwrap();
    assert_eq!(
        UnixSocket::new(Kind::Stream).bind(&address),
        Err(Errno::EADDRINUSE)
    );
    let other = UnixSocket::new(Kind::SequencedPacket);
    assert_eq!(
        other.connect(&address, WAIT),
        Err(Errno::ECONNREFUSED),
        "each kind has its own names"
    );
    client.connect(&address, WAIT).unwrap();
    send(&client, b"early", WAIT).unwrap();
    assert!(server.poll().contains(PollEvents::READABLE));
    let (accepted, from) = server.accept(WAIT).unwrap();
    assert_eq!(from.len(), 2, "the client has no address");
    let accepted: Arc<UnixSocket> = accepted.downcast().unwrap();
    assert_eq!(receive(&accepted, 9, WAIT).unwrap(), b"early");
    assert_eq!(client.peer_address().unwrap(), address);
    assert_eq!(accepted.local_address().unwrap(), address);
    assert_eq!(client.connect(&address, WAIT), Err(Errno::EISCONN));
    let more: Vec<_> = (0..3).map(|_| UnixSocket::new(Kind::Stream)).collect();
    assert_eq!(more[0].connect(&address, NO_WAIT), Ok(()));
    assert_eq!(more[1].connect(&address, NO_WAIT), Ok(()));
    assert_eq!(
        more[2].connect(&address, NO_WAIT),
        Err(Errno::EAGAIN),
        "the queue is full"
    );
    drop(server);
    assert_eq!(receive(&more[0], 1, WAIT), Err(Errno::ECONNRESET));
    assert_eq!(
        more[2].connect(&address, WAIT),
        Err(Errno::ECONNREFUSED),
        "the address is free again"
    );
}

#[test]
fn datagrams_go_to_an_address_and_tell_where_from() {
    let (to, from) = (
        abstract_address("datagrams to"),
        abstract_address("datagrams from"),
    );
    let (receiver, sender) = (
        UnixSocket::new(Kind::Datagram),
        UnixSocket::new(Kind::Datagram),
    );
    receiver.bind(&to).unwrap();
    sender.bind(&from).unwrap();
    let message = Outgoing {
        data: &mut &b"hello"[..],
        to: &to,
        rights: Vec::new(),
        control: Vec::new(),
    };
    assert_eq!(sender.send(message, 0, WAIT), Ok(5));
    let mut bytes = [0; 9];
    let received = receiver
        .receive(&mut KernelSink::new(&mut bytes), 0, WAIT)
        .unwrap();
    assert_eq!(
        (&bytes[..received.count], received.from),
        (&b"hello"[..], from)
    );
    assert_eq!(send(&sender, b"x", WAIT), Err(Errno::ENOTCONN));
    sender.connect(&to, WAIT).unwrap();
    assert_eq!(send(&sender, b"x", WAIT), Ok(1));
    receiver.connect(&to, WAIT).unwrap();
    assert_eq!(
        send(&sender, b"x", WAIT),
        Err(Errno::EPERM),
        "it listens to somebody else"
    );
}

#[test]
fn open_files_travel_with_their_bytes() {
    let (a, b) = UnixSocket::pair(Kind::Stream);
    let (reader, writer) = Pipe::pair();
    send(&a, b"before", WAIT).unwrap();
    let rights = vec![Description::new(reader, OpenFlags::empty())];
    a.send(
        Outgoing {
            data: &mut &b"with"[..],
            to: &[],
            rights,
            control: Vec::new(),
        },
        0,
        WAIT,
    )
    .unwrap();
    send(&a, b"after", WAIT).unwrap();
    let mut bytes = [0; 32];
    assert_eq!(receive(&b, 3, WAIT).unwrap(), b"bef");
    let second = b
        .receive(&mut KernelSink::new(&mut bytes), 0, WAIT)
        .unwrap();
    assert_eq!(
        (&bytes[..second.count], second.rights.len()),
        (&b"orewith"[..], 1)
    );
    writer.write(&mut &b"through"[..], WAIT).unwrap();
    assert_eq!(
        second.rights[0].read(&mut KernelSink::new(&mut bytes)),
        Ok(7)
    );
    assert_eq!(receive(&b, 9, WAIT).unwrap(), b"after");
}

#[test]
fn a_timeout_ends_a_wait() {
    let (a, _b) = UnixSocket::pair(Kind::Stream);
    let timeout: Vec<u8> = [0u64, 20_000]
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .collect();
    a.set_option(raw::SOL_SOCKET, raw::SO_RCVTIMEO_OLD, &timeout)
        .unwrap();
    assert_eq!(receive(&a, 1, WAIT), Err(Errno::EAGAIN));
    assert_eq!(
        a.option(raw::SOL_SOCKET, raw::SO_RCVTIMEO_OLD).unwrap(),
        timeout
    );
    assert_eq!(
        a.option(raw::SOL_SOCKET, raw::SO_TYPE).unwrap(),
        raw::SOCK_STREAM.to_ne_bytes()
    );
    assert_eq!(a.option(raw::SOL_SOCKET, 9999), Err(Errno::ENOPROTOOPT));
}
