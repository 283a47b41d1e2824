//! What a socket and the stack share without the stack's lock: who waits, and the options.

use super::address::Family;
use super::options::IpOptions;
use crate::fs::socket_options::Options;
use alloc::sync::Arc;
use smp::WaitQueue;

/// One socket's side of the stack.
pub struct Channel {
    /// Its key in the stack.
    pub id: u64,
    /// Its family.
    pub family: Family,
    /// Woken whenever the socket's state may have changed.
    pub changed: WaitQueue,
    /// Options of level SOL_SOCKET.
    pub options: Options,
    /// Options of the levels below.
    pub ip_options: IpOptions,
}

impl Channel {
    /// Makes one with a key that no other has.
    pub fn new(family: Family) -> Arc<Self> {
        use core::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Arc::new(Channel {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            family,
            changed: WaitQueue::new(),
            options: Options::new(),
            ip_options: IpOptions::default(),
        })
    }
}
