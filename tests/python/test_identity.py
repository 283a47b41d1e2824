"""It is CPython 3.14, free-threaded unless built otherwise, and it knows its machine."""

from __future__ import annotations

import errno
import re
import secrets

from harness import fetch, toolchain
from harness.serial import Guest
from harness.settings import Settings


def test_version_and_platform(guest: Guest, chosen: Settings) -> None:
    identity = guest.call("machine.identity")
    assert identity["version"] == [3, 14, 7]
    assert identity["platform"] == "linux"
    assert identity["sysname"] == "PythonOS"
    assert identity["machine"] == toolchain.TARGETS[chosen.arch].name
    assert identity["page_size"] == 4096
    assert identity["libc"] == f"musl-{fetch.sources()['musl'].version}"


def test_the_gil_is_as_the_build_says(guest: Guest, chosen: Settings) -> None:
    identity = guest.call("machine.identity")
    free_threading = chosen.free_threading
    assert identity["gil"] is not free_threading
    assert identity["Py_GIL_DISABLED"] == int(free_threading)
    assert identity["abiflags"] == ("t" if free_threading else "")


def test_cpuinfo_says_what_the_cpus_say(guest: Guest, chosen: Settings) -> None:
    cpus = guest.call("machine.describe_cpus")
    assert [cpu.pop("processor") for cpu in cpus] == ["0", "1"]
    assert cpus[0] == cpus[1]
    assert cpus[0]["model name"]
    if chosen.arch == "x86_64":
        assert re.fullmatch("[!-~ ]{12}", cpus[0]["vendor_id"])
        assert all(cpus[0][name].isdecimal() for name in ("cpu family", "model", "stepping"))
        assert re.fullmatch(r"\d+\.\d{3}", cpus[0]["cpu MHz"])
        # Whatever has 64 bits has these, and QEMU says that it is no real CPU.
        assert {"fpu", "cx8", "fxsr", "sse2", "syscall", "nx", "lm", "hypervisor"} <= set(cpus[0]["flags"].split())
    else:
        assert {"fp", "asimd"} <= set(cpus[0]["Features"].split())
        assert re.fullmatch("0x[0-9a-f]{2}", cpus[0]["CPU implementer"])
        assert re.fullmatch("0x[0-9a-f]{3}", cpus[0]["CPU part"])


def test_the_process_is_the_first_and_its_main_thread_has_its_id(guest: Guest) -> None:
    ids = guest.call("machine.ids")
    assert ids["pid"] == ids["main"] == 1
    assert ids["parent"] == 0
    assert ids["self"] == "1"
    assert ids["processes"] == ["1"]
    assert "1" in ids["tasks"]
    assert ids["group"] == [1, 1, 1]
    assert ids["second"][0] == ids["second"][1] > 1


def test_the_installation_is_where_python_says(guest: Guest) -> None:
    found = guest.call("machine.installation")
    assert found["prefix"] == "/usr"
    assert found["missing"] == []
    assert found["which"] == "/usr/bin/python3"
    assert found["login"] == "root"
    assert found["os"] == "PythonOS"
    # CPython composes these of the prefix: none may have a slash too many.
    places = [*found["paths"].values(), *(place for place in found["path"] if place)]
    assert [place for place in places if not re.match("/[^/]", place)] == []


def test_what_needs_processes_is_absent_or_says_so(guest: Guest) -> None:
    found = guest.call("machine.without_processes")
    assert found["has"] == []
    no_child = {"os.wait": errno.ECHILD}
    names = ("subprocess.run", "os.popen", "multiprocessing", "os.execv", "os.execlp")
    assert found["errors"] == dict.fromkeys(names, errno.ENOSYS) | no_child


def test_calls_that_need_linux_headers_are_there(guest: Guest) -> None:
    nonce = secrets.token_hex(8)
    found = guest.call("machine.linux_calls", nonce)
    first, second = found["random"]
    assert len(first) == len(second) == 32
    assert first != second
    assert found["attributes"] == {"user.nonce": nonce}
    assert found["copied"] == [len(nonce), nonce]


def test_libraries_give_back_what_they_were_given(guest: Guest) -> None:
    found = guest.call("machine.libraries", secrets.token_hex(8))
    assert found["right"] == ["zlib", "zstd", "zstd by threads"]
    assert len(set(found["uuids"])) == 2
    assert found["versions"] == [1, 1]
