"""usage: uptime

Prints the time of day, the time since power-on, and how many threads wanted a CPU on average in the last 1, 5 and
15 minutes.
"""

import time

from kernel.command import duration, parse
from kernel.scheduler import scheduler

argv: list[str]

parse(__doc__, argv, most=0)
with open("/proc/loadavg", encoding="ascii") as file:
    loads = file.read().split()[:3]
up = duration(scheduler.uptime_ms() / 1000)
print(f"{time.strftime('%H:%M:%S')} up {up}, {len(scheduler.threads())} threads, load average: {', '.join(loads)}")
