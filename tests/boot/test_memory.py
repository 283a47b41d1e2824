"""Machines with little memory and with more than 4 GiB."""

from __future__ import annotations

import pytest

from harness import images
from harness.machines import Machines, Shape


@pytest.mark.parametrize(("memory", "mebibytes"), [("128M", 128), ("256M", 256), ("1G", 1024)])
def test_memory_is_found_and_usable(machines: Machines, memory: str, mebibytes: int) -> None:
    with machines.guest(Shape(memory=memory)) as guest:
        found = guest.call("machine.memory")
        # The system image stays where the boot loader put it; the kernel keeps its own and a table of frames.
        initrd = images.images(machines.settings).initrd(mebibytes, mebibytes >= 512).stat().st_size >> 10
        assert found["MemTotal"] <= mebibytes * 1024
        assert found["MemTotal"] >= mebibytes * 1024 * 0.96 - initrd - 12 * 1024
        # Half of what is free, in one piece: every page is written and read back.
        half = found["MemFree"] // 2048
        assert half > 0
        assert guest.call("machine.touch", half) == sum(page & 0xFF for page in range(half << 8))


def test_memory_above_4_gib_is_used(machines: Machines) -> None:
    with machines.guest(Shape(memory="6G")) as guest:
        assert guest.call("machine.memory")["MemTotal"] > 5.8 * (1 << 20)
        # More than lies below the hole that PCI devices have under 4 GiB.
        mebibytes = 3400
        assert guest.call("machine.touch", mebibytes, timeout=300) == sum(page & 0xFF for page in range(mebibytes << 8))
