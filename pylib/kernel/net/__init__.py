"""The network as Python sees it.

    Server             Python sessions over TCP
    read_access()      who is let in to them, an `Access`, by the options on the kernel's command line
"""

import importlib
from typing import TYPE_CHECKING

from kernel.net import _access
from kernel.net._access import Access, BadOption

if TYPE_CHECKING:
    from kernel.net._repl import LIMIT, Server

__all__ = ["LIMIT", "Access", "BadOption", "Server", "read_access"]

#: Modules of this package that are imported when they are first used: every session has `net`.
_LATER = {"LIMIT": "kernel.net._repl", "Server": "kernel.net._repl"}


def __getattr__(name: str) -> object:
    """Imports what was named."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LATER[name]), name)


def read_access() -> Access:
    """Returns who is let in to the Python shell over TCP; raises `BadOption`, a `ValueError`."""
    with open("/proc/cmdline") as file:
        return _access.read(file.read())
