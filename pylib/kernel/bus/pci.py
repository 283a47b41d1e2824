"""The PCI bus: its devices, and drivers for them written in Python.

    from kernel.bus.pci import bus

    for device in bus:
        print(device)
    (disk,) = bus.find_by_id(0x1AF4, 0x1042)
    print(disk.bars, [capability.name for capability in disk.capabilities])
    with disk.map(disk.bars[4]) as registers:
        print(registers.read32(0))

A driver is an object with `name`, `matches(device)` and `probe(device)`; `Driver` has the details.
Numbers and names are those of the PCI Local Bus Specification 3.0. Threads may share everything here.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol, runtime_checkable

import _hal
from kernel import log
from kernel._reload import keep
from kernel.memory import PageFlags, pmm, vmm

__all__ = ["Address", "Bar", "Bus", "Capability", "Device", "Driver", "Registers", "bus"]

# Offsets in the header of a function.
_VENDOR: Final = 0x00
_DEVICE: Final = 0x02
_COMMAND: Final = 0x04
_STATUS: Final = 0x06
_REVISION: Final = 0x08
_PROG_IF: Final = 0x09
_SUBCLASS: Final = 0x0A
_CLASS: Final = 0x0B
_HEADER_TYPE: Final = 0x0E
_BARS: Final = 0x10
_SECONDARY_BUS: Final = 0x19
_SUBSYSTEM_VENDOR: Final = 0x2C
_SUBSYSTEM: Final = 0x2E
_CAPABILITIES: Final = 0x34
_INTERRUPT_LINE: Final = 0x3C
_INTERRUPT_PIN: Final = 0x3D
_EXTENDED: Final = 0x100

_COMMAND_IO: Final = 1 << 0
_COMMAND_MEMORY: Final = 1 << 1
_COMMAND_BUS_MASTER: Final = 1 << 2
_COMMAND_NO_INTX: Final = 1 << 10
_STATUS_CAPABILITIES: Final = 1 << 4
_NOBODY: Final = 0xFFFF
_BRIDGE: Final = 0x0604

_CAPABILITY_NAMES: Final = {
    0x01: "power management",
    0x03: "vital product data",
    0x04: "slot identification",
    0x05: "MSI",
    0x09: "vendor specific",
    0x0D: "bridge subsystem",
    0x10: "PCI Express",
    0x11: "MSI-X",
    0x12: "SATA",
    0x13: "advanced features",
}
_CLASS_NAMES: Final = {
    0x00: "unclassified",
    0x01: "mass storage",
    0x02: "network",
    0x03: "display",
    0x04: "multimedia",
    0x05: "memory",
    0x06: "bridge",
    0x07: "communication",
    0x08: "system",
    0x09: "input",
    0x0C: "serial bus",
    0xFF: "other",
}
_CAPABILITY_MSI: Final = 0x05


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """Where a function is: bus 0 to 255, device 0 to 31, function 0 to 7."""

    bus: int
    device: int
    function: int

    def __str__(self) -> str:
        """Returns it as lspci(8) writes it."""
        return f"{self.bus:02x}:{self.device:02x}.{self.function}"


@dataclass(frozen=True, slots=True)
class Bar:
    """A base address register: memory or ports that a device answers at."""

    index: int
    #: Physical address, or first port; 0 if nobody has given it one.
    address: int
    #: In bytes.
    size: int
    is_memory: bool
    is_64bit: bool
    is_prefetchable: bool


@dataclass(frozen=True, slots=True)
class Capability:
    """One entry of a function's list of capabilities."""

    id: int
    #: Where it begins in configuration space.
    offset: int

    @property
    def name(self) -> str:
        """What it is about."""
        return _CAPABILITY_NAMES.get(self.id, f"capability {self.id:#04x}")


class Registers:
    """A device's memory, mapped for as long as this is not closed. Offsets are in bytes; threads may share it."""

    def __init__(self, bar: Bar) -> None:
        """Maps what `bar` describes; see `Device.map`."""
        page = pmm.page_size
        start = bar.address & -page
        self._length = bar.address + bar.size - start + page - 1 & -page
        self._size = bar.size
        self._page = vmm.map(0, start, self._length, PageFlags.READ | PageFlags.WRITE | PageFlags.DEVICE)
        #: The virtual address of the first register.
        self.address = self._page + bar.address - start
        self._is_open = True

    def read8(self, offset: int) -> int:
        """Returns a byte. Raises `ValueError` outside the registers or after `close`, `OSError` if nobody answers."""
        return _hal.mmio_read8(self._place(offset, 1))

    def read32(self, offset: int) -> int:
        """Returns 32 bits at a multiple of 4. Errors: see `read8`."""
        return _hal.mmio_read32(self._place(offset, 4))

    def write8(self, offset: int, value: int) -> None:
        """Writes a byte. Errors: see `read8`."""
        _hal.mmio_write8(self._place(offset, 1), value)

    def write32(self, offset: int, value: int) -> None:
        """Writes 32 bits at a multiple of 4. Errors: see `read8`."""
        _hal.mmio_write32(self._place(offset, 4), value)

    def _place(self, offset: int, width: int) -> int:
        if not self._is_open:
            raise ValueError("these registers are closed")
        if offset % width or not 0 <= offset <= self._size - width:
            raise ValueError(f"there is no register of {width} bytes at {offset:#x}")
        return self.address + offset

    def close(self) -> None:
        """Unmaps them; again does nothing."""
        if self._is_open:
            self._is_open = False
            vmm.unmap(self._page, self._length)

    def __enter__(self) -> "Registers":
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Unmaps them."""
        self.close()


class Device:
    """One function of a device on the bus. Every attribute but `bars` is read from it when asked for."""

    def __init__(self, address: Address) -> None:
        """Describes what answers at `address`."""
        self.address = address
        #: The driver that took it, if one did.
        self.driver: Driver | None = None
        self._lock = threading.RLock()

    def read(self, offset: int, width: int) -> int:
        """Returns `width` bytes (1, 2 or 4) of configuration space at `offset`.

        Raises `ValueError` for another width or an offset that is no multiple of it, `OSError` if the machine cannot
        reach that offset.
        """
        at = self.address
        return _hal.pci_config_read(at.bus, at.device, at.function, offset, width)

    def write(self, offset: int, width: int, value: int) -> None:
        """Writes `width` bytes of configuration space. Errors: see `read`."""
        at = self.address
        _hal.pci_config_write(at.bus, at.device, at.function, offset, width, value)

    @property
    def vendor_id(self) -> int:
        """Who made it."""
        return self.read(_VENDOR, 2)

    @property
    def device_id(self) -> int:
        """What its maker calls it."""
        return self.read(_DEVICE, 2)

    @property
    def subsystem(self) -> tuple[int, int]:
        """Who made the board that it is on, and what that is called."""
        return self.read(_SUBSYSTEM_VENDOR, 2), self.read(_SUBSYSTEM, 2)

    @property
    def class_code(self) -> int:
        """What it is for: 1 mass storage, 2 network, 3 display, 6 bridge."""
        return self.read(_CLASS, 1)

    @property
    def subclass(self) -> int:
        """What kind of its class it is."""
        return self.read(_SUBCLASS, 1)

    @property
    def prog_if(self) -> int:
        """Which programming interface of its kind it has."""
        return self.read(_PROG_IF, 1)

    @property
    def class_name(self) -> str:
        """What it is for, in words."""
        return _CLASS_NAMES.get(self.class_code, f"class {self.class_code:#04x}")

    @property
    def revision(self) -> int:
        """Its maker's revision number."""
        return self.read(_REVISION, 1)

    @property
    def command(self) -> int:
        """The command register."""
        return self.read(_COMMAND, 2)

    @property
    def status(self) -> int:
        """The status register."""
        return self.read(_STATUS, 2)

    @property
    def header_type(self) -> int:
        """0 for devices, 1 for bridges to another PCI bus."""
        return self.read(_HEADER_TYPE, 1) & 0x7F

    @property
    def interrupt_line(self) -> int:
        """What the firmware noted about its interrupt line; 255 means nothing."""
        return self.read(_INTERRUPT_LINE, 1)

    @property
    def interrupt_pin(self) -> int:
        """Which line it uses: 1 to 4 for INTA to INTD, 0 for none."""
        return self.read(_INTERRUPT_PIN, 1)

    @cached_property
    def bars(self) -> dict[int, Bar]:
        """Its base address registers by index.

        A size is found by writing to a register and reading back, with the device deaf for that moment; so this
        is done once. Assign nothing to it; `del device.bars` has it read again.
        """
        found: dict[int, Bar] = {}
        with self._lock:
            command = self.command
            self.write(_COMMAND, 2, command & ~(_COMMAND_IO | _COMMAND_MEMORY))
            try:
                index = 0
                count = {0: 6, 1: 2}.get(self.header_type, 0)
                while index < count:
                    bar = self._read_bar(index)
                    if bar is not None:
                        found[index] = bar
                    index += 2 if bar is not None and bar.is_64bit else 1
            finally:
                self.write(_COMMAND, 2, command)
        return found

    def _read_bar(self, index: int) -> Bar | None:
        """Reads one register; decoding is off."""
        low, mask = self._probe(_BARS + 4 * index)
        if mask == 0:
            return None
        if low & 1:
            # The upper half of a port's register may be wired to 0.
            mask = mask & 0xFFFC | 0xFFFF0000
            return Bar(index, low & ~3, -mask & 0xFFFFFFFF, False, False, False)
        is_64bit = low >> 1 & 3 == 2
        address, bits = low & ~0xF, 32
        mask &= ~0xF
        if is_64bit:
            high, high_mask = self._probe(_BARS + 4 * index + 4)
            address, mask, bits = address | high << 32, mask | high_mask << 32, 64
        return Bar(index, address, -mask & (1 << bits) - 1, True, is_64bit, bool(low & 8))

    def _probe(self, offset: int) -> tuple[int, int]:
        """Returns what a register holds, and which of its bits can be written."""
        value = self.read(offset, 4)
        self.write(offset, 4, 0xFFFFFFFF)
        mask = self.read(offset, 4)
        self.write(offset, 4, value)
        return value, mask

    @property
    def capabilities(self) -> list[Capability]:
        """What it can do beyond the basics, in the order of its own list."""
        if not self.status & _STATUS_CAPABILITIES:
            return []
        found: list[Capability] = []
        offset = self.read(_CAPABILITIES, 1) & ~3
        # A broken list may lead in a circle.
        seen: set[int] = set()
        while offset >= 0x40 and offset not in seen:
            seen.add(offset)
            found.append(Capability(self.read(offset, 1), offset))
            offset = self.read(offset + 1, 1) & ~3
        return found

    def find_capability(self, capability_id: int) -> Capability | None:
        """Returns its first capability with this id, or None."""
        return next((found for found in self.capabilities if found.id == capability_id), None)

    def read_capability(self, capability: Capability, length: int) -> bytes:
        """Returns `length` bytes of configuration space from the start of a capability on."""
        return bytes(self.read(capability.offset + index, 1) for index in range(length))

    def enable(self, *, memory: bool = True, io: bool = True, bus_master: bool = False) -> None:
        """Lets it answer to its memory and its ports, and, as bus master, use memory by itself."""
        wanted = _COMMAND_MEMORY * memory | _COMMAND_IO * io | _COMMAND_BUS_MASTER * bus_master
        with self._lock:
            self.write(_COMMAND, 2, self.command | wanted)

    def map(self, bar: Bar) -> Registers:
        """Maps the memory of a base address register of this device, to be closed after use.

        Raises `ValueError` if it is for ports or has no address, `OSError` if the machine does not let it be mapped.
        """
        if not bar.is_memory:
            raise ValueError(f"{self.address} has ports at register {bar.index}, not memory")
        if bar.address == 0:
            raise ValueError(f"{self.address} has no address at register {bar.index}")
        return Registers(bar)

    def enable_msi(self) -> int:
        """Has it send its interrupts as messages (MSI); returns the vector that they come in on.

        Raises `LookupError` if it cannot, `OSError` if the machine has no vector left.
        """
        capability = self.find_capability(_CAPABILITY_MSI)
        if capability is None:
            raise LookupError(f"{self.address} has no MSI capability")
        vector, address, data = _hal.msi_alloc(1)
        at = capability.offset
        with self._lock:
            control = self.read(at + 2, 2)
            self.write(at + 4, 4, address & 0xFFFFFFFF)
            if control & 0x80:
                self.write(at + 8, 4, address >> 32)
            self.write(at + (12 if control & 0x80 else 8), 2, data)
            # One message: bits 4 to 6 of the control register are the logarithm of their number.
            self.write(at + 2, 2, control & ~0x70 | 1)
            self.write(_COMMAND, 2, self.command | _COMMAND_NO_INTX | _COMMAND_BUS_MASTER)
        return vector

    def __repr__(self) -> str:
        """Returns address, class and ids, as lspci(8) does."""
        return (
            f"<{self.address} {self.class_name} {self.class_code:02x}{self.subclass:02x}: "
            f"{self.vendor_id:04x}:{self.device_id:04x}>"
        )


@runtime_checkable
class Driver(Protocol):
    """What a driver has to have."""

    #: Its name, for the log.
    name: str

    def matches(self, device: Device) -> bool:
        """Tells whether it can drive `device`; reads its ids or its class and changes nothing."""

    def probe(self, device: Device) -> None:
        """Takes `device` over. If this raises, the device stays free and the traceback is in the log."""


class Bus:
    """All PCI functions of the machine, in order of address. Found once, and again by `scan`."""

    def __init__(self) -> None:
        """Knows nothing yet; looks when it is first asked."""
        self._lock = threading.RLock()
        self._devices: dict[Address, Device] | None = None
        self._drivers: list[Driver] = []

    def scan(self) -> None:
        """Looks for functions again: new ones are offered to the drivers, those that are gone forgotten.

        Raises `OSError` if the machine has no PCI bus that can be reached.
        """
        with self._lock:
            old = self._devices or {}
            found: dict[Address, Device] = {}
            for _, first, *_ in _hal.pci_segments():
                for address in _walk(first, set()):
                    found[address] = old.get(address) or Device(address)
            self._devices = dict(sorted(found.items()))
            for driver in self._drivers:
                self._offer(driver)

    def _known(self) -> dict[Address, Device]:
        with self._lock:
            if self._devices is None:
                self.scan()
            assert self._devices is not None
            return self._devices

    def __iter__(self) -> Iterator[Device]:
        """Yields each function."""
        return iter(list(self._known().values()))

    def __len__(self) -> int:
        """Returns how many there are."""
        return len(self._known())

    def __getitem__(self, address: str) -> Device:
        """Returns the function at an address such as `00:03.0`; raises `KeyError` if there is none."""
        for device in self:
            if str(device.address) == address:
                return device
        raise KeyError(address)

    def find_by_class(self, class_code: int, subclass: int | None = None, prog_if: int | None = None) -> list[Device]:
        """Returns the functions of a class, and of a subclass and programming interface if they are given."""
        return [
            device
            for device in self
            if device.class_code == class_code
            and subclass in (None, device.subclass)
            and prog_if in (None, device.prog_if)
        ]

    def find_by_id(self, vendor_id: int, device_id: int | None = None) -> list[Device]:
        """Returns the functions of a maker, with one id if it is given."""
        return [
            device for device in self if device.vendor_id == vendor_id and device_id in (None, device.device_id)
        ]

    @property
    def drivers(self) -> list[Driver]:
        """The registered drivers."""
        with self._lock:
            return list(self._drivers)

    def register_driver(self, driver: Driver) -> list[Device]:
        """Offers every free function to `driver`, and those found later; returns those that it took.

        Raises `TypeError` if it is no driver, `ValueError` if it is registered.
        """
        if not isinstance(driver, Driver):
            raise TypeError(f"{driver!r} has no name, matches(device) and probe(device)")
        with self._lock:
            # A first look would offer what it finds to the new driver by itself.
            self._known()
            if driver in self._drivers:
                raise ValueError(f"driver {driver.name} is registered already")
            self._drivers.append(driver)
            return self._offer(driver)

    def unregister_driver(self, driver: Driver) -> None:
        """Forgets a driver; its functions are free again. Raises `ValueError` if it is not registered."""
        with self._lock:
            if driver not in self._drivers:
                raise ValueError(f"driver {driver!r} is not registered")
            self._drivers.remove(driver)
            for device in self:
                if device.driver is driver:
                    device.driver = None

    def _offer(self, driver: Driver) -> list[Device]:
        taken = []
        for device in self:
            if device.driver is not None:
                continue
            try:
                if not driver.matches(device):
                    continue
                driver.probe(device)
            except Exception as error:
                log.exception(error, "driver %s failed on %s", driver.name, device.address)
                continue
            device.driver = driver
            taken.append(device)
            log.info("driver %s took %s", driver.name, device)
        return taken

    def __repr__(self) -> str:
        """Returns one line per function."""
        return "\n".join(map(repr, self)) or "<no PCI functions>"


def _walk(number: int, seen: set[int]) -> Iterator[Address]:
    """Yields the functions of bus `number` and of the buses behind its bridges."""
    if number in seen:
        return
    seen.add(number)
    for slot in range(32):
        for function in range(8):
            device = Device(Address(number, slot, function))
            if device.vendor_id == _NOBODY:
                if function == 0:
                    # Functions begin with 0.
                    break
                continue
            yield device.address
            if device.class_code << 8 | device.subclass == _BRIDGE and device.header_type == 1:
                yield from _walk(device.read(_SECONDARY_BUS, 1), seen)
            if function == 0 and not device.read(_HEADER_TYPE, 1) & 0x80:
                break


bus = keep(globals().get("bus"), Bus)
with bus._lock:
    for _address, _device in (bus._devices or {}).items():
        keep(_address, Address)
        keep(_device, Device)
