"""usage: netstat [-irltuwn]

Prints every network interface with its addresses and counters, and every socket with its state.

  -i  the interfaces alone
  -r  the routes alone
  -l  of the sockets those that wait for clients
  -t, -u, -w  of the sockets those of TCP, of UDP, the raw ones
  -a, -n      nothing more: all are shown, in numbers, anyway
"""

from kernel import net
from kernel.command import parse

argv: list[str]

WAYS = ("rx", "tx")
COUNTED = ("bytes", "packets", "errors", "dropped")


def table(header: list[str], rows: list[list[str]], right: frozenset[str] = frozenset()) -> None:
    """Prints rows below each other; columns whose header is in `right` end in line."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, *rows]:
        cells = [
            text.rjust(width) if title in right else text.ljust(width)
            for title, text, width in zip(header, row, widths, strict=True)
        ]
        print(" ".join(cells).rstrip())


def show_interfaces() -> None:
    """Prints the interfaces."""
    counters = [(f"{way.upper()}-{what.upper()}", f"{way}_{what}") for way in WAYS for what in COUNTED]
    header = ["NAME", "STATE", "MTU", *(title for title, _ in counters), "ADDRESSES"]
    rows = [
        [
            interface.name,
            "up" if interface.is_up else "down",
            str(interface.mtu),
            *(str(getattr(interface, field)) for _, field in counters),
            " ".join(interface.addresses) or "-",
        ]
        for interface in net.interfaces
    ]
    table(header, rows, frozenset({"MTU", *(title for title, _ in counters)}))


def show_routes() -> None:
    """Prints the routes."""
    rows = [[route.destination, route.gateway or "-", route.interface] for route in net.routes]
    table(["DESTINATION", "GATEWAY", "INTERFACE"], rows)


def endpoint(place: tuple[str, int] | None) -> str:
    """Returns an address and a port; `*` where there is none."""
    if place is None:
        return "*:*"
    address, port = place
    return f"{f'[{address}]' if ':' in address else address}:{port or '*'}"


def show_sockets(protocols: tuple[str, ...], *, listening: bool) -> None:
    """Prints the sockets."""
    rows = [
        [
            found.protocol,
            str(found.receive_queue),
            str(found.send_queue),
            endpoint(found.local),
            endpoint(found.remote),
            found.state or "-",
        ]
        for found in net.sockets
        if found.protocol.startswith(protocols) and (not listening or found.state == "LISTEN")
    ]
    header = ["PROTO", "RECV-Q", "SEND-Q", "LOCAL ADDRESS", "FOREIGN ADDRESS", "STATE"]
    table(header, rows, frozenset({"RECV-Q", "SEND-Q"}))


def main(argv: list[str]) -> None:
    """Prints what is asked for."""
    options = parse(__doc__, argv, flags="airltuwn", most=0)
    if "i" in options:
        show_interfaces()
    if "r" in options:
        show_routes()
    if "i" in options or "r" in options:
        return
    chosen = [names for letter, names in (("t", ("tcp",)), ("u", ("udp",)), ("w", ("raw", "packet"))) if letter in options]
    if not chosen and "l" not in options:
        show_interfaces()
        print()
    protocols = tuple(name for names in chosen for name in names)
    show_sockets(protocols or ("",), listening="l" in options)


main(argv)
