"""usage: reboot

Restarts the machine. What is only in memory is lost.
"""

from kernel import PowerError, reboot
from kernel.command import CommandError, parse

argv: list[str]

parse(__doc__, argv, most=0)
try:
    reboot()
except PowerError as error:
    raise CommandError(str(error)) from None
