"""Runs one module of CPython's own tests and says what became of each test.

The tests are CPython's, unchanged. What PythonOS does not have is told to them in
the words they ask in: `test.support` says that there are no processes, and the calls
that would start one skip the test that makes them.
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import sys
import time
import unittest
from collections.abc import Collection, Iterator
from typing import Any, NoReturn

#: How much longer than on an ordinary machine a wait may take: an emulated CPU is
#: about fifteen times slower, and these time-outs only say when to stop waiting.
PATIENCE = 6

NO_PROCESSES = "no processes on PythonOS"


def id_of(test: unittest.TestCase) -> str:
    """Returns the id of a test, also where the test has put something else in that method's place."""
    return test.id() if callable(test.id) else unittest.TestCase.id(test)


class Result(unittest.TestResult):
    """Collects outcomes and names each test before it starts, so that a hang has a name."""

    def __init__(self) -> None:
        super().__init__()
        self.skips: list[tuple[str, str]] = []
        self.broken: list[tuple[str, str]] = []
        self.expected = 0
        self.passed = 0
        self.slowest: list[tuple[float, str]] = []
        self._began = 0.0

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        os.write(2, f"[{id_of(test)}]\n".encode())
        self._began = time.monotonic()

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        self.slowest = sorted([*self.slowest, (round(time.monotonic() - self._began, 2), id_of(test))])[-3:]

    def addSuccess(self, test: unittest.TestCase) -> None:
        super().addSuccess(test)
        self.passed += 1

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        super().addSkip(test, reason)
        self.skips.append((id_of(test), reason))

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        super().addError(test, err)
        self.broken.append((id_of(test), self.errors[-1][1]))

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addFailure(test, err)
        self.broken.append((id_of(test), self.failures[-1][1]))

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            last = self.failures if issubclass(err[0], test.failureException) else self.errors
            self.broken.append((id_of(subtest), last[-1][1]))

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        super().addExpectedFailure(test, err)
        self.expected += 1

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        super().addUnexpectedSuccess(test)
        self.broken.append((id_of(test), "unexpected success"))


def refuse(*arguments: object, **keywords: object) -> NoReturn:
    """Stands in for what would start a process."""
    raise unittest.SkipTest(NO_PROCESSES)


def prepare() -> None:
    """Tells `test.support` what this machine is like; once per machine."""
    import _posixsubprocess
    import subprocess

    from test import lock_tests, support

    support.has_fork_support = False
    support.has_subprocess_support = False
    for name in ("LOOPBACK_TIMEOUT", "SHORT_TIMEOUT", "LONG_TIMEOUT"):
        setattr(support, name, getattr(support, name) * PATIENCE)
    # How long threads get to reach their waits: who comes later misses what it was to be woken by.
    until_blocked = lock_tests.wait_threads_blocked
    lock_tests.wait_threads_blocked = lambda count: until_blocked(PATIENCE * count)
    setattr(subprocess.Popen, "__init__", refuse)  # noqa: B010  (types call a method constant)
    _posixsubprocess.fork_exec = refuse  # multiprocessing calls it directly
    for name in ("fork", "forkpty", "posix_spawn", "posix_spawnp"):
        if hasattr(os, name):
            setattr(os, name, refuse)


def tests(suite: unittest.TestSuite) -> Iterator[tuple[str, unittest.TestCase]]:
    """Yields every test of a suite, after the name of its class."""
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from tests(each)
        else:
            assert isinstance(each, unittest.TestCase)
            yield type(each).__name__, each


def run(name: str, only: Collection[str] = (), without: Collection[str] = ()) -> dict[str, Any]:
    """Runs module `test.<name>`; returns counts, skips with reasons, failures with tracebacks.

    `only` or `without` names test classes of it: those to run, or those to leave out.
    """
    if not hasattr(prepare, "done"):
        prepare()
        prepare.done = True  # type: ignore[attr-defined]
    from test import support
    from test.support import os_helper

    began = time.monotonic()
    result = Result()
    home = os.getcwd()
    with os_helper.temp_cwd(quiet=True):
        try:
            suite = unittest.defaultTestLoader.loadTestsFromName(f"test.{name}")
        except unittest.SkipTest as reason:
            result.skips.append((name, str(reason)))
        else:
            if only or without:
                found = {each for each, _ in tests(suite)}
                unknown = {*only, *without} - found
                assert not unknown, f"no such classes in {name}: {unknown}"
                chosen = set(only) or found - set(without)
                suite = unittest.TestSuite(test for each, test in tests(suite) if each in chosen)
            suite.run(result)
    os.chdir(home)
    support.gc_collect()
    forget(name)
    return {
        "ran": result.testsRun,
        "passed": result.passed,
        "skips": result.skips,
        "broken": result.broken,
        "expected": result.expected,
        "seconds": round(time.monotonic() - began, 1),
        "slowest": result.slowest,
    }


def conform(name: str, limit: float) -> dict[str, Any]:
    """Runs module `test.<name>` as `python -m test <name>` does: without resources that are asked for by name.

    After `limit` seconds every thread's stack is shown, for who waits for the result.
    """
    from multiprocessing import popen_fork

    from test import support

    # Whoever asks multiprocessing for a fork gets past the functions that `prepare` replaces: `os` has none.
    setattr(popen_fork.Popen, "_launch", refuse)  # noqa: B010  (types call a method constant)
    support.use_resources = {}
    faulthandler.dump_traceback_later(limit, exit=False)
    try:
        return run(name)
    finally:
        faulthandler.cancel_dump_traceback_later()


def forget(name: str) -> None:
    """Drops a test module that ran, with everything below it, so that its memory comes back."""
    for loaded in list(sys.modules):
        if loaded == f"test.{name}" or loaded.startswith(f"test.{name}."):
            del sys.modules[loaded]
    if name.split(".")[0] == "test_interpreters" and (package := sys.modules.get("concurrent.interpreters")):
        # Its test_queues reloads a module of this package, whose functions go on with the constants of before: whoever
        # makes a queue for interpreters after that, as test_struct does, is refused.
        importlib.reload(package)


if __name__ == "__main__":
    for module in sys.argv[1:]:
        outcome = run(module)
        for test, trace in outcome.pop("broken"):
            print("BROKEN", test, trace, sep="\n")
        for test, reason in outcome.pop("skips"):
            print("skip", test, reason)
        print(module, outcome)
