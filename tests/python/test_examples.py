"""The programs in /examples, on the machine that they are about."""

from __future__ import annotations

import re

from harness.machines import Machines
from harness.serial import Guest


def run(guest: Guest, name: str, *arguments: str) -> list[str]:
    """Runs an example; returns its lines."""
    out, err, status = guest.call("commands.run_one", f"/examples/{name}", *arguments, timeout=180)
    assert (err, status) == ("", 0)
    return str(out).splitlines()


def test_hello_kernel(guest: Guest, machines: Machines) -> None:
    gil = "no" if machines.settings.free_threading else "a"
    lines = run(guest, "hello_kernel.py", "Ada")
    assert lines[0] == "Hello, Ada!"
    assert re.fullmatch(r"I am Python 3\.14\.\d+, and the kernel of PythonOS on \w+\.", lines[1])
    assert re.fullmatch(rf"I have 2 CPUs, \d+ threads and {gil} GIL\.", lines[2])
    assert re.fullmatch(r"I have been awake for \d+\.\d seconds\.", lines[3])


def test_primes(guest: Guest) -> None:
    assert run(guest, "primes.py", "30") == ["2 3 5 7 11 13 17 19 23 29", "10 primes up to 30"]


def test_vfs_demo(guest: Guest) -> None:
    lines = run(guest, "vfs_demo.py")
    assert lines[0] == "wrote 19 bytes"
    assert lines[-3:] == ["size: 19", "directories: [True, True, True]", "left: []"]


def test_async_tasks(guest: Guest) -> None:
    lines = run(guest, "async_tasks.py")
    assert lines[0] == "tasks returned: [3, 3, 3]"
    assert lines[-3:] == ["timeout: True", "cancelled: True", "threads computed: [332833500, 2664667000, 8995500500]"]


def test_parallel_mandelbrot(guest: Guest) -> None:
    lines = run(guest, "parallel_mandelbrot.py", "36", "12")
    assert len(lines) == 14
    assert lines[12] == "same picture: True"
    assert re.fullmatch(r"speed-up: \d+\.\d\d with 2 workers over one", lines[13])


def test_filesystem_demo(guest: Guest) -> None:
    assert run(guest, "filesystem_demo.py") == [
        "names: ['0', '1', '2', '3', '4', '5']",
        "3: 9",
        "12345678901234567890: 152415787532388367501905199875019052100",
        "error: No such file or directory",
        "error: Read-only file system",
        "unmounted: []",
    ]


def test_driver_demo_reads_the_entropy_device(guest: Guest) -> None:
    lines = run(guest, "driver_demo.py")
    assert [line for line in lines if re.fullmatch(r"00:\d\d\.\d: virtio entropy device, \d memory areas", line)] != []
    # The kernel's driver has set it up: acknowledged, driver, features, driver is ready; one queue.
    assert "  status 0x0f, 1 queues" in lines
    assert lines[-1] == "1 devices read"


def test_interrupts_demo_counts_interrupts(guest: Guest) -> None:
    lines = run(guest, "interrupts_demo.py", "1")
    assert re.fullmatch(r"vector \d+, 1 seconds", lines[0])
    counts = {match[1]: int(match[2]) for line in lines if (match := re.fullmatch(r"cpu (\d): (\d+) interrupts", line))}
    # Four threads sleep 10 ms at a time for a second.
    assert sum(counts.values()) >= 20
    assert lines[-1] == "lost: 0"
