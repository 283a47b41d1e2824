"""usage: sysinfo

Prints what machine this is and what it is doing.
"""

import sys

from kernel.command import duration, parse
from kernel.memory import pmm
from kernel.scheduler import scheduler

argv: list[str]
cwd: str

parse(__doc__, argv, most=0)
cpus = scheduler.cpus()
has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
mib = pmm.page_size / (1 << 20)
print("PythonOS")
print(f"CPUs: {sum(cpu.is_online for cpu in cpus)}/{len(cpus)} online")
print(f"GIL: {'enabled' if has_gil else 'disabled'}")
print(f"Scheduler: {len(scheduler.ps())} tasks")
print(f"Memory: {pmm.available * mib:.0f} MiB free of {pmm.total * mib:.0f} MiB")
print(f"Uptime: {duration(scheduler.uptime_ms() / 1000)}")
print(f"cwd: {cwd}")
