//! The stack: links, sockets and ports under one lock, and the loop that moves packets.

use super::channel::Channel;
use super::connection::{Connection, Fate, Orphan};
use super::device::{Card, Device};
use super::interfaces;
use super::link::{self, Link};
use super::listener::Listener;
use super::packet::{self, PacketEntry};
use super::plan::Plan;
use super::ports::Ports;
use super::raw_ip::RawEntry;
use super::timers;
use super::udp::UdpEntry;
use crate::fs::socket_options::words;
use crate::libc::errno::Errno;
use crate::libc::random;
use crate::libc::time::monotonic_ns;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use smoltcp::time::Instant;
use smoltcp::wire::{IpAddress, Ipv4Address};
use smp::Mutex;

/// What a TCP socket is.
pub(super) enum Role {
    /// Neither yet.
    Idle,
    /// It listens.
    Listener(Listener),
    /// It connects, is connected, or was.
    Connection(Connection),
}

/// A TCP socket's state.
pub(super) struct TcpEntry {
    pub(super) channel: Arc<Channel>,
    pub(super) role: Role,
}

/// Everything that the network's lock guards.
pub struct Stack {
    /// `lo`, then the cards.
    pub(super) devices: Vec<Device>,
    /// Two for each device, in its order: IPv4 and IPv6.
    pub(super) links: Vec<Link>,
    pub(super) tcp: BTreeMap<u64, TcpEntry>,
    pub(super) udp: BTreeMap<u64, UdpEntry>,
    pub(super) raw: BTreeMap<u64, RawEntry>,
    pub(super) packet: BTreeMap<u64, PacketEntry>,
    pub(super) orphans: Vec<Orphan>,
    pub(super) tcp_ports: Ports,
    pub(super) udp_ports: Ports,
    /// The name servers of all leases.
    name_servers: Vec<Ipv4Address>,
    /// Those are others than `/etc/resolv.conf` tells.
    has_new_servers: bool,
    /// When the network's thread runs next.
    plan: Plan,
    /// Who is to be woken when the lock is free again.
    changed: Changed,
}

/// Who is to hear of what has changed, once the stack's lock is free: who is woken wants it at once, and would
/// sleep again to wait for it.
#[derive(Default)]
struct Changed {
    channels: Vec<Arc<Channel>>,
    /// The network's thread has something to do.
    network: bool,
}

impl Changed {
    fn tell(self) {
        for channel in self.channels {
            channel.changed.wake_all();
        }
        if self.network {
            timers::wake();
        }
    }
}

static STACK: Mutex<Option<Stack>> = Mutex::new(None);

/// Calls `f` with the stack locked.
pub fn with<R>(f: impl FnOnce(&mut Stack) -> R) -> R {
    let (result, changed) = {
        let mut stack = STACK.lock();
        let stack = stack.get_or_insert_with(Stack::new);
        let result = f(stack);
        (result, core::mem::take(&mut stack.changed))
    };
    changed.tell();
    result
}

/// Returns the time as smoltcp counts it.
pub fn now() -> Instant {
    Instant::from_micros((monotonic_ns() / 1000) as i64)
}

/// Answers IP_MTU: how long packets to the peer may be.
pub fn path_mtu(peer: Option<IpAddress>) -> Result<Vec<u8>, Errno> {
    let peer = peer.ok_or(Errno::ENOTCONN)?;
    with(|stack| {
        let (on, _) = stack.route(peer).ok_or(Errno::ENOTCONN)?;
        Ok(words(&[stack.mtu(on) as u32]))
    })
}

impl Stack {
    fn new() -> Self {
        let mut seed = [0; 12];
        random::fill(&mut seed);
        let [a, b, c, d, e, f, g, h, ports @ ..] = seed;
        let number = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
        let mut lo = Device::loopback();
        let links = Link::loopbacks(&mut lo, number).into();
        Stack {
            devices: alloc::vec![lo],
            links,
            tcp: BTreeMap::new(),
            udp: BTreeMap::new(),
            raw: BTreeMap::new(),
            packet: BTreeMap::new(),
            orphans: Vec::new(),
            tcp_ports: Ports::new(u16::from_ne_bytes([ports[0], ports[1]])),
            udp_ports: Ports::new(u16::from_ne_bytes([ports[2], ports[3]])),
            name_servers: Vec::new(),
            has_new_servers: false,
            plan: Plan::default(),
            changed: Changed::default(),
        }
    }

    /// Adds a card: it gets the next name, and asks for an address. To be called before there are sockets.
    pub fn add_card(&mut self, card: Box<dyn Card>) {
        let mut seed = [0; 8];
        random::fill(&mut seed);
        let index = self.devices.len();
        let mut device = Device::ethernet(alloc::format!("eth{}", index - 1), card);
        let links = Link::of_card(index, &mut device, u64::from_ne_bytes(seed));
        self.links.extend(links);
        self.devices.push(device);
    }

    /// Returns the link that leads to an address, and the address that packets to it come from.
    pub fn route(&self, to: IpAddress) -> Option<(usize, IpAddress)> {
        link::route(&self.links, to)
    }

    /// Returns the longest packet that a link carries whole, IP header included.
    pub fn mtu(&self, on: usize) -> usize {
        self.devices[self.links[on].device].mtu()
    }

    /// Moves packets until nothing more is to be done now, wakes who waited for what changed, and
    /// sees that the network's thread runs when the next timer is due.
    pub fn run(&mut self) {
        let next = self.move_packets();
        if self.plan.ask(next) || self.has_new_servers {
            self.changed.network = true;
        }
    }

    /// Runs on behalf of the network's thread; returns when to do so again, in nanoseconds.
    pub fn run_timers(&mut self) -> Option<u64> {
        // Before the looking: what arrives after it interrupts again.
        self.devices.iter_mut().for_each(Device::rearm);
        let next = self.move_packets();
        self.plan
            .sleep(next, now())
            .map(|deadline| deadline.total_micros().cast_unsigned().saturating_mul(1000))
    }

    /// Moves packets until nothing more is to be done now; returns when the next timer is due.
    fn move_packets(&mut self) -> Option<Instant> {
        let now = now();
        for device in &mut self.devices {
            device.attend(now);
        }
        loop {
            let mut is_busy = false;
            for link in 0..self.links.len() {
                while self.receive_one(link, now) {
                    is_busy = true;
                }
                is_busy |= self.links[link].send(&mut self.devices, now);
                let device = self.links[link].device;
                if self.links[link].configure(&self.devices[device].name, now) {
                    self.note_name_servers();
                }
            }
            packet::deliver(self);
            if !is_busy && !self.settle(now) {
                break;
            }
        }
        self.next_deadline(now)
    }

    /// Notes which name servers the leases tell of.
    fn note_name_servers(&mut self) {
        let mut found = Vec::new();
        let leases = self.links.iter().filter_map(Link::lease);
        for &server in leases.flat_map(|lease| &lease.name_servers) {
            if !found.contains(&server) {
                found.push(server);
            }
        }
        // When the last lease has ended the old ones may be as good as none.
        if !found.is_empty() && found != self.name_servers {
            self.name_servers = found;
            self.has_new_servers = true;
        }
    }

    /// Returns the name servers that leases tell of, if they have changed since the last call.
    pub fn take_name_servers(&mut self) -> Option<Vec<Ipv4Address>> {
        core::mem::take(&mut self.has_new_servers).then(|| self.name_servers.clone())
    }

    /// Handles one packet, and what it changed that cannot wait for the next.
    fn receive_one(&mut self, link: usize, now: Instant) -> bool {
        if self.is_refused_room(link, now) {
            // As on Linux the SYN is as good as lost, and comes again.
            self.links[link].drop_next(&mut self.devices);
            return true;
        }
        let header = self.links[link].next_header(&mut self.devices);
        let ends = self.links[link].next_ends(&mut self.devices);
        let copy = self.copy_next(link);
        if !self.links[link].receive_one(&mut self.devices, now) {
            return false;
        }
        for entry in self.tcp.values_mut() {
            if let Role::Listener(listener) = &mut entry.role
                && listener.refresh(&mut self.links, now)
            {
                self.changed.channels.push(entry.channel.clone());
            } else if let Role::Connection(connection) = &mut entry.role
                && ends == Some((connection.local, connection.remote))
            {
                connection.hear(now);
            }
        }
        let interface = interfaces::index_of(self.links[link].device);
        for entry in self.udp.values_mut() {
            entry.collect(&mut self.links, header, interface);
        }
        if let (Some(header), Some(packet)) = (header, copy) {
            for entry in self.raw.values_mut() {
                entry.offer(&header, &packet, interface);
            }
        }
        true
    }

    /// Copies the next packet for raw sockets, if there are any and it is for this machine.
    fn copy_next(&mut self, link: usize) -> Option<Vec<u8>> {
        if self.raw.is_empty() {
            return None;
        }
        let on = &self.links[link];
        let to = on.next_header(&mut self.devices)?.destination;
        let is_ours = on.is_loopback() || !to.is_unicast() || link::is_local(&self.links, to);
        is_ours.then(|| on.next_packet(&mut self.devices).map(<[u8]>::to_vec))?
    }

    /// Tells whether the next packet asks for a connection that only full listeners could take.
    fn is_refused_room(&mut self, link: usize, now: Instant) -> bool {
        let Some((address, port)) = self.links[link].next_request(&mut self.devices) else {
            return false;
        };
        let mut is_refused = false;
        for entry in self.tcp.values_mut() {
            if let Role::Listener(listener) = &mut entry.role {
                match listener.takes(link, address, port, &mut self.links, now) {
                    Some(true) => return false,
                    Some(false) => is_refused = true,
                    None => {}
                }
            }
        }
        is_refused
    }

    /// Takes over what happened to connections; tells whether that gives more to send.
    fn settle(&mut self, now: Instant) -> bool {
        let mut is_busy = false;
        for entry in self.tcp.values_mut() {
            let connection = match &mut entry.role {
                Role::Connection(connection) => connection,
                Role::Listener(listener) => {
                    if listener.refresh(&mut self.links, now) {
                        self.changed.channels.push(entry.channel.clone());
                    }
                    continue;
                }
                Role::Idle => continue,
            };
            let (has_changed, error) =
                connection.settle(&mut self.links, &entry.channel.ip_options, now);
            if let Some(errno) = error {
                entry.channel.options.set_error(errno);
            }
            if has_changed {
                self.changed.channels.push(entry.channel.clone());
            }
            let channel = &entry.channel;
            let settings = channel.ip_options.keep_alive(&channel.options);
            is_busy |= connection.keep_alive(&mut self.links, settings, now);
        }
        for entry in self.udp.values_mut() {
            entry.tell_of_room(&mut self.links);
        }
        for entry in self.raw.values_mut() {
            entry.tell_of_room(&mut self.links);
        }
        let links = &mut self.links;
        self.orphans.retain_mut(|orphan| {
            let fate = orphan.settle(links, now);
            is_busy |= fate == Fate::Aborts;
            fate != Fate::Gone
        });
        is_busy
    }

    fn next_deadline(&mut self, now: Instant) -> Option<Instant> {
        /// What is due already has been done; a timer that says otherwise must not keep a CPU busy.
        const REST: smoltcp::time::Duration = smoltcp::time::Duration::from_millis(1);
        let timers = self
            .links
            .iter_mut()
            .filter_map(|link| link.next_deadline(now));
        let orphans = self.orphans.iter().filter_map(|orphan| orphan.deadline);
        let sockets = self.tcp.values().filter_map(|entry| match &entry.role {
            Role::Listener(listener) => listener.deadline(),
            Role::Connection(connection) => {
                let channel = &entry.channel;
                connection.keep_alive_deadline(channel.ip_options.keep_alive(&channel.options))
            }
            Role::Idle => None,
        });
        let devices = self.devices.iter().filter_map(Device::next_deadline);
        let next = timers.chain(devices).chain(orphans).chain(sockets);
        let next = next.min()?;
        Some(next.max(now + REST))
    }
}
