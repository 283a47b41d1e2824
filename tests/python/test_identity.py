"""It is CPython 3.14, free-threaded unless built otherwise, and it knows its machine."""

from __future__ import annotations

from harness import fetch
from harness.machines import Machines
from harness.serial import Guest


def test_version_and_platform(guest: Guest) -> None:
    identity = guest.call("machine.identity")
    assert identity["version"] == [3, 14, 7]
    assert identity["platform"] == "linux"
    assert identity["sysname"] == "PythonOS"
    assert identity["machine"] == "x86_64"
    assert identity["page_size"] == 4096
    assert identity["libc"] == f"musl-{fetch.sources()['musl'].version}"


def test_the_gil_is_as_the_build_says(guest: Guest, machines: Machines) -> None:
    identity = guest.call("machine.identity")
    free_threading = machines.settings.free_threading
    assert identity["gil"] is not free_threading
    assert identity["Py_GIL_DISABLED"] == int(free_threading)
    assert identity["abiflags"] == ("t" if free_threading else "")


def test_the_process_is_the_first_and_its_main_thread_has_its_id(guest: Guest) -> None:
    ids = guest.call("machine.ids")
    assert ids["pid"] == ids["main"] == 1
    assert ids["parent"] == 0
    assert ids["self"] == "1"
    assert ids["processes"] == ["1"]
    assert "1" in ids["tasks"]
    assert ids["group"] == [1, 1, 1]
    assert ids["second"][0] == ids["second"][1] > 1
