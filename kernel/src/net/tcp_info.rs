//! What TCP_INFO tells of a socket: `struct tcp_info` (tcp(7)). What smoltcp keeps to itself is 0.
#![forbid(unsafe_code)]

use super::stack::Role;
use alloc::vec;
use alloc::vec::Vec;
use core::mem::{offset_of, size_of};
use linux_raw_sys::net as raw;
use smoltcp::socket::tcp::{Socket, State};
use smoltcp::wire::IpAddress;

/// Linux's numbers of the states of no connection.
const CLOSE: u8 = 7;
const LISTEN: u8 = 10;
/// Bytes of a TCP header, and of the headers of each IP version in front of it.
const TCP_HEADER: u32 = 20;
const HEADER_V4: u32 = 20;
const HEADER_V6: u32 = 40;

/// What a program is told.
struct Info(Vec<u8>);

impl Info {
    fn new(state: u8) -> Self {
        let mut bytes = vec![0; size_of::<raw::tcp_info>()];
        bytes[offset_of!(raw::tcp_info, tcpi_state)] = state;
        Info(bytes)
    }

    fn set(&mut self, at: usize, number: u32) {
        self.0[at..at + 4].copy_from_slice(&number.to_ne_bytes());
    }
}

/// Tells of a socket. `socket` is smoltcp's of a connection, `mtu` that of the way to its other end.
pub fn tell(role: &Role, socket: Option<&Socket>, mtu: u32) -> Vec<u8> {
    let mut info = Info::new(match (role, socket) {
        (Role::Listener(_), _) => LISTEN,
        (_, Some(socket)) => number(socket.state()),
        _ => CLOSE,
    });
    match role {
        // As Linux has it: how many wait, and how many may.
        Role::Listener(listener) => {
            let (waiting, backlog) = (listener.waiting() as u32, listener.backlog() as u32);
            info.set(offset_of!(raw::tcp_info, tcpi_unacked), waiting);
            info.set(offset_of!(raw::tcp_info, tcpi_sacked), backlog);
        }
        Role::Connection(connection) => {
            let header = match connection.remote.addr {
                IpAddress::Ipv4(_) => HEADER_V4,
                IpAddress::Ipv6(_) => HEADER_V6,
            };
            info.0[offset_of!(raw::tcp_info, tcpi_probes)] = connection.unanswered_questions();
            info.set(offset_of!(raw::tcp_info, tcpi_pmtu), mtu);
            let segment = mtu.saturating_sub(header + TCP_HEADER);
            info.set(offset_of!(raw::tcp_info, tcpi_advmss), segment);
            let room = socket.map_or(0, |socket| socket.recv_capacity() - socket.recv_queue());
            info.set(offset_of!(raw::tcp_info, tcpi_rcv_space), room as u32);
            info.set(offset_of!(raw::tcp_info, tcpi_rcv_wnd), room as u32);
        }
        Role::Idle => {}
    }
    info.0
}

/// Returns Linux's number of a state.
fn number(state: State) -> u8 {
    match state {
        State::Established => 1,
        State::SynSent => 2,
        State::SynReceived => 3,
        State::FinWait1 => 4,
        State::FinWait2 => 5,
        State::TimeWait => 6,
        State::Closed => CLOSE,
        State::CloseWait => 8,
        State::LastAck => 9,
        State::Listen => LISTEN,
        State::Closing => 11,
    }
}
