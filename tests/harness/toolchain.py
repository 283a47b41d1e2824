"""The C compiler and its friends: clang-19 and lld for every architecture, with musl's sysroot."""

from __future__ import annotations

import functools
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness.progress import StepFailed

CLANG = "clang-19"
LINKER = "ld.lld-19"
AR = "llvm-ar-19"
RANLIB = "llvm-ranlib-19"
READELF = "llvm-readelf-19"
OBJCOPY = "llvm-objcopy-19"
NM = "llvm-nm-19"


@dataclass(frozen=True, slots=True)
class Target:
    """One architecture as the C tools and cargo name it."""

    name: str
    musl: str
    triple: str
    rust: str
    flags: tuple[str, ...]
    #: Boot loaders take the image as a flat file (a Linux Image), not as an ELF file.
    is_flat: bool = False


TARGETS = {
    "x86_64": Target("x86_64", "x86_64", "x86_64-linux-musl", "x86_64-unknown-none", ("-mno-red-zone",)),
    # Atomics in the instruction stream: gcc's out-of-line helpers would pick between two
    # kinds by a flag that a constructor sets.
    "arm64": Target(
        "aarch64", "aarch64", "aarch64-linux-musl", "aarch64-unknown-none-softfloat", ("-mno-outline-atomics",),
        is_flat=True,
    ),
}

# Position dependent for a fixed address; frame pointers because a fault report walks
# them; no unwind tables because nothing unwinds; sections so that the linker can drop
# what is not used.
COMMON_FLAGS = (
    "-O2",
    "-g0",
    "-fno-pie",
    "-fno-pic",
    "-fno-omit-frame-pointer",
    "-fno-stack-protector",
    "-fno-unwind-tables",
    "-fno-asynchronous-unwind-tables",
    "-ffunction-sections",
    "-fdata-sections",
)


def c_flags(target: Target) -> list[str]:
    """Returns the code generation flags of everything C in the image."""
    return [*COMMON_FLAGS, *target.flags]


def host_architecture() -> str:
    """Returns this machine's architecture in our words."""
    return {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}.get(
        platform.machine().lower(), platform.machine()
    )


@functools.cache
def version(tool: str) -> str:
    """Returns what `tool --version` says first: part of every cache key."""
    path = shutil.which(tool)
    if path is None:
        raise StepFailed(f"{tool} is not installed (try `make setup`)")
    return subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


def libgcc_folder(target: Target) -> Path:
    """Returns the folder of gcc's start files and helpers, which clang uses when it links programs for Linux."""
    is_native = TARGETS.get(host_architecture()) == target
    compilers = ["gcc"] if is_native else [f"{target.name}-linux-gnu-gcc"]
    for compiler in compilers:
        if shutil.which(compiler):
            found = subprocess.run(
                [compiler, "-print-libgcc-file-name"], capture_output=True, text=True, check=True
            ).stdout.strip()
            return Path(found).parent
    raise StepFailed(f"{compilers[0]} is not installed (try `make setup`)")


def write_wrapper(folder: Path, target: Target, sysroot: Path) -> Path:
    """Writes `<triple>-clang` into `folder`: the compiler that knows musl's sysroot and nothing of the host."""
    folder.mkdir(parents=True, exist_ok=True)
    wrapper = folder / f"{target.triple}-clang"
    wrapper.write_text(
        "#!/bin/sh\n"
        "# Made by tests/harness/toolchain.py.\n"
        f"exec {CLANG} --target={target.triple} --sysroot={sysroot} --gcc-toolchain=/nonexistent \\\n"
        f"    -B{sysroot}/lib -L{sysroot}/lib -isystem {sysroot}/include-pythonos \\\n"
        '    -fuse-ld=lld --rtlib=libgcc --unwindlib=libgcc -Wno-unused-command-line-argument "$@"\n'
    )
    wrapper.chmod(0o755)
    return wrapper
