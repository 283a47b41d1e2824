"""Physical memory and page tables, as they are at this moment.

    from kernel.memory import pmm, vmm, PageFlags

    with pmm.frames(4) as phys:                      # 4 frames in a row, given back at the end
        vmm.map(0x7000_0000_0000, phys, 4 * pmm.page_size, PageFlags.READ | PageFlags.WRITE)
        ...
        vmm.unmap(0x7000_0000_0000, 4 * pmm.page_size)

Addresses and lengths are in bytes, counts in frames of `pmm.page_size` bytes. Nothing here is a
copy: each attribute asks the machine. Threads may share everything here.
"""

import enum
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import _hal
from kernel._reload import keep

__all__ = ["PageFlags", "PageEntry", "PhysicalMemory", "VirtualMemory", "pmm", "vmm"]


class PageFlags(enum.IntFlag):
    """What may be done with a page."""

    READ = _hal.PAGE_READ
    WRITE = _hal.PAGE_WRITE
    EXEC = _hal.PAGE_EXEC
    #: Device registers: accesses happen in order, one by one, past the cache.
    DEVICE = _hal.PAGE_DEVICE


@dataclass(frozen=True, slots=True)
class PageEntry:
    """What the page tables say about one virtual page."""

    #: The address of its frame.
    phys: int
    flags: PageFlags


class PhysicalMemory:
    """The frames of physical memory: how many there are, and a way to take some."""

    @property
    def page_size(self) -> int:
        """Bytes of a frame."""
        return 4096

    @property
    def total(self) -> int:
        """How many frames the machine manages."""
        return _hal.frame_stats()[0]

    @property
    def available(self) -> int:
        """How many of them are free."""
        return _hal.frame_stats()[1]

    @property
    def used(self) -> int:
        """How many of them are in use."""
        total, free, _ = _hal.frame_stats()
        return total - free

    @property
    def largest_free_run(self) -> int:
        """How many free frames in a row there are at most: the most that `alloc` can give."""
        return _hal.frame_stats()[2]

    def alloc(self, count: int = 1, align: int = 1) -> int:
        """Takes `count` frames in a row, on a multiple of `align` frames; returns their physical address.

        Raises `ValueError` if `count` is below 1 or `align` no power of two, `MemoryError` if there is
        no such run.
        """
        return _hal.frames_alloc(count, align)

    def free(self, phys: int, count: int = 1) -> None:
        """Gives back the `count` frames at `phys` that `alloc` gave.

        Raises `ValueError` if it did not. Nothing may use them any more.
        """
        _hal.frames_free(phys, count)

    @contextmanager
    def frames(self, count: int = 1, align: int = 1) -> Iterator[int]:
        """Yields the address of frames as `alloc` does; gives them back at the end of the `with`."""
        phys = self.alloc(count, align)
        try:
            yield phys
        finally:
            self.free(phys, count)

    def __repr__(self) -> str:
        """Shows the numbers of this moment."""
        total, free, run = _hal.frame_stats()
        mib = self.page_size / (1 << 20)
        return f"<pmm: {total * mib:.0f} MiB, {free * mib:.0f} MiB free, longest run {run * mib:.0f} MiB>"


class VirtualMemory:
    """The page tables, which all CPUs share."""

    def map(self, virt: int, phys: int, length: int, flags: PageFlags | int = PageFlags.READ | PageFlags.WRITE) -> int:
        """Maps `length` bytes of frames at `phys` at the free virtual address `virt`, or anywhere if that is 0.

        Returns where. Frames must come from `pmm.alloc` or be the registers of a device. Raises `ValueError` if one
        is no multiple of a page or `flags` make no sense, `OSError` if the addresses are in use or not for users,
        `MemoryError` if there is no frame for a page table.
        """
        return _hal.page_map(virt, phys, length, int(flags))

    def unmap(self, virt: int, length: int) -> None:
        """Unmaps what `map` mapped; no CPU uses it any more when this returns.

        Raises `ValueError` for addresses within a page, `OSError` if it was not `map` that mapped them.
        """
        _hal.page_unmap(virt, length)

    def protect(self, virt: int, length: int, flags: PageFlags | int) -> None:
        """Sets what may be done with pages that `map` mapped, on all CPUs. Errors: see `map` and `unmap`."""
        _hal.page_protect(virt, length, int(flags))

    def entry(self, virt: int) -> PageEntry | None:
        """Returns what the page tables say about the page that holds the address `virt`; None if nothing.

        Raises `ValueError` if it is no address.
        """
        found = _hal.page_entry(virt)
        return None if found is None else PageEntry(found[0], PageFlags(found[1]))

    def translate(self, virt: int) -> int:
        """Returns the physical address of the byte at `virt`.

        Raises `ValueError` if it is no address, `LookupError` if it is not mapped.
        """
        entry = self.entry(virt)
        if entry is None:
            raise LookupError(f"{virt:#x} is not mapped")
        return entry.phys + virt % pmm.page_size

    def __repr__(self) -> str:
        """Names it."""
        return "<vmm: the page tables of all CPUs>"


pmm = keep(globals().get("pmm"), PhysicalMemory)
vmm = keep(globals().get("vmm"), VirtualMemory)
