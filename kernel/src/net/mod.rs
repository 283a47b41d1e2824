//! The network: sockets of the Internet families over smoltcp.
//!
//! [`Stack`](stack) owns everything that moves: the links, smoltcp's sockets, the state of ours. One
//! sleeping lock guards it. A call that changes something lets the stack run before it gives the lock
//! back, so what is sent over loopback has arrived when the call returns, as on Linux; timers are
//! served by the network's own thread ([`timers`]).
//!
//! Waiting: whoever waits for a socket sleeps in the wait queue of its [`channel`], which is woken
//! after the state has changed.

pub mod address;
mod buffers;
#[cfg(test)]
mod card_tests;
pub mod channel;
pub mod connection;
pub mod control;
pub mod device;
mod discovery;
mod fragments;
mod frame;
pub mod header;
mod inbox;
pub mod interfaces;
mod keep_alive;
pub mod lease;
pub mod link;
pub mod listener;
pub mod netlink;
pub mod options;
pub mod packet;
mod plan;
pub mod ports;
pub mod raw_ip;
mod resolver;
mod segment_size;
pub mod stack;
pub mod status;
pub mod tcp;
mod tcp_info;
#[cfg(test)]
mod tests;
pub mod timers;
pub mod udp;

use crate::fs::file::File;
use crate::libc::errno::Errno;
use alloc::sync::Arc;
use linux_raw_sys::net as raw;

/// Protocol numbers as socket(2) takes them.
pub const TCP: u32 = 6;
/// UDP's.
pub const UDP: u32 = 17;

/// Makes a socket of an Internet family; `kind` is the type without its flags.
pub fn open(family: address::Family, kind: u32, protocol: u32) -> Result<Arc<dyn File>, Errno> {
    match (kind, protocol) {
        (raw::SOCK_STREAM, 0 | TCP) => Ok(tcp::TcpSocket::new(family)),
        (raw::SOCK_DGRAM, 0 | UDP) => Ok(udp::UdpSocket::new(family)),
        (raw::SOCK_RAW, protocol) => Ok(raw_ip::RawSocket::new(family, protocol)?),
        (raw::SOCK_STREAM | raw::SOCK_DGRAM, _) => Err(Errno::EPROTONOSUPPORT),
        _ => Err(Errno::ESOCKTNOSUPPORT),
    }
}
