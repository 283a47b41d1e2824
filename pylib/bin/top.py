"""usage: top [-b] [-d SECONDS] [-n COUNT]

Shows, again and again, how busy each CPU is and which threads have used them most; `q` quits.

  -b          print one picture after the other, as into a file or a pipe
  -d SECONDS  the time between two pictures; 1 if not given
  -n COUNT    quit after so many
"""

import select
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kernel.command import CommandError, duration, human_size, parse
from kernel.memory import pmm
from kernel.scheduler import CpuInfo, ThreadInfo, scheduler

argv: list[str]

BAR = 30


@dataclass(frozen=True)
class Sample:
    """What the machine counted up to one moment."""

    time_ns: int
    cpus: list[CpuInfo]
    threads: list[ThreadInfo]


def sample() -> Sample:
    """Reads the counters."""
    return Sample(time.monotonic_ns(), scheduler.cpus(), scheduler.threads())


def picture(before: Sample, now: Sample, columns: int, lines: int) -> list[str]:
    """Returns what to show of the time between two samples, for a terminal of this size."""
    page = pmm.page_size
    rows = [
        f"up {duration(now.time_ns / 1e9)}, {len(now.threads)} threads, "
        f"{human_size(pmm.available * page)} of {human_size(pmm.total * page)} free"
    ]
    for old, cpu in zip(before.cpus, now.cpus, strict=True):
        load = cpu.load_since(old)
        bar = "#" * round(load * BAR)
        rows.append(
            f"CPU{cpu.index:<3}[{bar:{BAR}}] {load:4.0%}  queue {cpu.run_queue}  "
            f"switches {cpu.context_switches - old.context_switches}  steals {cpu.steals - old.steals}  "
            f"IPIs {cpu.ipis - old.ipis}"
        )
    rows.append(f"{'ID':>6} {'%CPU':>5} {'STATE':8} {'CPU':>3} {'TIME':>10} NAME")
    had = {thread.tid: thread.cpu_time_ns for thread in before.threads}
    passed = max(now.time_ns - before.time_ns, 1)
    used = [(thread.cpu_time_ns - had.get(thread.tid, 0), thread) for thread in now.threads]
    for time_ns, thread in sorted(used, key=lambda row: (-row[0], row[1].tid)):
        rows.append(
            f"{thread.tid:>6} {100 * time_ns / passed:5.1f} {thread.state:8} {thread.cpu:>3} "
            f"{thread.cpu_time_ns / 1e9:10.3f} {thread.name}"
        )
    return [row[: columns - 1] for row in rows[: lines - 1]]


@contextmanager
def keys() -> Iterator[int | None]:
    """Has the terminal hand over keys at once; yields its descriptor, or None if input is no terminal."""
    try:
        fd = sys.stdin.fileno()
        is_terminal = sys.stdin.isatty()
    except (OSError, ValueError, AttributeError):
        is_terminal = False
    if not is_terminal:
        yield None
        return
    import termios
    import tty

    saved = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    try:
        yield fd
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, saved)


def wants_to_quit(fd: int | None, seconds: float) -> bool:
    """Waits so long, or until somebody types `q`; tells whether that was so."""
    if fd is None:
        time.sleep(seconds)
        return False
    import os

    deadline = time.monotonic() + seconds
    while (rest := deadline - time.monotonic()) > 0:
        if select.select([fd], [], [], rest)[0]:
            typed = os.read(fd, 64)
            if not typed or b"q" in typed.lower():
                return True
    return False


def main(argv: list[str]) -> None:
    """Shows pictures until somebody has seen enough."""
    options = parse(__doc__, argv, flags="b", values="dn", most=0)
    try:
        seconds = float(options.values.get("d", "1"))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise CommandError(f"{options.values['d']}: not a time in seconds")
    left = options.number("n", 0) if "n" in options else -1
    is_live = "b" not in options and sys.stdout.isatty()
    before = sample()
    with keys() as fd:
        while left != 0:
            if wants_to_quit(fd, seconds):
                break
            now = sample()
            columns, lines = shutil.get_terminal_size() if is_live else (1 << 16, 1 << 16)
            text = "\n".join(picture(before, now, columns, lines))
            # Draw over the old picture, line by line, so that nothing flickers.
            print("\x1b[H" + text.replace("\n", "\x1b[K\n") + "\x1b[K\n\x1b[J" if is_live else text, flush=True)
            before = now
            left -= 1


main(argv)
