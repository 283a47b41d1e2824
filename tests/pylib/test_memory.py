"""`kernel.memory`: the numbers are those of the moment, and what is taken comes back."""

from __future__ import annotations

import pytest
from fake_hal import FakeHal

from kernel.memory import PageEntry, PageFlags, pmm, vmm

RW = PageFlags.READ | PageFlags.WRITE


def test_numbers_are_live(hal: FakeHal) -> None:
    assert (pmm.total, pmm.available, pmm.used, pmm.largest_free_run) == (1024, 1024, 0, 1024)
    phys = pmm.alloc(4)
    assert (pmm.available, pmm.used) == (1020, 4)
    pmm.free(phys, 4)
    assert pmm.available == 1024
    assert repr(pmm) == "<pmm: 4 MiB, 4 MiB free, longest run 4 MiB>"


def test_frames_are_aligned_as_asked(hal: FakeHal) -> None:
    pmm.alloc()
    assert pmm.alloc(2, align=16) % (16 * pmm.page_size) == 0


def test_frames_come_back_at_the_end_of_a_with(hal: FakeHal) -> None:
    with pytest.raises(LookupError), pmm.frames(8):
        assert pmm.used == 8
        raise LookupError
    assert pmm.used == 0


def test_frames_that_are_not_yours_are_refused(hal: FakeHal) -> None:
    phys = pmm.alloc(2)
    for address, count in ((phys, 1), (phys + 4096, 1), (0, 1)):
        with pytest.raises(ValueError, match="frames"):
            pmm.free(address, count)
    with pytest.raises(MemoryError):
        pmm.alloc(5000)


def test_mapping_changes_the_page_tables(hal: FakeHal) -> None:
    virt = 0x7000_0000_0000
    vmm.map(virt, 0x200000, 8192, RW)
    assert vmm.entry(virt + 5000) == PageEntry(0x201000, RW)
    assert vmm.translate(virt + 5000) == 0x200000 + 5000
    vmm.protect(virt, 4096, PageFlags.READ)
    assert [entry.flags for page in (0, 4096) if (entry := vmm.entry(virt + page))] == [PageFlags.READ, RW]
    vmm.unmap(virt, 8192)
    assert vmm.entry(virt) is None
    with pytest.raises(LookupError, match="0x700000000000 is not mapped"):
        vmm.translate(virt)


def test_wrong_mappings_are_refused(hal: FakeHal) -> None:
    vmm.map(0x10000, 0x200000, 4096)
    with pytest.raises(OSError, match="in use"):
        vmm.map(0x10000, 0x300000, 4096)
    with pytest.raises(ValueError, match="whole pages"):
        vmm.map(0x10001, 0x300000, 4096)
    with pytest.raises(OSError, match="not mapped"):
        vmm.unmap(0x20000, 4096)
