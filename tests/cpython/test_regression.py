"""CPython's own tests, run in the guest, each with what is expected of it (expected.toml).

Two machines share the modules between them: most tests keep one CPU busy, or none. What
has time limits runs on the one that the other gives way to. Where a limit is shorter than a
host may keep a virtual CPU from running, and where most of the time is spent waiting, as with
sockets, it runs on a third one, whose clock does not see the host and skips the waits. A
module that takes its machine down costs that machine, not the other modules.
"""

from __future__ import annotations

import os
import queue
import re
import threading
import tomllib
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from harness import qemu, settings
from harness.expectations import of_build
from harness.machines import Machines, Shape
from harness.serial import Guest
from harness.settings import Settings
from harness.toolchain import host_architecture

EXPECTED = tomllib.loads(Path(__file__).with_name("expected.toml").read_text())
#: With PYTHONOS_CPYTHON_TESTS=all those that take minutes or say nothing of the system run as well.
RAN = EXPECTED["ran"] | (EXPECTED["ran_by_hand"] if os.environ.get("PYTHONOS_CPYTHON_TESTS") == "all" else {})
MODULES = sorted(RAN)
#: Test classes, by module, with limits of 1 to 20 ms between two statements.
COUNTED = {"test_os": ["TimerfdTests"], "test_time": ["TimeTestCase"]}
#: Modules that run where nothing that the host does shows in the clock, the longest first.
UNHURRIED = (
    "test_socket",
    "test_asyncio.test_events",
    "test_asyncio.test_sendfile",
    "test_xmlrpc",
    "test_imaplib",
    "test_httpservers",
    "test_docxmlrpc",
    "test_asyncio.test_base_events",
    "test_asyncio.test_buffered_proto",
    "test_asyncio.test_selector_events",
    "test_asyncio.test_server",
    "test_asyncio.test_streams",
    "test_asyncio.test_timeouts",
    "test_asyncio.test_unix_events",
    "test_epoll",
    "test_ftplib",
    "test_httplib",
    "test_poll",
    "test_poplib",
    "test_robotparser",
    "test_smtplib",
    "test_urllib",
    "test_urllib2_localnet",
    "test_wsgiref",
    *EXPECTED["ran_by_hand"],
)
#: Modules whose tests have longer time limits of their own.
TIMED = (
    "test_os",
    "test_threading",
    "test_selectors",
    "test_queue",
    "test_time",
    "test_sched",
    "test_select",
    "test_signal",
)
#: The slowest first, so that the two machines end at about the same time.
LONG = ("test_io", "test_math", "test_free_threading")
#: Two thirds of the time that the list takes on arm64. A session of both architectures runs them on the host's alone.
ONCE = (
    "test_math",
    "test_free_threading",
    "test_socket",
    "test_asyncio.test_events",
    "test_asyncio.test_sendfile",
    "test_asyncio.test_base_events",
)
#: Starts a machine that gets what another one leaves of the host's CPU time.
YIELDING = ("nice", "-n", "19")
#: Seconds that a module may take on an emulated machine: test_math alone takes ten minutes of a CPU of the host.
TIMEOUT = 1800


class Runner:
    """Runs modules on machines of its own, each in a thread."""

    def __init__(self, machines: Machines, names: list[str]) -> None:
        self._machines = machines
        self.results: dict[str, Future[dict[str, Any]]] = {name: Future() for name in names}
        #: What became of the classes in COUNTED.
        self.counted: dict[str, Future[dict[str, Any]]] = {name: Future() for name in COUNTED if name in names}
        self._timed: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._others: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._unhurried: queue.SimpleQueue[str] = queue.SimpleQueue()
        for name in TIMED:
            if name in names:
                self._timed.put(name)
        for name in UNHURRIED:
            if name in names:
                self._unhurried.put(name)
        others = sorted(set(names) - {*TIMED, *UNHURRIED})
        for name in sorted(others, key=lambda name: LONG.index(name) if name in LONG else len(LONG)):
            self._others.put(name)
        binary = qemu.BINARIES[machines.settings.arch]
        self._threads = [
            threading.Thread(target=self._work, args=([self._timed, self._others], ())),
            threading.Thread(target=self._work, args=([self._others], (*YIELDING, binary))),
            threading.Thread(target=self._count, args=((*YIELDING, binary),)),
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Leaves out what has not begun, and waits for what has."""
        for names in self._timed, self._others, self._unhurried:
            while not names.empty():
                names.get()
        for thread in self._threads:
            thread.join()

    def _work(self, queues: list[queue.SimpleQueue[str]], command: tuple[str, ...], counted: bool = False) -> None:
        shape = Shape(cpus=1) if counted else Shape()
        with ExitStack() as stack:
            guest: Guest | None = None
            while (name := self._next(queues)) is not None:
                result = self.results[name]
                try:
                    if guest is None:
                        guest = stack.enter_context(self._machines.guest(shape, qemu=command, counted=counted))
                    left_out = COUNTED.get(name, [])
                    result.set_result(guest.call("regression.run", name, [], left_out, timeout=TIMEOUT))
                except BaseException as error:
                    stack.close()
                    guest = None
                    result.set_exception(error)

    def _count(self, command: tuple[str, ...]) -> None:
        for name, result in self.counted.items():
            try:
                with self._machines.guest(Shape(cpus=1), qemu=command, counted=True) as guest:
                    result.set_result(guest.call("regression.run", name, COUNTED[name], timeout=TIMEOUT))
            except BaseException as error:
                result.set_exception(error)
        self._work([self._unhurried], command, counted=True)

    @staticmethod
    def _next(queues: list[queue.SimpleQueue[str]]) -> str | None:
        """Returns the first name of the first queue that has one."""
        for names in queues:
            with suppress(queue.Empty):
                return names.get_nowait()
        return None


@pytest.fixture(scope="module")
def runner(machines: Machines, request: pytest.FixtureRequest) -> Iterator[Runner]:
    """The runner of the modules that were selected, started when the first result is asked for."""
    machines.close()
    arch = machines.settings.arch
    selected = {
        item.callspec.params["name"]
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and "runner" in item.fixturenames
        and item.callspec.params["chosen"] == arch
    }
    started = Runner(machines, [name for name in MODULES if name in selected and runs_on(arch, name)])
    yield started
    started.close()


def runs_on(arch: str, name: str) -> bool:
    """Returns whether this session runs a module on machines of an architecture."""
    return name not in ONCE or arch == host_architecture() or len(settings.tested()) == 1


@pytest.mark.parametrize("name", MODULES)
def test_module(runner: Runner, chosen: Settings, name: str) -> None:
    if not runs_on(chosen.arch, name):
        pytest.skip(f"minutes of emulation: `make test-{chosen.arch}` runs it")
    outcome = runner.results[name].result()
    if name in runner.counted:
        counted = runner.counted[name].result()
        outcome = {key: outcome[key] + counted[key] for key in ("ran", "broken", "skips")}
    causes = of_build(EXPECTED["failures"].get(name, {}), chosen)
    unexplained = {test: trace for test, trace in outcome["broken"] if test not in causes}
    assert not unexplained, "\n\n".join(f"{test}\n{trace}" for test, trace in unexplained.items())
    assert sorted(set(causes) - {test for test, _ in outcome["broken"]}) == [], "listed as failing, but passes"
    reasons = of_build(EXPECTED["skips"], chosen)
    skips = [(test, reason) for test, reason in outcome["skips"] if not is_explained(reason, reasons)]
    assert skips == []
    assert outcome["ran"] == of_build(RAN, chosen)[name]


def is_explained(reason: str, reasons: Iterable[str]) -> bool:
    """Returns whether one of the reasons of expected.toml matches that of a skip."""
    return any(re.fullmatch(pattern, reason, re.DOTALL) for pattern in reasons)
