"""Starts virtual machines for tests and keeps those that several tests share."""

from __future__ import annotations

import itertools
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

from harness import qemu
from harness.paths import BUILD
from harness.serial import Guest, Prompt
from harness.settings import Settings

AGENT = ("/tests/agent.py",)
#: Where the console of every machine of a test run is kept, by build and number.
TRANSCRIPTS = BUILD / "test"


@dataclass(frozen=True)
class Shape:
    """What one kind of test machine looks like."""

    cpus: int = 2
    memory: str = "1G"
    append: tuple[str, ...] = ()


class Options(TypedDict, total=False):
    """What a machine may have beside its shape; see `qemu.command`."""

    restarts: bool
    iso: bool
    firmware: str
    machine: str
    cpu: str
    devices: Sequence[str]
    qemu: Sequence[str]
    counted: bool
    forwards: Mapping[int, int]
    networks: Sequence[str]


class Machines:
    """Starts machines of one build. One thread uses it, except for `guest`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._transcripts = TRANSCRIPTS / settings.config
        shutil.rmtree(self._transcripts, ignore_errors=True)
        self._numbers = itertools.count(1)
        self._shared: dict[Shape, tuple[Guest, ExitStack]] = {}

    def command(self, shape: Shape, python_argv: Sequence[str], **options: Unpack[Options]) -> list[str]:
        """Returns the QEMU command line of a machine that leaves QEMU when it panics."""
        return qemu.command(
            self.settings,
            cpus=shape.cpus,
            memory=shape.memory,
            append=["panic=exit", *shape.append],
            python_argv=list(python_argv),
            **options,
        )

    @contextmanager
    def guest(self, shape: Shape, **options: Unpack[Options]) -> Iterator[Guest]:
        """Starts a machine that answers calls."""
        command = self.command(shape, AGENT, **options)
        with Guest(command, boot_timeout=60 + 5 * shape.cpus, transcript=self._transcript("guest", shape)) as guest:
            yield guest

    @contextmanager
    def prompt(self, shape: Shape, terminal: str = "dumb", **options: Unpack[Options]) -> Iterator[Prompt]:
        """Starts a machine and waits for its prompt."""
        shape = Shape(shape.cpus, shape.memory, (*shape.append, f"env.TERM={terminal}"))
        command, transcript = self.command(shape, (), **options), self._transcript("prompt", shape)
        with Prompt(command, transcript, full_screen=terminal != "dumb") as prompt:
            prompt.wait_for_prompt(60 + 5 * shape.cpus)
            yield prompt

    def shared(self, shape: Shape) -> Guest:
        """Returns the machine of this shape that tests share; starts it if it is not alive.

        One machine is kept at a time: an idle one costs little, but its memory is not free.
        """
        found = self._shared.get(shape)
        if found is not None and found[0].is_alive():
            return found[0]
        self.close()
        stack = ExitStack()
        guest = stack.enter_context(self.guest(shape))
        self._shared[shape] = guest, stack
        return guest

    def close(self) -> None:
        """Ends the machines that tests share."""
        while self._shared:
            _, (_, stack) = self._shared.popitem()
            stack.close()

    def _transcript(self, kind: str, shape: Shape) -> Path:
        return self._transcripts / f"{next(self._numbers):03}-{kind}-{shape.cpus}cpu-{shape.memory}.log"


class HostLoad:
    """Tells how busy the host was with other work, for figures that need a quiet host."""

    #: Share of the host's CPU time that others may take before a timing means nothing.
    QUIET = 0.10

    def __init__(self, guest_pid: int) -> None:
        self._pid = guest_pid
        self._start = self._read()

    def others(self) -> float:
        """Returns the share of the host's CPU time, 0 to 1, that others took since the start."""
        busy, total, own = (now - then for now, then in zip(self._read(), self._start, strict=True))
        return max(0.0, busy - own) / max(total, 1)

    def _read(self) -> tuple[int, int, int]:
        line = Path("/proc/stat").read_text().split("\n", 1)[0]
        user, nice, system, idle, iowait, irq, softirq, steal = map(int, line.split()[1:9])
        busy = user + nice + system + irq + softirq + steal
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return busy, busy + idle + iowait, int(fields[11]) + int(fields[12])


class HostWaits:
    """Tells how long the host let a machine's virtual CPUs wait for one of its own CPUs, which is no fault of theirs."""

    def __init__(self, guest_pid: int) -> None:
        self._pid = guest_pid
        self._start = self._read()

    def longest(self) -> float:
        """Returns the seconds that the thread of QEMU that waited longest since the start was ready to run and did not."""
        return max(self._since_start()) / 1e9

    def total(self) -> float:
        """Returns the seconds that all threads of QEMU waited together: the most that it costs what goes through several."""
        return sum(self._since_start()) / 1e9

    def _since_start(self) -> list[int]:
        return [now - self._start.get(task, 0) for task, now in self._read().items()]

    def _read(self) -> dict[str, int]:
        # Its second field: nanoseconds on a run queue (Linux, Documentation/scheduler/sched-stats.rst).
        tasks = Path(f"/proc/{self._pid}/task").iterdir()
        return {task.name: int((task / "schedstat").read_text().split()[1]) for task in tasks}


def wait_for_quiet_host(timeout: float = 60.0) -> None:
    """Waits until the host has been idle for a second, or for `timeout` seconds at most."""
    deadline = time.monotonic() + timeout
    idle = re.compile(r"^cpu +(.*)$", re.MULTILINE)

    def read() -> tuple[int, int]:
        match = idle.search(Path("/proc/stat").read_text())
        assert match is not None
        values = [int(value) for value in match[1].split()[:8]]
        return values[3] + values[4], sum(values)

    before = read()
    while time.monotonic() < deadline:
        time.sleep(1.0)
        after = read()
        if after[0] - before[0] >= (1 - HostLoad.QUIET) * (after[1] - before[1]):
            return
        before = after
