"""usage: poweroff

Switches the machine off. What is only in memory is lost.
"""

from kernel import PowerError, poweroff
from kernel.command import CommandError, parse

argv: list[str]

parse(__doc__, argv, most=0)
try:
    poweroff()
except PowerError as error:
    raise CommandError(str(error)) from None
