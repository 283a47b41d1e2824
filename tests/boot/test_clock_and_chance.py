"""The wall clock comes from the hardware; random numbers differ from boot to boot."""

from __future__ import annotations

import time

import pytest

from harness.machines import Machines, Shape
from harness.serial import Guest


def test_wall_clock_agrees_with_the_host(guest: Guest) -> None:
    before = time.time()
    wall = guest.call("machine.clocks")["wall"]
    # The RTC counts whole seconds.
    assert before - 2 <= wall <= time.time() + 2


def test_clocks_keep_the_hosts_time(guest: Guest) -> None:
    first, began = guest.call("machine.clocks"), time.monotonic()
    time.sleep(5)
    second, ended = guest.call("machine.clocks"), time.monotonic()
    for clock in ("wall", "boot", "monotonic"):
        # The cost of two calls, and half a per cent for the calibration of the TSC.
        assert second[clock] - first[clock] == pytest.approx(ended - began, rel=0.005, abs=0.3), clock


def test_random_numbers_differ_from_boot_to_boot(machines: Machines) -> None:
    seen = []
    for _ in range(2):
        with machines.guest(Shape(cpus=1)) as guest:
            seen.append(guest.call("machine.entropy"))
    for kind in ("urandom", "getrandom", "hash"):
        assert seen[0][kind] != seen[1][kind], kind
