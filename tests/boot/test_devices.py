"""Devices are found wherever the machine has them, and their drivers run."""

from __future__ import annotations

import pytest

from harness.machines import Machines, Shape
from harness.serial import Console

#: Where on PCI an entropy device can be, in QEMU's words, and how the log calls the place.
PLACES = {
    "root bus": (("virtio-rng-pci,addr=5",), r"00:05\.0"),
    "behind a port": (("pcie-root-port,id=way", "virtio-rng-pci,bus=way"), r"01:00\.0"),
    "behind two bridges": (
        ("pcie-root-port,id=way", "pcie-pci-bridge,id=bridge,bus=way", "virtio-rng-pci,bus=bridge,addr=3"),
        r"02:03\.0",
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_entropy_device_feeds_the_pool(machines: Machines, place: str) -> None:
    check_entropy(machines, *PLACES[place])


@pytest.mark.architecture("arm64")
def test_entropy_device_without_a_bus_feeds_the_pool(machines: Machines) -> None:
    # A PC has virtio devices on PCI alone.
    check_entropy(machines, ("virtio-rng-device",), "0x[0-9a-f]+")


def check_entropy(machines: Machines, devices: tuple[str, ...], name: str) -> None:
    """Checks that the entropy device among `devices` is found at the place that the log calls `name`."""
    command = machines.command(Shape(), ("-c", "import time; time.sleep(600)"), devices=devices)
    with Console(command) as console:
        # It says so once the host's first bytes are in the pool.
        console.expect(rf"virtio EntropySource at {name} feeds the entropy pool", 60)
