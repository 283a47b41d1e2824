"""`_hal`: the machine by Python, and that nothing typed at it takes the machine down."""

from __future__ import annotations

import pytest

from harness.serial import Guest
from harness.settings import Settings

NOT_THERE = "OSError: [Errno 14] nothing is mapped at this address"
OWN = "PermissionError: [Errno 13] this memory is the kernel's own"
OUT_OF_RANGE = "ValueError: a number is out of range"


def test_constants(guest: Guest, chosen: Settings) -> None:
    found = guest.call("hal.constants")
    expected = {
        "ARCH": {"x86_64": "x86_64", "arm64": "aarch64"}[chosen.arch],
        "SMP_CPUS": 2, "SMP_ONLINE": 2, "SMP_WORKERS": 2, "BSP_APIC_ID": 0,
        "PY_GIL_DISABLED": int(chosen.free_threading),
        "PAGE_SIZE": 4096, "PAGE_READ": 1, "PAGE_WRITE": 2, "PAGE_EXEC": 4, "PAGE_DEVICE": 8,
        "LOG_DEBUG": 0, "LOG_INFO": 1, "LOG_WARN": 2, "LOG_ERROR": 3,
    }  # fmt: skip
    assert {name: found.get(name) for name in expected} == expected


def test_the_module_needs_no_gil(guest: Guest, chosen: Settings) -> None:
    # The agent has imported the module: one that is not declared safe would have brought the GIL back.
    assert guest.call("hal.gil_is_enabled") is not chosen.free_threading


def test_every_function_has_a_text_and_a_signature(guest: Guest) -> None:
    assert guest.call("hal.undocumented") == []


def test_wrong_arguments_raise(guest: Guest) -> None:
    assert guest.call("hal.wrong_arguments", timeout=120) == []
    assert guest.call("agent.echo", "still here") == "still here"


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (("inb", "x"), "TypeError: 'str' object cannot be interpreted as an integer"),
        (("inb", 1.5), "TypeError: 'float' object cannot be interpreted as an integer"),
        (("inb",), "TypeError: an argument is missing"),
        (("inb", 1, 2), "TypeError: too many arguments"),
        (("inb", -1), OUT_OF_RANGE),
        (("inb", 0x10000), OUT_OF_RANGE),
        (("outb", 0x80, 256), OUT_OF_RANGE),
        (("mmio_read32", 0x123456789000), NOT_THERE),
        (("mmio_read32", 2), "ValueError: the address is not aligned"),
        (("mmio_read32", 1 << 64), OUT_OF_RANGE),
        (("dma_alloc", 0), "ValueError: size is at least 1 and align a power of two"),
        (("dma_alloc", 4096, 3), "ValueError: size is at least 1 and align a power of two"),
        (("dma_alloc", 1 << 50), "MemoryError: "),
        (("dma_free", 5), "TypeError: dma_free wants what dma_alloc gave"),
        (("frames_free", 0x5000, 1), "ValueError: frames_alloc did not give these frames"),
        (("write_cr3", 0), "ValueError: no page tables are there"),
        (("page_map", 0x1000, 0, 4096, 1), "PermissionError: [Errno 1] this memory is not Python's to map"),
        (("page_map", 0, 1, 4096, 1), "ValueError: addresses and lengths are of whole pages, and not beyond the machine's"),
        (("pci_config_read", 0, 32, 0, 0, 4), OUT_OF_RANGE),
        (("pci_config_read", 0, 0, 0, 1, 4), "ValueError: the offset is not aligned"),
        (("log", 9, "kernel.test", "x"), OUT_OF_RANGE),
        (("log", 1, "", "x"), "ValueError: the target is a short name"),
        (("serial_write", "x"), "TypeError: a bytes-like object is required, not 'str'"),
        (("pthread_selftest",), 4),
        (("smp_run_selftest",), 2),
    ],
    ids=lambda value: "-".join(map(str, value))[:40] if isinstance(value, tuple) else "",
)
def test_outcome(guest: Guest, call: tuple[object, ...], expected: object) -> None:
    assert guest.call("hal.outcome", *call) == expected


def test_memory_by_address(guest: Guest) -> None:
    assert guest.call("hal.memory_by_address") == [
        "4433221155", [0x11223344, 0x55], "a5" * 12 + "00", "abcdefgh", "01010101" + "02020202" * 2 + "01010101",
    ]  # fmt: skip


def test_an_address_where_nothing_is_raises(guest: Guest) -> None:
    assert guest.call("hal.wrong_addresses") == []
    assert guest.call("agent.echo", "still here") == "still here"


def test_the_kernels_own_memory_can_be_read_and_not_written(guest: Guest) -> None:
    assert guest.call("hal.kernel_memory") == [OWN, OWN]


def test_dropped_dma_memory_comes_back(guest: Guest) -> None:
    before, after = guest.call("hal.dma_in_a_loop", 10_000, timeout=120)
    # The allocator of Python's objects may have taken a few pages meanwhile; what it gave back is no fault.
    assert before - after < 64, (before, after)


def test_a_dma_buffer(guest: Guest) -> None:
    assert guest.call("hal.dma_buffer") == [
        10000, 10000, 0, True, True, True, "BufferError: the memory is in use: release its memoryviews first",
        None, "ValueError: the memory has been freed already", "BufferError: the memory has been freed",
        True, NOT_THERE,
    ]  # fmt: skip


def test_threads_share_dma_buffers(guest: Guest) -> None:
    freed, lost = guest.call("hal.dma_by_threads", 4, 500, timeout=60)
    # Each has a page: the threads' own memory, which Python gives back later, is less than half of that.
    assert freed == 500 and lost < 250


def test_mapping(guest: Guest) -> None:
    not_ours = "PermissionError: [Errno 1] this memory is not Python's to map"
    not_given = "ValueError: frames_alloc did not give these frames"
    assert guest.call("hal.mapping") == [
        0, 1, NOT_THERE, 1, "FileExistsError: [Errno 17] something is mapped there", not_ours,
        None, NOT_THERE, NOT_THERE, not_ours, not_given, None, not_given,
    ]  # fmt: skip


def test_threads(guest: Guest) -> None:
    assert guest.call("hal.threads_seen") == [[True, True], "waiting", True, 5]


def test_cpus(guest: Guest) -> None:
    rows = guest.call("hal.outcome", "cpus")
    assert [row[:2] for row in rows] == [[0, True], [1, True]]
    assert all(len(row) == 9 and row[5] > 0 for row in rows)


def test_log(guest: Guest) -> None:
    assert guest.call("hal.log_lines", "one\ntwo\x1b[2J") == [
        "4: [PythonOS] WARN kernel.test: one\n", "4: [PythonOS] WARN kernel.test: two?[2J\n",
    ]  # fmt: skip


def test_pci(guest: Guest, chosen: Settings) -> None:
    vendor = guest.call("hal.outcome", "pci_config_read", 0, 0, 0, 0, 2)
    assert vendor == {"x86_64": 0x8086, "arm64": 0x1B36}[chosen.arch]
    assert guest.call("hal.outcome", "pci_config_read", 0, 31, 7, 0, 4) == 0xFFFFFFFF


def test_ports(guest: Guest, chosen: Settings) -> None:
    if chosen.arch == "x86_64":
        # The line status register of COM1: the transmitter is empty, or at work.
        assert guest.call("hal.outcome", "inb", 0x3FD) & ~0x60 in (0, 1)
    else:
        assert guest.call("hal.outcome", "inb", 0x3FD) == "OSError: [Errno 95] this architecture has no I/O ports"


def test_device_registers_by_physical_address(guest: Guest, chosen: Settings) -> None:
    if chosen.arch == "x86_64":
        # The HPET's vendor, as its specification says.
        assert guest.call("hal.outcome", "mmio_read32", 0xFED00000) >> 16 == 0x8086
    else:
        # The PL011's first identification register, and a place where nothing answers.
        assert guest.call("hal.outcome", "mmio_read32", 0x9000FE0) == 0x11
        assert guest.call("hal.outcome", "mmio_read32", 0x0B000000) == NOT_THERE
