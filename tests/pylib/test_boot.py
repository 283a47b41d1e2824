"""`kernel.boot()` and how the package is put together."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest
from fake_hal import FakeHal

import kernel
from harness.paths import REPOSITORY
from kernel import _boot


def test_boot_logs_what_is_there_once(hal: FakeHal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_boot, "_logged", [])
    kernel.boot()
    kernel.boot()
    assert hal.lines == [
        (1, "kernel.boot", "scheduler: 2 CPUs, 2 threads"),
        (1, "kernel.boot", "memory: 4 MiB, 4 MiB free"),
        (1, "kernel.boot", "pci: 0 functions"),
    ]


def test_modules_are_imported_when_they_are_named() -> None:
    program = """
import sys, types
import kernel
assert not [name for name in sys.modules if name.startswith("kernel.") and not name.startswith("kernel._")], sys.modules
assert "threading" not in sys.modules or "threading" in before
assert kernel.ed.Editor
assert {"ed", "log", "fs", "boot"} <= set(dir(kernel))
try:
    kernel.nothing
except AttributeError as error:
    print(error)
"""
    result = subprocess.run(
        [sys.executable, "-c", "import sys; before = set(sys.modules)\n" + program],
        env={"PYTHONPATH": str(REPOSITORY / "pylib")},
        capture_output=True,
        text=True,
    )
    assert (result.stdout, result.stderr) == ("module 'kernel' has no attribute 'nothing'\n", "")


@pytest.mark.parametrize("name", ["command", "ed", "fs", "interrupts", "log", "memory", "scheduler"])
def test_public_names_exist_and_are_explained(name: str) -> None:
    module = getattr(kernel, name)
    assert module.__doc__
    for public in module.__all__:
        found = getattr(module, public)
        if isinstance(found, types.FunctionType | type):
            assert found.__doc__, public
        if isinstance(found, type):
            methods = {name: value for name, value in vars(found).items() if isinstance(value, types.FunctionType)}
            assert [name for name, value in methods.items() if not name.startswith("_") and not value.__doc__] == []
