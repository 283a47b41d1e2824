"""The ISO image boots under BIOS and UEFI firmware, as on a real machine."""

from __future__ import annotations

import pytest

from harness.machines import Machines, Shape
from harness.toolchain import host_architecture


@pytest.mark.architecture("x86_64")
@pytest.mark.skipif(host_architecture() != "x86_64", reason="Debian has GRUB for the PC on PCs alone")
@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_iso_boots_to_the_prompt(machines: Machines, firmware: str) -> None:
    with machines.prompt(Shape(), iso=True, firmware=firmware) as prompt:
        assert prompt.evaluate("__import__('os').process_cpu_count()") == "2"
