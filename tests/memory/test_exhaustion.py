"""Running out of stack or memory is an exception, in any thread, and the machine goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.machines import Machines, Shape
from harness.serial import Guest, Prompt

RECURSIONS = (
    "python_recursion",
    "json_recursion",
    "json_dump_recursion",
    "repr_recursion",
    "ast_recursion",
    "re_recursion",
    "pickle_recursion",
    "getattr_recursion",
)
SMALL = Shape(memory="256M")
#: What the allocator may keep for later, in MiB: 6 of them are of the ordinary work that follows.
KEPT_MIB = 12


@pytest.mark.parametrize("in_thread", [False, True], ids=["main-thread", "second-thread"])
@pytest.mark.parametrize("name", RECURSIONS)
def test_recursion_without_end(guest: Guest, name: str, in_thread: bool) -> None:
    assert guest.call("exhaustion.recurse", name, in_thread) in ("RecursionError", "MemoryError")
    assert guest.call("agent.echo", name) == name


def test_a_terabyte_is_refused(guest: Guest) -> None:
    assert guest.call("exhaustion.huge_allocation") == "MemoryError"


@pytest.mark.parametrize("in_thread", [False, True], ids=["main-thread", "second-thread"])
@pytest.mark.parametrize("piece", [1 << 24, 1 << 20, 1 << 16])
def test_memory_runs_out_and_comes_back(machines: Machines, piece: int, in_thread: bool) -> None:
    guest = machines.shared(SMALL)
    result = guest.call("exhaustion.fill_memory", piece, in_thread, timeout=180)
    assert result["error"] == "MemoryError"
    # It was really used, as far as mimalloc's size classes let it: 1 MiB and its NUL take 1.5 MiB.
    assert result["taken_kib"] > result["before_kib"] * 0.4, result
    assert result["after_kib"] > result["before_kib"] - KEPT_MIB * 1024, result


def test_memory_runs_out_on_small_objects(machines: Machines) -> None:
    guest = machines.shared(SMALL)
    assert guest.call("exhaustion.fill_with_objects", timeout=300) == "MemoryError"
    assert guest.call("agent.echo", "still here") == "still here"


def test_running_out_again_and_again_loses_nothing(machines: Machines) -> None:
    guest = machines.shared(SMALL)
    first = guest.call("exhaustion.fill_memory", 1 << 20, timeout=180)
    for _ in range(3):
        last = guest.call("exhaustion.fill_memory", 1 << 20, timeout=180)
    assert last["taken_kib"] > first["taken_kib"] * 0.95, (first, last)


def test_connections_do_not_take_all_memory(machines: Machines) -> None:
    guest = machines.shared(SMALL)
    found = guest.call("exhaustion.fill_with_connections", 10000, timeout=300)
    # Each has 256 KiB, of less than 256 MiB.
    assert 100 < found.pop("count") < 1024
    # Whichever end had no memory: the one that calls, or the one that is called.
    assert found.pop("error") in ("ENOBUFS", "TimeoutError")
    assert found == {"datagrams": "ENOBUFS", "others": 8 << 20, "after": "again"}


@pytest.mark.parametrize("seed", [1, 2])
def test_memory_runs_out_on_changing_sizes(machines: Machines, seed: int) -> None:
    guest = machines.shared(SMALL)
    before = guest.call("exhaustion.fill_memory", 1 << 24, timeout=180)
    report = guest.call("exhaustion.fill_with_changing_sizes", seed, 8, timeout=600)
    assert len(report) == 8 and all(taken for _, _, taken in report), report
    after = guest.call("exhaustion.fill_memory", 1 << 24, timeout=180)
    assert after["taken_kib"] > before["taken_kib"] * 0.5, (before, report, after)


@pytest.fixture(scope="module")
def prompt(machines: Machines) -> Iterator[Prompt]:
    """A machine of 256 MiB at its prompt."""
    with machines.prompt(SMALL) as running:
        yield running


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("def f(): f()\r\rf()", "RecursionError"),
        ("import json; json.loads('[' * 200000)", "RecursionError"),
        ("import ast; ast.parse('-' * 100000 + '1')", "MemoryError"),
        ("bytearray(1 << 40)", "MemoryError"),
        ("kept = []\rwhile True: kept.append(bytearray(1 << 20))\r", "MemoryError"),
    ],
)
def test_the_prompt_lives(prompt: Prompt, line: str, error: str) -> None:
    prompt.type_line(line)
    prompt.expect(rf"^{error}\b", 120)
    prompt.wait_for_prompt()
    prompt.run("kept = []; import gc; _ = gc.collect()")
    assert prompt.evaluate("6 * 7") == "42"
