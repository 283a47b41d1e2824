//! The network: interfaces, routes, sockets.

use alloc::string::String;
use core::ffi::CStr;
use core::net::IpAddr;

use smoltcp::wire::{IpAddress, IpCidr};

use super::call::Call;
use super::enter::{enter, enter_owned};
use super::object::{self, Error, Result};
use crate::libc::errno::Errno;
use crate::net::status::{self, ADDRESSES_MAX, Change, LeaseStatus};

const NO_PREFIX: Error =
    Error::Value(c"an address is that of one machine, with its network's length: 10.0.2.15/24");

/// `net_interfaces()`.
pub fn interfaces(_: &Call) -> Result {
    let rows = enter_owned(status::collect_interfaces);
    object::list(rows.iter(), |row| {
        let (interface, counters) = (&row.interface, &row.counters);
        object::dict([
            (c"name", object::str(interface.name.as_bytes())),
            (c"index", object::int(interface.index.into())),
            (
                c"mac",
                interface
                    .mac
                    .as_ref()
                    .map_or_else(object::none, |mac| object::bytes(mac)),
            ),
            (c"mtu", object::int(interface.mtu.into())),
            (c"up", object::bool(interface.is_up)),
            (c"addresses", strings(&row.addresses)),
            (c"dhcp", object::bool(row.asks_for_address)),
            (
                c"lease",
                row.lease.as_ref().map_or_else(object::none, lease),
            ),
            (c"rx_bytes", object::int(counters.rx_bytes)),
            (c"rx_packets", object::int(counters.rx_packets)),
            (c"rx_errors", object::int(counters.rx_errors)),
            (c"rx_dropped", object::int(counters.rx_dropped)),
            (c"tx_bytes", object::int(counters.tx_bytes)),
            (c"tx_packets", object::int(counters.tx_packets)),
            (c"tx_errors", object::int(counters.tx_errors)),
            (c"tx_dropped", object::int(counters.tx_dropped)),
        ])
    })
}

fn lease(lease: &LeaseStatus) -> Result {
    object::dict([
        (c"server", object::str(lease.server.as_bytes())),
        (c"expires", object::int(lease.expires)),
        (c"router", string_or_none(lease.router.as_deref())),
        (c"name_servers", strings(&lease.name_servers)),
    ])
}

fn strings(texts: &[String]) -> Result {
    object::list(texts, |text| object::str(text.as_bytes()))
}

fn string_or_none(text: Option<&str>) -> Result {
    text.map_or_else(object::none, |text| object::str(text.as_bytes()))
}

/// `net_routes()`.
pub fn routes(_: &Call) -> Result {
    let rows = enter_owned(status::routes);
    object::list(rows.iter(), |row| {
        object::dict([
            (c"destination", object::str(row.destination.as_bytes())),
            (c"gateway", string_or_none(row.gateway.as_deref())),
            (c"interface", object::str(row.interface.as_bytes())),
        ])
    })
}

/// `net_sockets()`.
pub fn sockets(_: &Call) -> Result {
    let rows = enter_owned(status::sockets);
    object::list(rows.iter(), |row| {
        object::dict([
            (c"protocol", object::str(row.protocol.as_bytes())),
            (c"local", endpoint(&row.local)),
            (
                c"remote",
                row.remote.as_ref().map_or_else(object::none, endpoint),
            ),
            (c"state", object::str(row.state.as_bytes())),
            (c"receive_queue", object::int(row.receive_queue as u64)),
            (c"send_queue", object::int(row.send_queue as u64)),
        ])
    })
}

/// Makes a tuple of an address and a port.
fn endpoint((address, port): &(String, u16)) -> Result {
    object::tuple([object::str(address.as_bytes()), object::int((*port).into())])
}

/// `net_configure(name, dhcp, addresses, gateway, up)`.
pub fn configure(call: &Call) -> Result {
    /// Room for each IP version's.
    const PLACES: usize = 2 * ADDRESSES_MAX;
    let name = text(call.text(0)?)?;
    let mut addresses = [IpCidr::new(IpAddress::v4(0, 0, 0, 0), 0); PLACES];
    let mut count = 0;
    let list = call.sequence(2)?;
    if let Some(list) = &list {
        for index in 0..list.len() {
            let address = prefix(list.text(index)?)?;
            let of_version = addresses[..count]
                .iter()
                .filter(|other| other.address().version() == address.address().version());
            if of_version.count() == ADDRESSES_MAX {
                return Err(Error::Value(c"so many addresses have no room"));
            }
            addresses[count] = address;
            count += 1;
        }
    }
    let change = Change {
        asks_for_address: call.bool(1)?,
        addresses: list.is_some().then_some(&addresses[..count]),
        gateway: match call.optional_text(3)? {
            None => None,
            Some(b"") => Some(None),
            Some(address) => Some(Some(
                unicast(address).ok_or(Error::Value(c"a gateway is the address of one machine"))?,
            )),
        },
        is_up: call.bool(4)?,
    };
    match enter(|| status::configure(name, change)) {
        Ok(()) => object::none(),
        Err(errno) => Err(Error::Os(errno, reason(errno))),
    }
}

fn reason(errno: Errno) -> &'static CStr {
    match errno {
        Errno::ENODEV => c"there is no such interface",
        Errno::EOPNOTSUPP => c"this interface has addresses of its own",
        _ => c"the gateway is in no network of this interface",
    }
}

fn text(bytes: &[u8]) -> Result<&str> {
    core::str::from_utf8(bytes).map_err(|_| Error::Value(c"this is no name"))
}

fn unicast(bytes: &[u8]) -> Option<IpAddress> {
    let address: IpAddr = core::str::from_utf8(bytes).ok()?.parse().ok()?;
    Some(IpAddress::from(address)).filter(|address| address.is_unicast())
}

fn prefix(bytes: &[u8]) -> Result<IpCidr> {
    let parse = || {
        let slash = bytes.iter().position(|&byte| byte == b'/')?;
        let address = unicast(&bytes[..slash])?;
        let len: u8 = core::str::from_utf8(&bytes[slash + 1..])
            .ok()?
            .parse()
            .ok()?;
        let len_max = match address {
            IpAddress::Ipv4(_) => 32,
            IpAddress::Ipv6(_) => 128,
        };
        (len <= len_max).then(|| IpCidr::new(address, len))
    };
    parse().ok_or(NO_PREFIX)
}
