//! The interfaces as programs see them: a number and a name for the links that share a device, and
//! what the ioctls of netdevice(7) tell of them.

use super::address::Family;
use super::device::Device;
use super::link::Link;
use super::stack::{self, Stack};
use crate::libc::errno::{Errno, SysResult};
use crate::memory::user;
use alloc::string::String;
use alloc::vec::Vec;
use linux_raw_sys::if_arp::{ARPHRD_ETHER, ARPHRD_LOOPBACK, net_device_flags as flag};
use linux_raw_sys::ioctl as requests;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, IpEndpoint, Ipv4Address, Ipv4Cidr};

/// Bytes of an interface's name, its NUL included.
const NAME_LEN: usize = 16;
/// Bytes of `struct ifreq`: a name, and what a request is about.
const REQUEST_LEN: usize = 40;

/// An interface.
#[derive(Clone, Debug)]
pub struct Interface {
    /// As if_nametoindex(3) gives it.
    pub index: u32,
    /// `lo`, `eth0`.
    pub name: String,
    /// Its Ethernet address, if it is a card.
    pub mac: Option<[u8; 6]>,
    /// The longest packet that it carries.
    pub mtu: u32,
    /// Whether it is in use.
    pub is_up: bool,
    /// Its addresses with their networks.
    pub addresses: Vec<IpCidr>,
}

impl Interface {
    /// Returns its IFF_* flags.
    pub fn flags(&self) -> u32 {
        let kind = match self.mac {
            None => flag::IFF_LOOPBACK as u32,
            Some(_) => flag::IFF_BROADCAST as u32 | flag::IFF_MULTICAST as u32,
        };
        let state = match self.is_up {
            true => flag::IFF_UP as u32 | flag::IFF_RUNNING as u32,
            false => 0,
        };
        state | kind
    }

    /// Returns its ARPHRD_* type.
    pub fn kind(&self) -> u16 {
        let kind = match self.mac {
            None => ARPHRD_LOOPBACK,
            Some(_) => ARPHRD_ETHER,
        };
        kind as u16
    }

    fn v4(&self) -> Option<Ipv4Cidr> {
        self.addresses.iter().find_map(|address| match address {
            IpCidr::Ipv4(address) => Some(*address),
            IpCidr::Ipv6(_) => None,
        })
    }
}

/// Returns the number of a device; they count from 1, as Linux's do.
pub fn index_of(device: usize) -> u32 {
    device as u32 + 1
}

/// Returns all interfaces, in the order of their numbers.
pub fn all(stack: &Stack) -> Vec<Interface> {
    let devices = stack.devices.iter().enumerate();
    let interface = |(number, device): (usize, &Device)| {
        let links = stack.links.iter().filter(|link| link.device == number);
        Interface {
            index: index_of(number),
            name: device.name.clone(),
            mac: match device.hardware_address() {
                HardwareAddress::Ethernet(address) => Some(address.0),
                HardwareAddress::Ip => None,
            },
            mtu: device.mtu() as u32,
            is_up: device.is_up,
            addresses: links.flat_map(Link::addresses).copied().collect(),
        }
    };
    devices.map(interface).collect()
}

fn v4_bytes(address: Ipv4Address) -> Vec<u8> {
    Family::V4.to_bytes(IpEndpoint::new(IpAddress::Ipv4(address), 0))
}

/// Answers the requests that netdevice(7) has for every socket; `None`: this is not one of them.
pub fn ioctl(request: u32, argument: usize) -> Option<SysResult> {
    let is_ours = matches!(
        request,
        requests::SIOCGIFCONF
            | requests::SIOCGIFNAME
            | requests::SIOCGIFINDEX
            | requests::SIOCGIFFLAGS
            | requests::SIOCGIFMTU
            | requests::SIOCGIFADDR
            | requests::SIOCGIFNETMASK
            | requests::SIOCGIFBRDADDR
            | requests::SIOCGIFHWADDR
    );
    is_ours.then(|| match request {
        requests::SIOCGIFCONF => list(argument),
        _ => tell(request, argument),
    })
}

/// SIOCGIFCONF: the IPv4 address of every interface that has one.
fn list(argument: usize) -> SysResult {
    /// Where `struct ifconf` has its pointer, after a length.
    const BUFFER: usize = 8;
    let interfaces = stack::with(|stack| all(stack));
    let mut entries = Vec::new();
    for interface in interfaces {
        if let Some(address) = interface.v4() {
            let end = entries.len() + REQUEST_LEN;
            put_name(&mut entries, &interface.name);
            entries.extend(v4_bytes(address.address()));
            entries.resize(end, 0);
        }
    }
    let buffer = user::read_user::<usize>(argument + BUFFER)?;
    let mut len = entries.len();
    if buffer != 0 {
        let room = usize::try_from(user::read_user::<i32>(argument)?).unwrap_or(0);
        len = len.min(room / REQUEST_LEN * REQUEST_LEN);
        user::copy_to_user(buffer, &entries[..len])?;
    }
    user::write_user(argument, &(len as i32))?;
    Ok(0)
}

fn put_name(bytes: &mut Vec<u8>, name: &str) {
    let end = bytes.len() + NAME_LEN;
    bytes.extend(name.bytes().take(NAME_LEN - 1));
    bytes.resize(end, 0);
}

/// Answers the requests that name one interface, by its name or (SIOCGIFNAME) its number.
fn tell(request: u32, argument: usize) -> SysResult {
    let asked = user::read_user::<[u8; REQUEST_LEN]>(argument)?;
    let (name, number) = (&asked[..NAME_LEN], &asked[NAME_LEN..]);
    let name = name.split(|&byte| byte == 0).next().unwrap_or(name);
    let number = number
        .first_chunk()
        .map_or(0, |word| u32::from_ne_bytes(*word));
    let interfaces = stack::with(|stack| all(stack));
    let is_meant = |interface: &&Interface| match request {
        requests::SIOCGIFNAME => interface.index == number,
        _ => interface.name.as_bytes() == name,
    };
    let interface = interfaces.iter().find(is_meant).ok_or(Errno::ENODEV)?;
    let address = || interface.v4().ok_or(Errno::EADDRNOTAVAIL);
    if request == requests::SIOCGIFNAME {
        let mut bytes = Vec::new();
        put_name(&mut bytes, &interface.name);
        user::copy_to_user(argument, &bytes)?;
        return Ok(0);
    }
    let bytes = match request {
        requests::SIOCGIFINDEX => interface.index.to_ne_bytes().to_vec(),
        requests::SIOCGIFFLAGS => (interface.flags() as u16).to_ne_bytes().to_vec(),
        requests::SIOCGIFMTU => interface.mtu.to_ne_bytes().to_vec(),
        requests::SIOCGIFADDR => v4_bytes(address()?.address()),
        requests::SIOCGIFNETMASK => v4_bytes(address()?.netmask()),
        requests::SIOCGIFBRDADDR => {
            v4_bytes(address()?.broadcast().unwrap_or(Ipv4Address::UNSPECIFIED))
        }
        _ => {
            let mut bytes = interface.kind().to_ne_bytes().to_vec();
            bytes.extend_from_slice(&interface.mac.unwrap_or_default());
            bytes
        }
    };
    user::copy_to_user(argument + NAME_LEN, &bytes)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_links_of_lo_are_one_interface() {
        let found = stack::with(|stack| all(stack));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].index, found[0].name.as_str()), (1, "lo"));
        assert_eq!(found[0].addresses.len(), 2);
        assert_eq!(found[0].flags() & flag::IFF_LOOPBACK as u32, 8);
    }
}
