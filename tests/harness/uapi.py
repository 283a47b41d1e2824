"""Linux's own headers for C programs (`<linux/random.h>` and the like), which musl leaves to the system.

They come from the distribution: for this machine's architecture from linux-libc-dev, which the C
library's development package needs, for another one from its cross package. They say what calls and
constants exist; nothing of them is code in the image but a few inline functions.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from harness import toolchain
from harness.progress import StepFailed
from harness.toolchain import Target

#: The folders of headers that CPython and its libraries name; others are for drivers.
FOLDERS = ("asm", "asm-generic", "linux")


def places(target: Target) -> dict[str, Path]:
    """Returns where this machine keeps each folder of headers for `target`, there or not."""
    triple = f"{target.musl}-linux-gnu"
    if toolchain.TARGETS.get(toolchain.host_architecture()) == target:
        general, specific = Path("/usr/include"), Path("/usr/include") / triple
    else:
        general = specific = Path("/usr") / triple / "include"
    return {name: (specific if name == "asm" else general) / name for name in FOLDERS}


def present(target: Target) -> bool:
    """Tells whether this machine has the headers for `target`."""
    return all(place.is_dir() for place in places(target).values())


def digest(target: Target) -> str:
    """Returns a hash of the headers: distributions have different versions."""
    total = hashlib.sha256()
    for name, place in places(target).items():
        if not place.is_dir():
            raise StepFailed(f"{place} does not exist (try `make setup`)")
        for path in sorted(place.rglob("*.h")):
            total.update(f"{name}/{path.relative_to(place)}:{path.stat().st_size}\n".encode())
            total.update(path.read_bytes())
    return total.hexdigest()[:16]


def install(target: Target, include: Path) -> None:
    """Copies the headers into a sysroot."""
    for name, place in places(target).items():
        shutil.copytree(place, include / name)
