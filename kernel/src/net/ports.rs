//! Which ports are taken: the rules of bind(2) on Linux (socket(7): SO_REUSEADDR, SO_REUSEPORT).
#![forbid(unsafe_code)]

use crate::libc::errno::Errno;
use alloc::collections::BTreeMap;
use smoltcp::wire::IpAddress;

/// The ports that are given out where none is asked for (`ip_local_port_range`).
const EPHEMERAL: core::ops::Range<u16> = 32768..61000;

/// A claim to a port.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// Which IP versions it is for, by link.
    pub covers: [bool; 2],
    /// `None`: all addresses.
    pub address: Option<IpAddress>,
    /// The port.
    pub port: u16,
    /// SO_REUSEADDR.
    pub reuses_address: bool,
    /// SO_REUSEPORT.
    pub reuses_port: bool,
    /// A listener does not share its address.
    pub is_listening: bool,
}

impl Binding {
    fn overlaps(&self, other: &Binding) -> bool {
        let both = (0..2).any(|link| self.covers[link] && other.covers[link]);
        both && self.port == other.port
            && match (self.address, other.address) {
                (Some(one), Some(another)) => one == another,
                _ => true,
            }
    }

    fn excludes(&self, other: &Binding) -> bool {
        let share = self.reuses_port && other.reuses_port
            || self.reuses_address
                && other.reuses_address
                && !self.is_listening
                && !other.is_listening;
        self.overlaps(other) && !share
    }
}

/// The claims of one protocol, by socket.
#[derive(Default)]
pub struct Ports {
    bindings: BTreeMap<u64, Binding>,
    next: u16,
}

impl Ports {
    /// Makes an empty table; the search for free ports starts somewhere after `seed`.
    pub fn new(seed: u16) -> Self {
        Ports {
            bindings: BTreeMap::new(),
            next: EPHEMERAL.start + seed % (EPHEMERAL.end - EPHEMERAL.start),
        }
    }

    /// Claims a port for a socket, a free one if `binding` names none; returns it.
    ///
    /// `is_usable` may turn down a free port.
    pub fn bind(
        &mut self,
        socket: u64,
        mut binding: Binding,
        is_usable: impl Fn(u16) -> bool,
    ) -> Result<u16, Errno> {
        if binding.port == 0 {
            binding.port = self
                .find_free(&binding, is_usable)
                .ok_or(Errno::EADDRINUSE)?;
        } else if self.bindings.values().any(|other| binding.excludes(other)) {
            return Err(Errno::EADDRINUSE);
        }
        self.bindings.insert(socket, binding);
        Ok(binding.port)
    }

    fn find_free(&mut self, binding: &Binding, is_usable: impl Fn(u16) -> bool) -> Option<u16> {
        for _ in EPHEMERAL {
            let port = self.next;
            self.next = if port + 1 == EPHEMERAL.end {
                EPHEMERAL.start
            } else {
                port + 1
            };
            // Whatever the options: a port that nobody asked for is shared with nobody.
            let wanted = Binding { port, ..*binding };
            if !self.bindings.values().any(|other| wanted.overlaps(other)) && is_usable(port) {
                return Some(port);
            }
        }
        None
    }

    /// Notes that a socket starts to listen on its port; `EADDRINUSE` if another one does there.
    pub fn listen(&mut self, socket: u64) -> Result<(), Errno> {
        let mut binding = *self.bindings.get(&socket).ok_or(Errno::EINVAL)?;
        binding.is_listening = true;
        let is_taken = |(&other_socket, other): (&u64, &Binding)| {
            other_socket != socket && other.is_listening && binding.excludes(other)
        };
        if self.bindings.iter().any(is_taken) {
            return Err(Errno::EADDRINUSE);
        }
        self.bindings.insert(socket, binding);
        Ok(())
    }

    /// Returns a socket's claim.
    pub fn get(&self, socket: u64) -> Option<&Binding> {
        self.bindings.get(&socket)
    }

    /// Gives up a socket's claim.
    pub fn release(&mut self, socket: u64) {
        self.bindings.remove(&socket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: [bool; 2] = [true, false];
    const DUAL: [bool; 2] = [true, true];
    const LOCALHOST: Option<IpAddress> = Some(IpAddress::v4(127, 0, 0, 1));

    fn claim(covers: [bool; 2], address: Option<IpAddress>, port: u16) -> Binding {
        Binding {
            covers,
            address,
            port,
            reuses_address: false,
            reuses_port: false,
            is_listening: false,
        }
    }

    fn bind(ports: &mut Ports, socket: u64, binding: Binding) -> Result<u16, Errno> {
        ports.bind(socket, binding, |_| true)
    }

    #[test]
    fn an_address_is_taken_once() {
        let mut ports = Ports::new(0);
        assert_eq!(bind(&mut ports, 1, claim(V4, LOCALHOST, 80)), Ok(80));
        assert_eq!(
            bind(&mut ports, 2, claim(V4, None, 80)),
            Err(Errno::EADDRINUSE)
        );
        assert_eq!(
            bind(&mut ports, 2, claim(DUAL, None, 80)),
            Err(Errno::EADDRINUSE)
        );
        assert_eq!(
            bind(&mut ports, 2, claim([false, true], None, 80)),
            Ok(80),
            "the other version"
        );
        ports.release(1);
        assert_eq!(bind(&mut ports, 3, claim(V4, LOCALHOST, 80)), Ok(80));
    }

    #[test]
    fn reuse_takes_both_and_ends_where_one_listens() {
        let mut ports = Ports::new(0);
        let shared = Binding {
            reuses_address: true,
            ..claim(V4, None, 80)
        };
        assert_eq!(bind(&mut ports, 1, shared), Ok(80));
        assert_eq!(
            bind(&mut ports, 2, claim(V4, None, 80)),
            Err(Errno::EADDRINUSE)
        );
        assert_eq!(bind(&mut ports, 2, shared), Ok(80));
        assert_eq!(ports.listen(1), Ok(()));
        assert_eq!(ports.listen(2), Err(Errno::EADDRINUSE));
        assert_eq!(bind(&mut ports, 3, shared), Err(Errno::EADDRINUSE));
        assert_eq!(ports.listen(4), Err(Errno::EINVAL), "not bound");
    }

    #[test]
    fn free_ports_are_found_until_there_are_none() {
        let mut ports = Ports::new(7);
        assert_eq!(bind(&mut ports, 0, claim(V4, None, 0)), Ok(32775));
        let first = bind(&mut ports, 1, claim(V4, None, 0)).unwrap();
        assert_ne!(first, 32775);
        let none = ports.bind(2, claim(V4, None, 0), |_| false);
        assert_eq!(none, Err(Errno::EADDRINUSE));
    }
}
