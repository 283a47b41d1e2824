"""Ctrl-C goes to one thread; threads may have directories of their own."""

from __future__ import annotations

import errno

import pytest

from harness.machines import Machines
from harness.serial import Guest

WAITS = [
    "spin", "sleep", "lock", "lock with time-out", "event", "condition", "queue", "simple queue", "select", "pipe",
    "terminal", "socket", "join", "arithmetic",
]  # fmt: skip


@pytest.mark.parametrize("wait", WAITS)
def test_ctrl_c_ends_what_the_terminals_thread_waits_for(machines: Machines, guest: Guest, wait: str) -> None:
    if wait == "arithmetic" and not machines.settings.free_threading:
        pytest.skip("with the GIL nobody else runs until the sum is done, not even to type")
    assert guest.call("interrupts.interrupt", wait) < 1.0


@pytest.mark.parametrize("sender", ["raise", "kill", "type"])
def test_an_exception_that_comes_before_a_wait_ends_it(machines: Machines, guest: Guest, sender: str) -> None:
    if not machines.settings.free_threading:
        pytest.skip("with the GIL nobody else runs just before a thread waits, not even to interrupt it")
    became = guest.call("interrupts.before_waits", sender, timeout=120)
    assert len(became) == 9 and set(became.values()) == {"broken off"}, became


def test_an_exception_that_has_been_raised_ends_no_wait(guest: Guest) -> None:
    assert guest.call("interrupts.wait_after_an_exception") == ["caught", "waits", "caught"]


def test_the_foreground_of_a_terminal_may_be_a_thread(guest: Guest) -> None:
    assert guest.call("interrupts.foreground") == [1, True, errno.EPERM]


def test_a_thread_that_unshares_has_its_own_directory_and_mask(guest: Guest) -> None:
    assert guest.call("interrupts.directories") == {
        "copied": "/tmp",
        "inherited": "/usr",
        "own": "/usr",
        "beside": "/tmp",
        "main": "/tmp",
        "mask": "0o22",
    }
