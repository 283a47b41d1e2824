"""usage: dmesg [-n LINES]

Prints the kernel log, each line with the seconds since power-on.

  -n LINES  the last LINES of it
"""

from collections import deque

from kernel import log
from kernel.command import parse

argv: list[str]

options = parse(__doc__, argv, values="n", most=0)
for record in deque(log.records(), maxlen=options.number("n", 0) if "n" in options else None):
    print(record)
