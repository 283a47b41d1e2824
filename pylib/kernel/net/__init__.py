"""The network: interfaces, names, the time of day, and the Python shell over TCP.

    interfaces, routes, sockets   what there is at this moment: iterate, or call for a list
    interfaces["eth0"]            one interface: addresses, MAC, MTU, counters, lease
    ifconfig(...)                 show and set addresses, gateway, name servers, the host's name
    resolve(name)                 the addresses of a host; reverse(address) its name
    ntp(server)                   set the wall clock by a time server
    Server                        Python sessions over TCP
    read_access()                 who is let in to them, an `Access`, by the options on the kernel's command line

Connections are made with the standard library: `socket`, `asyncio`, `http`. Threads may share everything here.
"""

import importlib
from typing import TYPE_CHECKING

from kernel.net import _access
from kernel.net._access import Access, BadOption

if TYPE_CHECKING:
    from kernel.net._configuration import Configuration, ifconfig, name_servers
    from kernel.net._interfaces import Interface, Lease, Route, SocketInfo, interfaces, routes, sockets
    from kernel.net._ntp import ClockCorrection, ntp
    from kernel.net._repl import LIMIT, Server
    from kernel.net._resolver import resolve, reverse

__all__ = [
    "interfaces", "routes", "sockets", "Interface", "Lease", "Route", "SocketInfo", "ifconfig", "Configuration",
    "name_servers", "resolve", "reverse", "ntp", "ClockCorrection", "LIMIT", "Access", "BadOption", "Server",
    "read_access",
]  # fmt: skip

#: What is imported when it is first used, by module: every session has `net`.
_LATER = {
    "_configuration": ("Configuration", "ifconfig", "name_servers"),
    "_interfaces": ("Interface", "Lease", "Route", "SocketInfo", "interfaces", "routes", "sockets"),
    "_ntp": ("ClockCorrection", "ntp"),
    "_repl": ("LIMIT", "Server"),
    "_resolver": ("resolve", "reverse"),
}


def __getattr__(name: str) -> object:
    """Imports what was named."""
    for module, names in _LATER.items():
        if name in names:
            return getattr(importlib.import_module(f"kernel.net.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Returns the public names, those that are not imported yet too."""
    return sorted({*globals(), *__all__})


def read_access() -> Access:
    """Returns who is let in to the Python shell over TCP; raises `BadOption`, a `ValueError`."""
    with open("/proc/cmdline") as file:
        return _access.read(file.read())
