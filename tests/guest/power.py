"""The end of a machine's work."""

from __future__ import annotations

import kernel


def off() -> None:
    """Switches the machine off."""
    kernel.poweroff()


def restart() -> None:
    """Restarts the machine."""
    kernel.reboot()
