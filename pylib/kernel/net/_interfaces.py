"""Interfaces, routes and sockets as the kernel has them at this moment."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import _hal
from kernel._reload import keep

_Entry = TypeVar("_Entry")

#: An address and a port.
Endpoint = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Lease:
    """What a DHCP server has lent an interface."""

    server: str
    #: When it ends, in seconds of `time.monotonic()`.
    expires_s: float
    router: str | None
    name_servers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface at one moment; bytes and packets are counted since power-on."""

    name: str
    #: As `socket.if_nametoindex` has it.
    index: int
    #: As `52:54:00:12:34:56`; None for loopback.
    mac: str | None
    #: The most bytes of one packet.
    mtu: int
    is_up: bool
    #: Each with the length of its prefix: `10.0.2.15/24`.
    addresses: tuple[str, ...]
    #: Whether it asks for a lease.
    uses_dhcp: bool
    lease: Lease | None
    rx_bytes: int
    rx_packets: int
    #: Packets that were malformed.
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int

    def __str__(self) -> str:
        """Returns the lines that `ifconfig` prints."""
        flags = ["up" if self.is_up else "down"] + (["dhcp"] if self.uses_dhcp else [])
        lines = [f"{self.name}: <{','.join(flags)}>  mtu {self.mtu}"]
        lines += [f"{'inet6' if ':' in address else 'inet'} {address}" for address in self.addresses]
        if self.mac is not None:
            lines.append(f"ether {self.mac}")
        if self.lease is not None:
            rest_s = max(0, round(self.lease.expires_s - time.monotonic()))
            lines.append(f"lease of {self.lease.server} for another {rest_s} s")
        for way in ("rx", "tx"):
            packets, count, errors, dropped = (
                getattr(self, f"{way}_{what}") for what in ("packets", "bytes", "errors", "dropped")
            )
            lines.append(f"{way.upper()} packets {packets}  bytes {count}  errors {errors}  dropped {dropped}")
        return "\n        ".join(lines)


@dataclass(frozen=True, slots=True)
class Route:
    """Where packets to some addresses go."""

    #: A prefix; `0.0.0.0/0` and `::/0` are every address.
    destination: str
    #: Who passes them on; None for neighbours.
    gateway: str | None
    #: The interface's name.
    interface: str

    def __str__(self) -> str:
        """Returns it as `ip route` writes it."""
        destination = "default" if self.destination in ("0.0.0.0/0", "::/0") else self.destination
        return f"{destination}{f' via {self.gateway}' if self.gateway else ''} dev {self.interface}"


@dataclass(frozen=True, slots=True)
class SocketInfo:
    """One socket of the Internet families, or one that takes whole frames."""

    #: tcp, tcp6, udp, udp6, raw, raw6 or packet.
    protocol: str
    local: Endpoint
    remote: Endpoint | None
    #: A TCP socket's, in Linux's words, as `LISTEN`; empty for others.
    state: str
    #: Bytes that have arrived and were not read, that were written and not acknowledged.
    receive_queue: int
    send_queue: int


class View(Generic[_Entry]):
    """What the machine has of one kind. It asks at each use; calling it gives a list, which stays as it is.

    Threads may share it.
    """

    def _read(self) -> list[_Entry]:
        """Asks the machine."""
        raise NotImplementedError

    def __call__(self) -> list[_Entry]:
        """Returns what is there now."""
        return self._read()

    def __iter__(self) -> Iterator[_Entry]:
        """Yields what is there now."""
        return iter(self._read())

    def __len__(self) -> int:
        """Counts what is there now."""
        return len(self._read())

    def __repr__(self) -> str:
        """Shows what is there now."""
        return "\n".join(str(entry) for entry in self._read()) or f"<no {type(self).__name__.lower()}>"


class Interfaces(View[Interface]):
    """The interfaces: iterate, or ask for one by its name."""

    def _read(self) -> list[Interface]:
        return [_interface(row) for row in _hal.net_interfaces()]

    def __getitem__(self, name: str) -> Interface:
        """Returns the interface of this name; raises `KeyError` if there is none."""
        for interface in self._read():
            if interface.name == name:
                return interface
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        """Tells whether there is an interface of this name."""
        return any(interface.name == name for interface in self._read())


class Routes(View[Route]):
    """The routes."""

    def _read(self) -> list[Route]:
        return [Route(**row) for row in _hal.net_routes()]


class Sockets(View[SocketInfo]):
    """The sockets."""

    def _read(self) -> list[SocketInfo]:
        return [SocketInfo(**row) for row in _hal.net_sockets()]


def _interface(row: dict[str, Any]) -> Interface:
    lease = row.pop("lease")
    return Interface(
        mac=None if (mac := row.pop("mac")) is None else mac.hex(":"),
        is_up=row.pop("up"),
        addresses=tuple(row.pop("addresses")),
        uses_dhcp=row.pop("dhcp"),
        lease=None
        if lease is None
        else Lease(lease["server"], lease["expires"], lease["router"], tuple(lease["name_servers"])),
        **row,
    )


interfaces = keep(globals().get("interfaces"), Interfaces)
routes = keep(globals().get("routes"), Routes)
sockets = keep(globals().get("sockets"), Sockets)
