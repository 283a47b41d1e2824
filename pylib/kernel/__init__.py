"""The machine as Python sees it.

`poweroff()` and `reboot()` end the machine's work; both raise `PowerError`, a
`KernelError`, when that is not possible.

    KernelError            everything this package raises by itself
    └── PowerError         the machine could not be switched off or restarted
"""

from kernel._errors import KernelError, PowerError
from kernel._power import poweroff, reboot

__all__ = ["KernelError", "PowerError", "poweroff", "reboot"]
