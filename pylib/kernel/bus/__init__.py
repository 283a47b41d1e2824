"""The buses of the machine."""

from kernel.bus import pci

__all__ = ["pci"]
