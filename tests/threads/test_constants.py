"""Threads that run one function do not wait for each other to count its constants."""

from __future__ import annotations

from harness.machines import Machines
from harness.serial import Guest


def test_constants_of_functions_are_not_counted(guest: Guest, machines: Machines) -> None:
    # Only the free-threaded build has a reason to.
    expected = [machines.settings.free_threading] * 2
    found = guest.call("constants.immortal")
    assert found["imported"] == expected
    assert (found["typed"], found["run"]) == (f"{expected}\n",) * 2


def test_importing_what_cannot_be_compiled_shows_no_frame_of_the_import_system(guest: Guest) -> None:
    assert guest.call("constants.immortal")["frames"] == ["immortal", "<module>"]


def test_the_loader_of_a_module_equals_one_that_a_program_makes_for_it(guest: Guest) -> None:
    assert guest.call("constants.immortal")["equal"] == [True] * 2
