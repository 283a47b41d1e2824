//! What is told of the network, and what can be set: the side of `_hal`, netstat(8) and ip(8).

use super::address::Family;
use super::device::{Counters, Device};
use super::interfaces::{self, Interface};
use super::link::{Link, Version};
use super::raw_ip::RawEntry;
use super::stack::{self, Role, Stack};
use crate::libc::errno::Errno;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use smoltcp::socket::Socket;
use smoltcp::socket::tcp::State;
use smoltcp::wire::{IpAddress, IpCidr, IpEndpoint};

/// The most addresses that an interface has of each IP version, beside the one that IPv6 gives itself.
pub const ADDRESSES_MAX: usize = 7;

/// An interface, and what is known of it here alone.
pub struct InterfaceStatus {
    /// The interface.
    pub interface: Interface,
    /// Its addresses with their networks' lengths, in words.
    pub addresses: Vec<String>,
    /// Whether it asks for an address.
    pub asks_for_address: bool,
    /// The lease of its address.
    pub lease: Option<LeaseStatus>,
    /// What went through it.
    pub counters: Counters,
}

/// A lease.
pub struct LeaseStatus {
    /// Who gave it.
    pub server: String,
    /// When it ends, in seconds of CLOCK_MONOTONIC.
    pub expires: u64,
    /// Where packets to other networks go.
    pub router: Option<String>,
    /// Who knows names.
    pub name_servers: Vec<String>,
}

/// A route.
pub struct RouteStatus {
    /// The network that it leads to.
    pub destination: String,
    /// Who passes packets on; `None`: the network is this machine's own.
    pub gateway: Option<String>,
    /// The interface's name.
    pub interface: String,
}

/// A socket.
pub struct SocketStatus {
    /// `tcp`, `tcp6`, `udp`, `udp6`, `raw`, `raw6`, `packet`.
    pub protocol: &'static str,
    /// Our address and port.
    pub local: (String, u16),
    /// The other end's.
    pub remote: Option<(String, u16)>,
    /// Its state in Linux's words; empty where it has none.
    pub state: &'static str,
    /// Bytes that wait to be read; of a listener, connections that wait to be accepted.
    pub receive_queue: usize,
    /// Bytes that the other end has not acknowledged; of a listener, how many connections may wait.
    pub send_queue: usize,
}

/// What is to be changed of an interface; what is `None` stays.
#[derive(Clone, Copy, Default)]
pub struct Change<'a> {
    /// Whether it asks for an address.
    pub asks_for_address: Option<bool>,
    /// Its addresses: unicast ones, [`ADDRESSES_MAX`] of each version at most.
    pub addresses: Option<&'a [IpCidr]>,
    /// Where packets to other networks go, or nowhere.
    pub gateway: Option<Option<IpAddress>>,
    /// Whether it is in use.
    pub is_up: Option<bool>,
}

/// Returns the interfaces, `lo` first.
pub fn collect_interfaces() -> Vec<InterfaceStatus> {
    stack::with(|stack| {
        let rows = interfaces::all(stack).into_iter().enumerate();
        let row = |(number, interface): (usize, Interface)| {
            let links = || stack.links.iter().filter(move |link| link.device == number);
            InterfaceStatus {
                addresses: interface.addresses.iter().map(IpCidr::to_string).collect(),
                interface,
                asks_for_address: links().any(Link::asks_for_address),
                lease: links().find_map(Link::lease).map(|lease| LeaseStatus {
                    server: lease.server.to_string(),
                    expires: lease.expires.secs().cast_unsigned(),
                    router: lease.router.as_ref().map(ToString::to_string),
                    name_servers: lease.name_servers.iter().map(ToString::to_string).collect(),
                }),
                counters: stack.devices[number].counters,
            }
        };
        rows.map(row).collect()
    })
}

/// Returns the routes in the order in which they are tried, but for the lengths of their networks.
pub fn routes() -> Vec<RouteStatus> {
    stack::with(|stack| {
        let mut routes = Vec::new();
        for link in stack.links.iter().filter(|link| link.is_up) {
            let interface = &stack.devices[link.device].name;
            if let Some(router) = link.router() {
                routes.push(RouteStatus {
                    destination: match link.version {
                        Version::V4 => "0.0.0.0/0".into(),
                        Version::V6 => "::/0".into(),
                    },
                    gateway: Some(router.to_string()),
                    interface: interface.clone(),
                });
            }
            for address in link.addresses() {
                let network = match address {
                    IpCidr::Ipv4(address) => IpCidr::Ipv4(address.network()),
                    IpCidr::Ipv6(address) => {
                        let bits = address.address().to_bits();
                        let mask = u128::MAX.checked_shl(128 - u32::from(address.prefix_len()));
                        let network = (bits & mask.unwrap_or(0)).to_be_bytes();
                        IpCidr::new(IpAddress::Ipv6(network.into()), address.prefix_len())
                    }
                };
                routes.push(RouteStatus {
                    destination: network.to_string(),
                    gateway: None,
                    interface: interface.clone(),
                });
            }
        }
        routes
    })
}

/// Returns the sockets that have an address.
pub fn sockets() -> Vec<SocketStatus> {
    stack::with(|stack| {
        let mut rows = listeners(stack);
        for link in &stack.links {
            rows.extend(link.sockets.iter().filter_map(|(_, socket)| {
                let Socket::Tcp(socket) = socket else {
                    return None;
                };
                Some(SocketStatus {
                    protocol: match link.version {
                        Version::V4 => "tcp",
                        Version::V6 => "tcp6",
                    },
                    local: words(socket.local_endpoint()?),
                    remote: Some(words(socket.remote_endpoint()?)),
                    state: state_name(socket.state())?,
                    receive_queue: socket.recv_queue(),
                    send_queue: socket.send_queue(),
                })
            }));
        }
        rows.extend(stack.udp.values().filter_map(|entry| entry.status()));
        rows.extend(stack.raw.values().map(RawEntry::status));
        let packet = stack.packet.values();
        rows.extend(packet.map(|entry| entry.status(&stack.devices)));
        rows
    })
}

/// Returns an address and a port as Python has them.
pub(super) fn words(endpoint: IpEndpoint) -> (String, u16) {
    (endpoint.addr.to_string(), endpoint.port)
}

fn listeners(stack: &Stack) -> Vec<SocketStatus> {
    let rows = stack.tcp.iter().filter_map(|(&id, entry)| {
        let Role::Listener(listener) = &entry.role else {
            return None;
        };
        let family = entry.channel.family;
        let binding = stack.tcp_ports.get(id)?;
        let any = family.any(binding.port);
        Some(SocketStatus {
            protocol: match family {
                Family::V4 => "tcp",
                Family::V6 => "tcp6",
            },
            local: words(IpEndpoint::new(
                binding.address.unwrap_or(any.addr),
                binding.port,
            )),
            remote: None,
            state: "LISTEN",
            receive_queue: listener.waiting(),
            send_queue: listener.backlog(),
        })
    });
    rows.collect()
}

/// Returns a connection's state as netstat(8) calls it; `None` for what is none.
fn state_name(state: State) -> Option<&'static str> {
    Some(match state {
        State::Closed | State::Listen => return None,
        State::SynSent => "SYN_SENT",
        State::SynReceived => "SYN_RECV",
        State::Established => "ESTABLISHED",
        State::FinWait1 => "FIN_WAIT1",
        State::FinWait2 => "FIN_WAIT2",
        State::CloseWait => "CLOSE_WAIT",
        State::Closing => "CLOSING",
        State::LastAck => "LAST_ACK",
        State::TimeWait => "TIME_WAIT",
    })
}

/// Changes an interface: ENODEV if there is none of this name, EOPNOTSUPP if it is `lo`, which only can be taken out
/// of use, ENETUNREACH if the gateway is in no network of the interface's.
pub fn configure(name: &str, change: Change) -> Result<(), Errno> {
    stack::with(|stack| {
        let find = |device: &Device| device.name == name;
        let index = stack.devices.iter().position(find).ok_or(Errno::ENODEV)?;
        let links = || stack.links.iter().filter(|link| link.device == index);
        let is_card = links().all(|link| !link.is_loopback());
        let changes_addresses = change.addresses.is_some()
            || change.gateway.is_some()
            || change.asks_for_address == Some(true);
        if changes_addresses && !is_card {
            return Err(Errno::EOPNOTSUPP);
        }
        if let Some(Some(gateway)) = change.gateway {
            let new = change.addresses.unwrap_or_default().iter();
            let old = links().flat_map(Link::addresses);
            let kept = old.filter(|_| change.addresses.is_none() || is_v6(gateway));
            if !new.chain(kept).any(|own| own.contains_addr(&gateway)) {
                return Err(Errno::ENETUNREACH);
            }
        }
        let links = stack.links.iter_mut();
        for link in links.filter(|link| link.device == index) {
            apply(link, change);
        }
        if let Some(is_up) = change.is_up {
            stack.devices[index].is_up = is_up;
        }
        stack.run();
        Ok(())
    })
}

/// The address that an IPv6 interface gives itself stays, whatever others it gets.
fn is_v6(address: IpAddress) -> bool {
    Version::of(address) == Version::V6
}

fn apply(link: &mut Link, change: Change) {
    if let Some(asks) = change.asks_for_address
        && link.version == Version::V4
    {
        link.ask_for_address(asks);
    }
    if let Some(addresses) = change.addresses {
        let mine = addresses.iter().copied();
        let mine: Vec<_> = mine
            .filter(|address| Version::of(address.address()) == link.version)
            .collect();
        link.set_addresses(&mine);
    }
    match change.gateway {
        Some(None) => link.set_router(None),
        Some(Some(gateway)) if Version::of(gateway) == link.version => {
            link.set_router(Some(gateway));
        }
        _ => {}
    }
    if let Some(is_up) = change.is_up {
        link.is_up = is_up;
    }
}
