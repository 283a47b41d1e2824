"""Takes the figures: starts both machines in turn and collects what they print."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from harness.serial import Console

BENCHMARKS = "/tests/benchmarks.py"
NETWORK = "/tests/network_speed.py"
FIRST = "/tests/first.py"
#: Seconds that one machine may take over all figures.
TIMEOUT = 900

#: Returns the command that starts a machine: CPUs, memory, arguments of Python, whether it has a network card.
Command = Callable[[int, str, list[str], bool], list[str]]


@dataclass
class Series:
    """All values of one figure on one system, from all its boots."""

    unit: str
    values: list[float] = field(default_factory=list)


@dataclass
class System:
    """One of the systems compared, and what was measured on it."""

    name: str
    command: Command
    #: Its version and options, where they are not the machine's.
    about: str = ""
    figures: dict[str, Series] = field(default_factory=dict)

    def add(self, name: str, unit: str, values: list[float]) -> None:
        """Adds values to a figure."""
        self.figures.setdefault(name, Series(unit)).values.extend(values)


def boot(system: System, cpus: int, memory: str) -> None:
    """Measures the time from the start of QEMU to the first statement in Python."""
    with Console(system.command(cpus, memory, [FIRST], False)) as console:
        first = console.expect(r"@first\r?\n", 120)
        system.add(f"boot_{cpus}_cpus", "s", [round(console.seconds_until(first), 4)])


def suite(system: System, cpus: int, memory: str, repeats: int, names: list[str]) -> None:
    """Takes all figures of tests/guest/benchmarks.py once in a machine of its own."""
    _collect(system, cpus, system.command(cpus, memory, [BENCHMARKS, str(repeats), *names], False))


def network_suite(system: System, cpus: int, memory: str, port: int, repeats: int, names: list[str]) -> None:
    """Takes all figures of tests/guest/network_speed.py; the peer has that port of the host."""
    _collect(system, cpus, system.command(cpus, memory, [NETWORK, str(port), str(repeats), *names], True))


def _collect(system: System, cpus: int, command: list[str]) -> None:
    """Adds the figures that a machine prints."""
    suffix = "" if cpus == 2 else f"_{cpus}_cpus"
    with Console(command) as console:
        deadline = time.monotonic() + TIMEOUT
        while True:
            line = console.expect(r"^@(figure \{.*\}|end)\r?\n", deadline - time.monotonic())[1].decode()
            if line == "end":
                return
            figure: dict[str, Any] = json.loads(line.removeprefix("figure "))
            system.add(figure["name"] + suffix, figure["unit"], figure["values"])
