"""A driver in Python: it reads what a virtio device on the PCI bus says about itself.

The driver takes no device that the kernel uses; it only looks. Virtio's capabilities (virtio 1.2, 4.1.4) say in which
memory of the device which of its structures lie.
"""

from __future__ import annotations

from kernel.bus.pci import Capability, Device, bus

VIRTIO = 0x1AF4
VENDOR_SPECIFIC = 0x09
COMMON_CONFIGURATION = 1
STRUCTURES = {1: "common configuration", 2: "notifications", 3: "interrupt status", 4: "device configuration", 5: "PCI"}
KINDS = {1: "network", 2: "block", 3: "console", 4: "entropy", 9: "9P", 16: "graphics", 18: "input", 25: "sound"}


class VirtioReader:
    """A driver that reads and leaves."""

    name = "virtio-reader"

    def matches(self, device: Device) -> bool:
        """Takes every modern virtio device."""
        return device.vendor_id == VIRTIO

    def probe(self, device: Device) -> None:
        """Prints what the device says."""
        # Modern devices have the type in their id; older ones in that of the subsystem.
        kind = device.device_id - 0x1040 if device.device_id >= 0x1040 else device.subsystem[1]
        print(f"{device.address}: virtio {KINDS.get(kind, f'type {kind}')} device, {len(device.bars)} memory areas")
        for capability in device.capabilities:
            if capability.id == VENDOR_SPECIFIC:
                self.show(device, capability)

    def show(self, device: Device, capability: Capability) -> None:
        """Prints where a structure lies, and some of it."""
        structure, index = device.read(capability.offset + 3, 1), device.read(capability.offset + 4, 1)
        offset, length = device.read(capability.offset + 8, 4), device.read(capability.offset + 12, 4)
        print(f"  {STRUCTURES.get(structure, 'other')}: {length} bytes at {offset:#x} of memory area {index}")
        if structure != COMMON_CONFIGURATION:
            return
        with device.map(device.bars[index]) as registers:
            # Each field is read by itself: the number of queues, whose upper half is 0, and the driver's status.
            queues, status = registers.read8(offset + 18), registers.read8(offset + 20)
        print(f"  status {status:#04x}, {queues} queues")


def main() -> None:
    """Shows the bus, then has the driver look at it."""
    for device in bus:
        print(device)
    driver = VirtioReader()
    taken = bus.register_driver(driver)
    bus.unregister_driver(driver)
    print(f"{len(taken)} devices read")


if __name__ in ("__main__", "<run_path>"):
    main()
