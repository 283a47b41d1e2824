"""usage: ps

Prints a line for each kernel thread and asyncio task: its id (for kill), its name and state, the CPU it last ran on,
and the CPU time it has had in seconds.
"""

from kernel.command import parse
from kernel.scheduler import scheduler

argv: list[str]

parse(__doc__, argv, most=0)
print(f"{'ID':>6} {'NAME':16} {'STATE':8} {'CPU':>3} {'TIME':>10}")
for entry in scheduler.ps():
    cpu = "-" if entry.cpu is None else str(entry.cpu)
    seconds = "-" if entry.cpu_time_ns is None else f"{entry.cpu_time_ns / 1e9:.3f}"
    print(f"{entry.id:>6} {entry.name:16} {entry.state:8} {cpu:>3} {seconds:>10}")
