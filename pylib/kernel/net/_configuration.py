"""Shows and sets what an interface has: addresses, gateway, name servers, and the host's name."""

import errno
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import _hal
from kernel.net._interfaces import Interface, Route, interfaces, routes

#: Where the C library's resolver finds names without a server, and the servers: hosts(5), resolv.conf(5).
HOSTS = "/etc/hosts"
RESOLV_CONF = "/etc/resolv.conf"
#: The address of this machine's own name there, as Debian has it: no card need have one.
OWN_ADDRESS = "127.0.1.1"
#: It takes no more of them.
MOST_NAME_SERVERS = 3


@dataclass(frozen=True, slots=True, repr=False)
class Configuration:
    """What `ifconfig` shows."""

    interfaces: tuple[Interface, ...]
    #: The routes that lead to everywhere else.
    gateways: tuple[Route, ...]
    name_servers: tuple[str, ...]
    hostname: str

    def __str__(self) -> str:
        """Returns it as text of several lines."""
        lines = [str(interface) for interface in self.interfaces]
        lines += [f"gateway {route.gateway} by {route.interface}" for route in self.gateways]
        if self.name_servers:
            lines.append(f"name servers {' '.join(self.name_servers)}")
        return "\n".join([*lines, f"host name {self.hostname}"])

    # So that the prompt shows it.
    __repr__ = __str__


def ifconfig(
    name: str | None = None,
    *,
    dhcp: bool | None = None,
    addresses: str | Sequence[str] | None = None,
    gateway: str | None = None,
    dns: str | Sequence[str] | None = None,
    hostname: str | None = None,
    up: bool | None = None,
) -> Configuration:
    """Sets what is given, of the interface `name`, and returns what counts then.

    Without `name` it shows every interface and sets the one card, if there is one only. `dhcp=True` asks for a lease in
    place of static addresses; `addresses` are such, with the lengths of their prefixes: `"10.0.2.50/24"`; `gateway` is
    an address, `""` for none; `dns` the addresses of at most 3 name servers, in use until the next lease brings others;
    `hostname` names the machine; `up=False` stops the interface. What is not given stays.

    Raises `ValueError` for what is no address or name, and where both DHCP and addresses are asked for; `TypeError`
    for other types; `OSError` if there is no such interface (`ENODEV`) or it cannot be had.
    """
    servers = None if dns is None else _check_name_servers([dns] if isinstance(dns, str) else list(dns))
    if hostname is not None and not re.fullmatch(r"(?!-)[A-Za-z0-9.-]{1,64}(?<!-)", hostname):
        raise ValueError(f"{hostname!r} is no host name")
    if addresses is not None:
        addresses = [_check_prefix(text) for text in ([addresses] if isinstance(addresses, str) else addresses)]
        if dhcp:
            raise ValueError("an interface has static addresses or those of DHCP")
        dhcp = False
    elif dhcp:
        addresses = []
    if name is not None and name not in interfaces:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), name)
    if any(setting is not None for setting in (dhcp, addresses, gateway, up)):
        # In one call: a machine that loses its address keeps it if its gateway is wrong.
        _hal.net_configure(name or _only_card(), dhcp=dhcp, addresses=addresses, gateway=gateway, up=up)
    if servers is not None:
        _replace_lines(RESOLV_CONF, "nameserver", [f"nameserver {server}" for server in servers])
    if hostname is not None:
        import socket

        socket.sethostname(hostname)
        # Servers look their own name up when they begin: none else need be asked for it.
        _replace_lines(HOSTS, OWN_ADDRESS, [f"{OWN_ADDRESS}\t{hostname}"])
    return Configuration(
        tuple(interface for interface in interfaces if name in (None, interface.name)),
        tuple(route for route in routes if route.destination in ("0.0.0.0/0", "::/0")),
        tuple(name_servers()),
        os.uname().nodename,
    )


def _only_card() -> str:
    """Returns the name of the only interface beside loopback."""
    cards = [interface.name for interface in interfaces if interface.mac is not None]
    if len(cards) != 1:
        raise ValueError(f"which interface? There are {', '.join(cards)}" if cards else "there is no network card")
    return cards[0]


def name_servers() -> list[str]:
    """Returns the addresses of the name servers that are asked, in order."""
    rows = [line.split() for line in _lines(RESOLV_CONF)]
    return [row[1] for row in rows if len(row) > 1 and row[0] == "nameserver"]


def _check_prefix(text: str) -> str:
    """Returns an address with the length of its prefix, for which a mask may stand."""
    from ipaddress import ip_interface

    found = str(ip_interface(text).with_prefixlen)
    if "/" not in text:
        raise ValueError(f"{text!r} lacks the length of its prefix, as in {text}/24")
    return found


def _check_name_servers(servers: list[str]) -> list[str]:
    from ipaddress import ip_address

    if len(servers) > MOST_NAME_SERVERS:
        raise ValueError(f"{len(servers)} name servers: the resolver asks {MOST_NAME_SERVERS} at most")
    return [str(ip_address(server)) for server in servers]


def _lines(path: str) -> list[str]:
    """Returns the lines of a file that may be missing: the C library does without."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().splitlines()
    except FileNotFoundError:
        return []


def _replace_lines(path: str, key: str, lines: list[str]) -> None:
    """Puts `lines` in place of those lines of a file whose first word is `key`."""
    kept = [line for line in _lines(path) if line.split()[:1] != [key]]
    # Renamed, as somebody may read the file at this moment.
    new = f"{path}.new"
    with open(new, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.writelines(f"{line}\n" for line in [*kept, *lines])
    os.replace(new, path)
