"""A `_hal` for tests of package `kernel` on any Python: a small machine that exists in memory alone.

It has the shape of pylib/_hal.pyi and refuses what the real one refuses. `hal.reset()` makes it new.
"""

from __future__ import annotations

import copy
import ipaddress
import threading
from collections.abc import Callable, Sequence
from typing import Any

PAGE = 4096

Router = Callable[[int, int, int, int], None]


class PciFunction:
    """256 bytes of configuration space; `masks` says which bits of a base address register can be written."""

    def __init__(self, header: bytes, masks: dict[int, int] | None = None, *, writable: Sequence[int] = ()) -> None:
        self.space = bytearray(header.ljust(256, b"\0"))
        self.masks = masks or {}
        #: Bytes that keep what is written to them; the command register always does.
        self.writable = {4, 5, *writable}

    def write(self, offset: int, width: int, value: int) -> None:
        """Writes as hardware does: bits that are wired stay."""
        if offset in self.masks and width == 4:
            old = int.from_bytes(self.space[offset : offset + 4], "little")
            mask = self.masks[offset]
            self.space[offset : offset + 4] = (old & ~mask | value & mask).to_bytes(4, "little")
            return
        for index, byte in enumerate(value.to_bytes(width, "little")):
            if offset + index in self.writable:
                self.space[offset + index] = byte


def interface_row(name: str, index: int, addresses: list[str]) -> dict[str, Any]:
    """Returns an interface as `net_interfaces` has it, with counters that all differ."""
    counters = [f"{way}_{what}" for way in ("rx", "tx") for what in ("bytes", "packets", "errors", "dropped")]
    return {
        "name": name, "index": index, "mac": None, "mtu": 65536, "up": True, "addresses": addresses, "dhcp": False,
        "lease": None, **{counter: 100 * index + number for number, counter in enumerate(counters)},
    }  # fmt: skip


def card_row() -> dict[str, Any]:
    """Returns a card with a lease."""
    lease = {"server": "10.0.2.2", "expires": 1e12, "router": "10.0.2.2", "name_servers": ["10.0.2.3"]}
    row = interface_row("eth0", 2, ["10.0.2.15/24"])
    return row | {"mac": bytes.fromhex("525400123456"), "mtu": 1500, "dhcp": True, "lease": lease}


class FakeHal:
    """The machine. Its fields may be set by tests."""

    PAGE_READ, PAGE_WRITE, PAGE_EXEC, PAGE_DEVICE = 1, 2, 4, 8
    ARCH = "x86_64"
    SMP_CPUS = SMP_ONLINE = 2
    PY_GIL_DISABLED = 1

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Makes a machine of 1024 frames at 1 MiB with 2 CPUs, 2 threads and no devices."""
        self.lines: list[tuple[int, str, str]] = []
        self.thread_rows = [(1, "python3", "running", 0, 1_500_000_000), (7, "idle/1", "waiting", 1, 0)]
        self.cpu_rows = [
            (0, True, 3_000_000_000, 1_000_000_000, 1, 10, 2, 3, 40),
            (1, True, 1_000_000_000, 3_000_000_000, 0, 20, 4, 5, 60),
        ]
        self.frames = 1024
        self.allocated: dict[int, int] = {}
        self.pages: dict[int, tuple[int, int]] = {}
        self.registers: dict[int, int] = {}
        self.pci: dict[tuple[int, int, int], PciFunction] = {}
        self.router: Router | None = None
        self.vectors: list[tuple[int, str, tuple[int, ...], int]] = []
        self.watched: set[int] = set()
        self.raised: list[tuple[int, type[BaseException]]] = []
        self.net_rows = [interface_row("lo", 1, ["127.0.0.1/8", "::1/128"]), card_row()]
        self.route_rows: list[dict[str, Any]] = [
            {"destination": "0.0.0.0/0", "gateway": "10.0.2.2", "interface": "eth0"},
            {"destination": "10.0.2.0/24", "gateway": None, "interface": "eth0"},
        ]
        self.socket_rows: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def log(self, level: int, target: str, text: str) -> None:
        """Keeps the line."""
        if not 0 <= level <= 3:
            raise ValueError("no such level")
        with self._lock:
            self.lines.append((level, target, text))

    def threads(self) -> list[tuple[int, str, str, int, int]]:
        """Returns the rows that the test set."""
        return list(self.thread_rows)

    def cpus(self) -> list[tuple[int, bool, int, int, int, int, int, int, int]]:
        """Returns the rows that the test set."""
        return list(self.cpu_rows)

    def frame_stats(self) -> tuple[int, int, int]:
        """Counts frames; every free frame is in one run here."""
        free = self.frames - sum(self.allocated.values())
        return self.frames, free, free

    def frames_alloc(self, count: int, align_frames: int = 1) -> int:
        """Gives frames out, the first that fit."""
        if count < 1 or align_frames < 1 or align_frames & align_frames - 1:
            raise ValueError("no such number of frames")
        used = {start + n * PAGE for start, length in self.allocated.items() for n in range(length)}
        first = 0x100000
        while first + count * PAGE <= 0x100000 + self.frames * PAGE:
            if not any(first + n * PAGE in used for n in range(count)):
                self.allocated[first] = count
                return first
            first += align_frames * PAGE
        raise MemoryError

    def frames_free(self, phys: int, count: int) -> None:
        """Takes back what `frames_alloc` gave."""
        if self.allocated.get(phys) != count:
            raise ValueError("these are not frames that were given out")
        del self.allocated[phys]

    def page_map(self, virt: int, phys: int, length: int, flags: int) -> int:
        """Maps free pages, at 1 TiB if the caller does not care."""
        virt = virt or 1 << 40
        pages = self._pages(virt, length)
        if phys % PAGE or not 0 < flags < 16:
            raise ValueError("no page, or no such flags")
        if any(page in self.pages for page in pages):
            raise FileExistsError(17, "the addresses are in use")
        self.pages.update({page: (phys + page - virt, flags) for page in pages})
        return virt

    def page_unmap(self, virt: int, length: int) -> None:
        """Unmaps mapped pages."""
        pages = self._pages(virt, length)
        if any(page not in self.pages for page in pages):
            raise OSError(14, "not mapped")
        for page in pages:
            del self.pages[page]

    def page_protect(self, virt: int, length: int, flags: int) -> None:
        """Changes flags of mapped pages."""
        pages = self._pages(virt, length)
        if any(page not in self.pages for page in pages):
            raise OSError(14, "not mapped")
        self.pages.update({page: (self.pages[page][0], flags) for page in pages})

    def page_entry(self, virt: int) -> tuple[int, int] | None:
        """Looks a page up."""
        return self.pages.get(virt & -PAGE)

    def _pages(self, virt: int, length: int) -> range:
        if virt % PAGE or length % PAGE or length <= 0:
            raise ValueError("not whole pages")
        return range(virt, virt + length, PAGE)

    def mmio_read8(self, address: int) -> int:
        """Reads a register of one byte."""
        return self.mmio_read32(address) & 0xFF

    def mmio_read32(self, address: int) -> int:
        """Reads a register: each holds its physical address, unless it was written."""
        phys = self._register(address)
        return self.registers.get(phys, phys & 0xFFFFFFFF)

    def mmio_write32(self, address: int, value: int) -> None:
        """Writes a register."""
        self.registers[self._register(address)] = value

    def _register(self, address: int) -> int:
        entry = self.page_entry(address)
        if entry is None or not entry[1] & self.PAGE_DEVICE:
            raise OSError(14, "nothing is mapped at this address")
        return entry[0] + address % PAGE

    def pci_segments(self) -> list[tuple[int, int, int, int | None]]:
        """One segment."""
        return [(0, 0, 255, None)]

    def pci_config_read(self, bus: int, device: int, function: int, offset: int, width: int) -> int:
        """Reads configuration space; all ones where nobody answers."""
        self._check_config(offset, width)
        found = self.pci.get((bus, device, function))
        if found is None:
            return (1 << 8 * width) - 1
        return int.from_bytes(found.space[offset : offset + width], "little")

    def pci_config_write(self, bus: int, device: int, function: int, offset: int, width: int, value: int) -> None:
        """Writes configuration space."""
        self._check_config(offset, width)
        found = self.pci.get((bus, device, function))
        if found is not None:
            found.write(offset, width, value)

    def _check_config(self, offset: int, width: int) -> None:
        if width not in (1, 2, 4) or offset % width or not 0 <= offset < 256:
            raise ValueError("no such register")

    def msi_alloc(self, count: int = 1) -> tuple[int, int, int]:
        """Gives vector 64 out."""
        return 64, 0xFEE00000, 64

    def interrupt_watch(self, vector: int, on: bool = True) -> None:
        """Notes whether the events of a vector are wanted."""
        (self.watched.add if on else self.watched.discard)(vector)

    def irq_unmask(self, vector: int) -> bool:
        """Lines are never masked here."""
        return vector in self.watched

    def set_interrupt_router(self, router: Router | None) -> None:
        """Keeps the router."""
        if router is not None and not callable(router):
            raise TypeError("a router is a function")
        self.router = router

    def interrupts(self) -> list[tuple[int, str, tuple[int, ...], int]]:
        """Returns the rows that the test set."""
        return list(self.vectors)

    def net_interfaces(self) -> list[dict[str, Any]]:
        """Returns the rows that the test set."""
        return copy.deepcopy(self.net_rows)

    def net_routes(self) -> list[dict[str, Any]]:
        """Returns the rows that the test set."""
        return copy.deepcopy(self.route_rows)

    def net_sockets(self) -> list[dict[str, Any]]:
        """Returns the rows that the test set."""
        return copy.deepcopy(self.socket_rows)

    def net_configure(
        self,
        name: str,
        *,
        dhcp: bool | None = None,
        addresses: list[str] | None = None,
        gateway: str | None = None,
        up: bool | None = None,
    ) -> None:
        """Changes a row, and the default route."""
        for row in self.net_rows:
            if row["name"] == name:
                break
        else:
            raise OSError(19, "No such device")
        for address in addresses or []:
            ipaddress.ip_interface(address)
        if gateway:
            ipaddress.ip_address(gateway)
        if dhcp is not None:
            row["dhcp"] = dhcp
            row["lease"] = row["lease"] if dhcp else None
        if addresses is not None:
            row["addresses"] = list(addresses)
        if gateway is not None:
            self.route_rows = [route for route in self.route_rows if route["destination"] != "0.0.0.0/0"]
            if gateway:
                self.route_rows.insert(0, {"destination": "0.0.0.0/0", "gateway": gateway, "interface": name})
        if up is not None:
            row["up"] = up

    def thread_raise(self, ident: int, exception: type[BaseException]) -> None:
        """Keeps what was asked for."""
        self.raised.append((ident, exception))


hal = FakeHal()
