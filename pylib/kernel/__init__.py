"""The machine as Python sees it.

    log          write to and read the kernel log
    interrupts   Python functions as interrupt handlers
    memory       physical frames (`pmm`) and page tables (`vmm`)
    bus.pci      devices on the PCI bus, and drivers for them
    scheduler    threads, tasks and CPUs
    fs           files for `async` code (`vfs`), file systems written in Python
    ed           the line editor
    net          the network, and sessions over TCP
    shell        sessions: a Python prompt with commands, over any terminal
    command      what the commands in /bin share

Each is a module, imported when it is first used. `boot()` wires them together and says so in the
log. `poweroff()` and `reboot()` end the machine's work; both raise `PowerError`, a `KernelError`,
when that is not possible.

    KernelError            everything this package raises by itself
    ├── PowerError         the machine could not be switched off or restarted
    └── CommandError       a command of /bin cannot do what it was asked for
"""

import importlib
from types import ModuleType

from kernel._boot import boot
from kernel._errors import CommandError, KernelError, PowerError
from kernel._power import poweroff, reboot

__all__ = ["KernelError", "PowerError", "CommandError", "poweroff", "reboot", "boot"]

_MODULES = ("bus", "command", "ed", "fs", "interrupts", "log", "memory", "net", "scheduler", "shell")


def __getattr__(name: str) -> ModuleType:
    """Imports a module of this package when it is first named.

    Most sessions use few of them, and the time from power on to the prompt is spent in imports.
    """
    if name in _MODULES:
        try:
            return importlib.import_module(f"kernel.{name}")
        except ModuleNotFoundError as error:
            raise AttributeError(f"module 'kernel' has no attribute {name!r}: {error}") from error
    raise AttributeError(f"module 'kernel' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Returns the public names, those of modules that are not imported yet too."""
    return sorted({*globals(), *_MODULES})
