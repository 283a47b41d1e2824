"""The image's CPython, musl and pthread-shim as Linux programs: right in seconds, without a machine."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from harness import musl
from harness.hosted import Hosted
from harness.settings import Settings
from harness.toolchain import host_architecture

#: CPython's own tests of threads and of what is made of them.
MODULES = (
    "test_threading",  # the slowest first
    "test_thread",
    "test_threading_local",
    "test_threadsignals",
    "test_queue",
    "test_sched",
    "test_context",
    "test_concurrent_futures.test_thread_pool",
)
#: Of the package test_free_threading: its test_capi needs ctypes, which the image has not.
FREE_THREADING = (
    "test_code",
    "test_dict",
    "test_functools",
    "test_gc",
    "test_io",
    "test_iteration",
    "test_list",
    "test_monitoring",
    "test_races",
    "test_set",
    "test_slots",
    "test_str",
    "test_threading",
    "test_type",
)
#: CPython as it is built here starts no processes, under Linux either (docs/cpython-port.md), and its own tests
#: know that only of systems that they know by name. The tests of locks give a thread 10 ms to reach its wait; one
#: that comes later misses what it was to be woken by, and a host with other work keeps threads from running longer.
RUN = """
import sys
from test import lock_tests, support
support.has_subprocess_support = False
until_blocked = lock_tests.wait_threads_blocked
lock_tests.wait_threads_blocked = lambda count: until_blocked(20 * count)
from test.libregrtest.main import main
main()
"""
#: Seconds that a module may take on a busy machine of two processors.
TIMEOUT = 300
#: How many modules run at the same time.
AT_A_TIME = 4

pytestmark = [
    pytest.mark.architecture(host_architecture()),
    pytest.mark.skipif(host_architecture() != "x86_64", reason="hosted mode knows Linux's calls on x86_64 alone"),
]

Runs = dict[str, "Future[subprocess.CompletedProcess[str]]"]


@pytest.fixture(scope="session")
def runs(hosted: Hosted, request: pytest.FixtureRequest) -> Iterator[Runs]:
    """The runs of the test modules that were asked for, several at a time: most of them wait, for sleeps."""
    names = [
        item.callspec.params["name"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and "runs" in item.fixturenames
    ]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        command = ["-c", RUN, f"--timeout={TIMEOUT - 60}"]
        yield {name: pool.submit(hosted.run_python, [*command, name], TIMEOUT) for name in names}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("name", [*MODULES, *(f"test_free_threading.{name}" for name in FREE_THREADING)])
def test_cpython_module_passes(runs: Runs, chosen: Settings, name: str) -> None:
    result = runs[name].result()
    if name.startswith("test_free_threading") and not chosen.free_threading:
        pytest.skip("a build with the GIL")
    assert result.returncode == 0, result.stdout[-4000:]
    assert re.search(r"^Total tests: run=[1-9]", result.stdout, re.M), result.stdout[-4000:]


def test_threads_share_no_code_with_musl(hosted: Hosted) -> None:
    """The linker took nothing of musl's src/thread but what thread-helpers.txt names."""
    for program in (hosted.python, hosted.conformance):
        assert musl.thread_objects_in(hosted.link_map(program), hosted.musl) == []


def test_recursion_ends_in_an_exception_on_any_stack(hosted: Hosted) -> None:
    """CPython trusts in the size of stacks: also of those that were asked to be small."""
    script = """
import json, threading
def nest():
    try:
        json.loads("[" * 100_000)
    except RecursionError:
        return "RecursionError"
results = []
for size in (0, 65536, 262144, 64 << 20):
    threading.stack_size(size)
    thread = threading.Thread(target=lambda: results.append(nest()))
    thread.start()
    thread.join()
assert results == ["RecursionError"] * 4, results
assert nest() == "RecursionError"
print("ended well")
"""
    result = hosted.run_python(["-c", script], 120)
    assert result.returncode == 0 and result.stdout.endswith("ended well\n"), result.stdout[-2000:]


def test_scheduling_works_as_on_linux(hosted: Hosted) -> None:
    script = """
import os
assert os.sched_getscheduler(0) == os.SCHED_OTHER
assert os.sched_getparam(0).sched_priority == 0
os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
assert os.sched_getscheduler(0) == os.SCHED_BATCH
cpus = os.sched_getaffinity(0)
os.sched_setaffinity(0, {min(cpus)})
assert os.sched_getaffinity(0) == {min(cpus)} and os.process_cpu_count() == 1
print("scheduled")
"""
    result = hosted.run_python(["-c", script], 60)
    assert result.returncode == 0 and result.stdout.endswith("scheduled\n"), result.stdout[-2000:]
