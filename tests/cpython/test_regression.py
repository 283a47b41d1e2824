"""CPython's own tests, run in the guest, each with what is expected of it (expected.toml).

Two machines share the modules between them: most tests keep one CPU busy, or none. A
module that takes its machine down costs that machine, not the other modules.
"""

from __future__ import annotations

import queue
import re
import threading
import tomllib
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from harness.machines import Machines, Shape
from harness.serial import Guest

EXPECTED = tomllib.loads(Path(__file__).with_name("expected.toml").read_text())
MODULES = sorted(EXPECTED["ran"])
#: The slowest first, so that the two machines end at about the same time.
LONG = ("test_io", "test_math", "test_free_threading", "test_selectors", "test_os", "test_threading", "test_queue")
MACHINES = 2
#: Seconds that a module may take on an emulated machine.
TIMEOUT = 900


class Runner:
    """Runs modules on machines of its own, each in a thread."""

    def __init__(self, machines: Machines, names: list[str]) -> None:
        self._machines = machines
        self.results: dict[str, Future[dict[str, Any]]] = {name: Future() for name in names}
        self._waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
        for name in sorted(names, key=lambda name: LONG.index(name) if name in LONG else len(LONG)):
            self._waiting.put(name)
        self._threads = [threading.Thread(target=self._work) for _ in range(MACHINES)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Leaves out what has not begun, and waits for what has."""
        while not self._waiting.empty():
            self._waiting.get()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        with ExitStack() as stack:
            guest: Guest | None = None
            while True:
                try:
                    name = self._waiting.get_nowait()
                except queue.Empty:
                    return
                result = self.results[name]
                try:
                    if guest is None:
                        guest = stack.enter_context(self._machines.guest(Shape()))
                    result.set_result(guest.call("regression.run", name, timeout=TIMEOUT))
                except BaseException as error:
                    stack.close()
                    guest = None
                    result.set_exception(error)


@pytest.fixture(scope="module")
def runner(machines: Machines, request: pytest.FixtureRequest) -> Iterator[Runner]:
    """The runner of the modules that were selected, started when the first result is asked for."""
    machines.close()
    selected = {item.name for item in request.session.items}
    started = Runner(machines, [name for name in MODULES if f"test_module[{name}]" in selected])
    yield started
    started.close()


@pytest.mark.parametrize("name", MODULES)
def test_module(runner: Runner, name: str) -> None:
    outcome = runner.results[name].result()
    causes = EXPECTED["failures"].get(name, {})
    unexplained = {test: trace for test, trace in outcome["broken"] if test not in causes}
    assert not unexplained, "\n\n".join(f"{test}\n{trace}" for test, trace in unexplained.items())
    assert sorted(set(causes) - {test for test, _ in outcome["broken"]}) == [], "listed as failing, but passes"
    skips = [(test, reason) for test, reason in outcome["skips"] if not is_explained(reason)]
    assert skips == []
    assert outcome["ran"] == EXPECTED["ran"][name]


def is_explained(reason: str) -> bool:
    """Returns whether expected.toml gives a cause for a skip with this reason."""
    return any(re.fullmatch(pattern, reason, re.DOTALL) for pattern in EXPECTED["skips"])
