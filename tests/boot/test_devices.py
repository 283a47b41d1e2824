"""Devices are found wherever the machine has them, and their drivers run."""

from __future__ import annotations

import pytest

from harness.machines import Machines, Shape
from harness.serial import Console

#: Where an entropy device can be, in QEMU's words, and how the log calls the place.
PLACES = {
    "root bus": (("virtio-rng-pci,addr=5",), r"00:05\.0"),
    "behind a port": (("pcie-root-port,id=way", "virtio-rng-pci,bus=way"), r"01:00\.0"),
    "behind two bridges": (
        ("pcie-root-port,id=way", "pcie-pci-bridge,id=bridge,bus=way", "virtio-rng-pci,bus=bridge,addr=3"),
        r"02:03\.0",
    ),
    "no bus": (("virtio-rng-device",), "0x[0-9a-f]+"),
}


@pytest.mark.parametrize("place", PLACES)
def test_entropy_device_feeds_the_pool(machines: Machines, place: str) -> None:
    devices, name = PLACES[place]
    if place == "no bus" and machines.settings.arch == "x86_64":
        pytest.skip("a PC has virtio devices on PCI alone")
    command = machines.command(Shape(), ("-c", "import time; time.sleep(600)"), devices=devices)
    with Console(command) as console:
        # It says so once the host's first bytes are in the pool.
        console.expect(rf"virtio EntropySource at {name} feeds the entropy pool", 60)
