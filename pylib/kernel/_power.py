"""Switching the machine off and restarting it.

The kernel takes both requests through Linux's /proc/sysrq-trigger: one letter,
written by whoever may write the file (proc_sysrq-trigger(5)).
"""

import os
import sys
import time
from contextlib import suppress
from typing import Protocol

from kernel._errors import PowerError

#: How long a request may take before it counts as refused.
_GRACE_S = 10.0


class Machine(Protocol):
    """What this module needs of the kernel."""

    def name(self) -> str:
        """Returns the name of the system that runs this program."""

    def request(self, letter: str) -> None:
        """Hands one sysrq letter to the kernel; raises `OSError` if it refuses."""


class SysrqMachine:
    """The running kernel, reached through /proc."""

    def name(self) -> str:
        """Returns what uname(2) calls the system."""
        return os.uname().sysname

    def request(self, letter: str) -> None:
        """Writes `letter` to /proc/sysrq-trigger."""
        fd = os.open("/proc/sysrq-trigger", os.O_WRONLY | getattr(os, "O_CLOEXEC", 0))
        try:
            os.write(fd, letter.encode("ascii"))
        finally:
            os.close(fd)


def poweroff(machine: Machine | None = None) -> None:
    """Switches the machine off; open files are written out first."""
    _end(machine or SysrqMachine(), "o", "switch off")


def reboot(machine: Machine | None = None) -> None:
    """Restarts the machine; open files are written out first."""
    _end(machine or SysrqMachine(), "b", "restart")


def _end(machine: Machine, letter: str, verb: str) -> None:
    # The file means the same on Linux: without this check a trial run of the
    # package would switch off the machine of whoever tries it.
    if (system := machine.name()) != "PythonOS":
        raise PowerError(f"cannot {verb}: this Python runs on {system}, not on PythonOS")
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os.sync()
    try:
        machine.request(letter)
    except OSError as error:
        raise PowerError(f"cannot {verb}: {error}") from error
    deadline = time.monotonic() + _GRACE_S
    while time.monotonic() < deadline:
        time.sleep(0.05)
    raise PowerError(f"cannot {verb}: the machine is still running after {_GRACE_S:.0f} s")
