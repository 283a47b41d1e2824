"""What the user can choose, read from the environment and checked before anything starts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.toolchain import host_architecture

MAX_CPUS = 64
MIN_MEMORY_MIB = 128
ACCELERATORS = ("auto", "tcg", "kvm", "hvf")
ARCHITECTURES = ("x86_64", "arm64")
#: Host ports for the guest's shell and file services: machines of both architectures run side by side.
REPL_HOST_PORTS = {"x86_64": "5555", "arm64": "5556"}
FILE_HOST_PORTS = {"x86_64": "17000", "arm64": "17002"}


class BadSetting(Exception):
    """A setting has a value that means nothing; the message says which are allowed."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One consistent set of choices."""

    arch: str
    cpus: int
    memory_mib: int
    accel: str
    free_threading: bool
    repl_host_port: int
    file_host_port: int

    @property
    def config(self) -> str:
        """The name of this build below `build/`, as `x86_64-ft`."""
        return f"{self.arch}-{'ft' if self.free_threading else 'gil'}"


def read(environ: Mapping[str, str] | None = None) -> Settings:
    """Returns the settings in `environ` (the process's own by default); raises `BadSetting`."""
    values = os.environ if environ is None else environ

    def value(name: str, default: str) -> str:
        return values.get(name) or default

    arch = value("TARGET_ARCH", host_architecture())
    arch = {"aarch64": "arm64"}.get(arch, arch)
    if arch not in ARCHITECTURES:
        raise BadSetting(f"TARGET_ARCH={arch}: want {' or '.join(ARCHITECTURES)}")
    accel = value("ACCEL", "auto")
    if accel not in ACCELERATORS:
        raise BadSetting(f"ACCEL={accel}: want one of {', '.join(ACCELERATORS)}")
    threading = value("PYTHONOS_FREE_THREADING", "1")
    if threading not in ("0", "1"):
        raise BadSetting(f"PYTHONOS_FREE_THREADING={threading}: want 1 (no GIL) or 0 (with the GIL)")
    return Settings(
        arch=arch,
        cpus=_number("SMP_CPUS", value("SMP_CPUS", "2"), 1, MAX_CPUS),
        memory_mib=memory_mib(value("MEM", "1G")),
        accel=accel,
        free_threading=threading == "1",
        repl_host_port=_number("REPL_HOST_PORT", value("REPL_HOST_PORT", REPL_HOST_PORTS[arch]), 1, 65535),
        file_host_port=_number("FILE_HOST_PORT", value("FILE_HOST_PORT", FILE_HOST_PORTS[arch]), 1, 65535),
    )


def tested(environ: Mapping[str, str] | None = None) -> tuple[Settings, ...]:
    """Returns the settings of each architecture to test: of `TARGET_ARCH`, or of all where it is not set."""
    values = os.environ if environ is None else environ
    arches = (values["TARGET_ARCH"],) if values.get("TARGET_ARCH") else ARCHITECTURES
    return tuple(read({**values, "TARGET_ARCH": arch}) for arch in arches)


def _number(name: str, text: str, low: int, high: int) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text) or not low <= int(text) <= high:
        raise BadSetting(f"{name}={text}: want a number from {low} to {high}")
    return int(text)


def memory_mib(text: str) -> int:
    """Returns an amount of memory as QEMU writes it (`512M`, `1G`, `1024`) in MiB."""
    match = re.fullmatch(r"([0-9]{1,7})([MmGg]?)[Bb]?", text)
    amount = int(match[1]) * (1024 if match[2] in ("G", "g") else 1) if match else 0
    if amount < MIN_MEMORY_MIB:
        raise BadSetting(f"MEM={text}: want at least {MIN_MEMORY_MIB}M, as 512M or 1G")
    return amount
