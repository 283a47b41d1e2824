"""usage: sleep SECONDS

Waits; Ctrl-C ends it early.
"""

import math
import time

from kernel.command import CommandError, parse

argv: list[str]

options = parse(__doc__, argv, least=1, most=1)
try:
    seconds = float(options.operands[0])
except ValueError:
    seconds = -1.0
if not (seconds >= 0 and math.isfinite(seconds)):
    raise CommandError(f"{options.operands[0]}: not a time in seconds")
time.sleep(seconds)
