//! Local sockets (unix(7)): streams, datagrams and sequenced packets between descriptors of the process.
//!
//! What was sent lies in the inbox of the receiver. Each socket has one wait queue, woken when its own
//! inbox, its peer's inbox, or the state of either changes. Locks: no socket's lock is held
//! while another socket's lock is taken.

mod address;
mod connect;
mod inbox;
mod socket;
#[cfg(test)]
mod tests;
mod transfer;

pub use socket::{Kind, UnixSocket};

/// The longest queue of connections that wait to be accepted (`somaxconn`).
pub const BACKLOG_MAX: i32 = 4096;
