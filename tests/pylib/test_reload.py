"""Modules of package `kernel` that are reloaded: what others hold of them is the same, and does what is new.

A process of its own: in this one, classes that other tests have imported would no longer be the package's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from harness.paths import REPOSITORY

START = """
import importlib, sys
import fake_hal
sys.modules["_hal"] = fake_hal.hal
"""

SINGLE_OBJECTS = """
import kernel.bus.pci, kernel.fs._vfs, kernel.memory, kernel.scheduler
for module, name in (
    (kernel.bus.pci, "bus"), (kernel.fs._vfs, "vfs"), (kernel.memory, "pmm"), (kernel.memory, "vmm"),
    (kernel.scheduler, "scheduler"),
):
    held = getattr(module, name)
    before = type(held)
    importlib.reload(module)
    assert getattr(module, name) is held, name
    assert type(held) is not before and type(held) is getattr(module, before.__name__), name
"""

HANDLERS = """
import queue
from kernel import interrupts
events = queue.SimpleQueue()
interrupts.register(33, events.put)
before, (line,) = fake_hal.hal.router, interrupts._lines.values()
importlib.reload(interrupts)
assert interrupts.handlers() == {33: (events.put,)}
assert fake_hal.hal.router is interrupts._route is not before
assert type(line) is interrupts._Line
fake_hal.hal.router(33, 1, 5, 0)
assert events.get(timeout=10).cpu == 1
interrupts.unregister(33, events.put)
assert fake_hal.hal.router is None
"""

DRIVERS = """
from kernel.bus import pci
for slot in (0, 3):
    fake_hal.hal.pci[0, slot, 0] = fake_hal.PciFunction(bytes([0xF4, 0x1A, slot, 0]) + bytes(60))
class Driver:
    name, probed = "one", 0
    def matches(self, device): return True
    def probe(self, device): self.probed += 1
driver = Driver()
taken = pci.bus.register_driver(driver)
importlib.reload(pci)
pci.bus.scan()
assert driver.probed == len(taken) == len(pci.bus) == 2
assert all(new is old for new, old in zip(pci.bus, taken, strict=True))
assert all(type(device) is pci.Device for device in taken)
"""


def run(script: str) -> None:
    """Runs Python text on a fake machine; it raises if something is wrong."""
    paths = [str(REPOSITORY / "pylib"), str(Path(__file__).parent)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run([sys.executable, "-c", START + script], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.returncode == 0


def test_single_objects_stay_what_they_are_and_get_the_new_methods() -> None:
    run(SINGLE_OBJECTS)


def test_functions_stay_registered_for_their_interrupts() -> None:
    run(HANDLERS)


def test_drivers_keep_their_devices() -> None:
    run(DRIVERS)
