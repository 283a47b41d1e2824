"""The address space, as /proc/self/maps shows it."""

from __future__ import annotations

from typing import Any


def mappings() -> list[dict[str, Any]]:
    """Returns the mappings of the address space, lowest first."""
    found = []
    with open("/proc/self/maps", encoding="utf-8") as lines:
        for line in lines:
            bounds, permissions, _offset, _device, _inode, *name = line.split()
            start, _, end = bounds.partition("-")
            found.append(
                {"start": int(start, 16), "end": int(end, 16), "permissions": permissions, "name": " ".join(name)}
            )
    return found
