"""`kernel.bus.pci`, on buses made of bytes."""

from __future__ import annotations

import struct

import pytest
from fake_hal import FakeHal, PciFunction

from kernel.bus.pci import Address, Bar, Bus, Device


def header(
    vendor: int, device: int, klass: int, subclass: int, *, header_type: int = 0, status: int = 0, command: int = 3
) -> bytearray:
    """Returns the first 64 bytes of configuration space."""
    space = bytearray(64)
    struct.pack_into("<HHHHBBBB", space, 0, vendor, device, command, status, 1, 0, subclass, klass)
    space[14] = header_type
    return space


@pytest.fixture
def bus(hal: FakeHal) -> Bus:
    """A bus with a bridge, a device of two functions, and a network card behind the bridge."""
    bridge = header(0x8086, 0x29C0, 6, 4, header_type=1)
    bridge[0x18:0x1B] = bytes([0, 5, 5])
    hal.pci[0, 0, 0] = PciFunction(header(0x8086, 0x1237, 6, 0))
    hal.pci[0, 2, 0] = PciFunction(bridge)
    hal.pci[0, 3, 0] = PciFunction(header(0x1AF4, 0x1042, 1, 0, header_type=0x80))
    hal.pci[0, 3, 4] = PciFunction(header(0x1AF4, 0x1044, 0xFF, 0, header_type=0x80))
    # Nobody looks at other functions of a device that does not say it has them.
    hal.pci[0, 0, 1] = PciFunction(header(0x1234, 0x5678, 2, 0))
    network = header(0x8086, 0x100E, 2, 0, status=0x10)
    struct.pack_into("<IIIII", network, 0x10, 0xFEB0000C, 0x1, 0xC001, 0xFEBC0000, 0)
    network[0x34] = 0x40
    space = network + bytes([0x05, 0x50, 0x80, 0x00]) + bytes(12) + bytes([0x11, 0x40, 1, 2])
    masks = {0x10: 0xFFFFC000, 0x14: 0xFFFFFFFF, 0x18: 0xFFC0, 0x1C: 0xFFFE0000}
    hal.pci[5, 0, 0] = PciFunction(bytes(space), masks, writable=range(0x42, 0x50))
    return Bus()


def test_every_function_is_found_in_order(bus: Bus) -> None:
    assert [str(device.address) for device in bus] == ["00:00.0", "00:02.0", "00:03.0", "00:03.4", "05:00.0"]
    assert len(bus) == 5
    assert repr(bus["05:00.0"]) == "<05:00.0 network 0200: 8086:100e>"
    with pytest.raises(KeyError):
        bus["07:00.0"]


def test_functions_are_found_by_class_and_by_id(bus: Bus) -> None:
    assert [str(device.address) for device in bus.find_by_class(6)] == ["00:00.0", "00:02.0"]
    assert [str(device.address) for device in bus.find_by_class(6, 4)] == ["00:02.0"]
    assert [str(device.address) for device in bus.find_by_id(0x1AF4)] == ["00:03.0", "00:03.4"]
    assert [str(device.address) for device in bus.find_by_id(0x1AF4, 0x1044)] == ["00:03.4"]
    assert bus.find_by_id(0x1AF4, 1) == []


def test_base_address_registers_have_their_sizes(hal: FakeHal, bus: Bus) -> None:
    card = bus["05:00.0"]
    before = bytes(hal.pci[5, 0, 0].space)
    assert card.bars == {
        0: Bar(0, 0x1_FEB00000, 0x4000, is_memory=True, is_64bit=True, is_prefetchable=True),
        2: Bar(2, 0xC000, 0x40, is_memory=False, is_64bit=False, is_prefetchable=False),
        3: Bar(3, 0xFEBC0000, 0x20000, is_memory=True, is_64bit=False, is_prefetchable=False),
    }
    assert bytes(hal.pci[5, 0, 0].space) == before, "looking must leave everything as it was"


def test_capabilities_are_walked(bus: Bus) -> None:
    card = bus["05:00.0"]
    assert [(found.name, found.offset) for found in card.capabilities] == [("MSI", 0x40), ("MSI-X", 0x50)]
    assert card.read_capability(card.capabilities[1], 4) == bytes([0x11, 0x40, 1, 2])
    assert bus["00:00.0"].capabilities == []


def test_a_message_interrupt_is_programmed(hal: FakeHal, bus: Bus) -> None:
    assert bus["05:00.0"].enable_msi() == 64
    space = hal.pci[5, 0, 0].space
    control, low, high, data = struct.unpack_from("<HIIH", space, 0x42)
    assert (control, low, high, data) == (0x81, 0xFEE00000, 0, 64)
    assert space[4] & 4, "messages need a bus master"
    assert space[5] & 4, "the line is off"
    with pytest.raises(LookupError):
        bus["00:00.0"].enable_msi()


def test_registers_are_mapped_for_a_while(hal: FakeHal, bus: Bus) -> None:
    card = bus["05:00.0"]
    with card.map(card.bars[0]) as registers:
        registers.write32(0x3FFC, 7)
        assert (registers.read32(0), registers.read32(0x3FFC)) == (0xFEB00000, 7)
        for offset in (0x4000, -4, 2):
            with pytest.raises(ValueError, match="no register"):
                registers.read32(offset)
        assert len(hal.pages) == 4
    assert hal.pages == {}
    with pytest.raises(ValueError, match="closed"):
        registers.read32(0)
    with pytest.raises(ValueError, match="ports"):
        card.map(card.bars[2])


def test_registers_within_a_page(hal: FakeHal, bus: Bus) -> None:
    bar = Bar(0, 0xFEB00F80, 0x100, is_memory=True, is_64bit=False, is_prefetchable=False)
    with bus["05:00.0"].map(bar) as registers:
        assert registers.read32(0xFC) == 0xFEB0107C
        assert len(hal.pages) == 2


def test_enable_sets_bits_and_clears_none(hal: FakeHal, bus: Bus) -> None:
    device = bus["00:03.0"]
    device.write(4, 2, 0x100)
    device.enable(io=False, bus_master=True)
    assert device.command == 0x106


class Collects:
    """A driver that takes what has its id."""

    name = "collects"

    def __init__(self, vendor: int, *, fails: bool = False) -> None:
        self.vendor, self.fails = vendor, fails
        self.probed: list[Address] = []

    def matches(self, device: Device) -> bool:
        return device.vendor_id == self.vendor

    def probe(self, device: Device) -> None:
        self.probed.append(device.address)
        if self.fails:
            raise OSError("does not answer")


def test_a_driver_gets_what_it_matches(hal: FakeHal, bus: Bus) -> None:
    driver, second = Collects(0x1AF4), Collects(0x1AF4)
    assert bus.register_driver(driver) == bus.find_by_id(0x1AF4)
    assert bus.register_driver(second) == [], "a device has one driver"
    hal.pci[0, 9, 0] = PciFunction(header(0x1AF4, 0x1050, 3, 0))
    bus.scan()
    assert driver.probed == [Address(0, 3, 0), Address(0, 3, 4), Address(0, 9, 0)]
    bus.unregister_driver(driver)
    assert [device.driver for device in bus.find_by_id(0x1AF4)] == [None] * 3
    with pytest.raises(ValueError, match="registered already"):
        bus.register_driver(second)


def test_a_driver_that_fails_leaves_the_device_free(hal: FakeHal, bus: Bus) -> None:
    assert bus.register_driver(Collects(0x1AF4, fails=True)) == []
    assert {device.driver for device in bus} == {None}
    assert "OSError: does not answer" in [text for _, _, text in hal.lines]
    assert len(bus.register_driver(Collects(0x1AF4))) == 2


def test_what_is_no_driver_is_refused(bus: Bus) -> None:
    with pytest.raises(TypeError, match="matches"):
        bus.register_driver(object())  # type: ignore[arg-type]


def test_a_bridge_that_leads_back_ends(hal: FakeHal) -> None:
    bridge = header(0x8086, 0x29C0, 6, 4, header_type=1)
    bridge[0x19] = 0
    hal.pci[0, 1, 0] = PciFunction(bridge)
    assert len(Bus()) == 1
