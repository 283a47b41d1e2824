"""Counts interrupts of the timer, for each CPU, in a Python function: `interrupts_demo.py [seconds]`."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter

from kernel.interrupts import Interrupt, register, statistics, unregister


def find_timer() -> int:
    """Returns the timer's vector; raises `LookupError` if the machine names none."""
    for row in statistics():
        if "timer" in row.name.lower():
            return row.vector
    raise LookupError("no vector is called a timer's")


def keep_cpus_busy(until: float) -> None:
    """Sleeps and wakes: each wait ends with an interrupt of the timer."""
    while time.monotonic() < until:
        time.sleep(0.01)


def main(argv: list[str]) -> None:
    """Prints how many there were."""
    seconds = float(argv[1]) if len(argv) > 1 else 1.0
    vector = find_timer()
    seen: Counter[int] = Counter()
    lost = 0

    def handler(event: Interrupt) -> None:
        nonlocal lost
        seen[event.cpu] += 1
        lost += event.lost

    register(vector, handler)
    try:
        until = time.monotonic() + seconds
        threads = [threading.Thread(target=keep_cpus_busy, args=(until,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        unregister(vector, handler)
    print(f"vector {vector}, {seconds:g} seconds")
    for cpu, count in sorted(seen.items()):
        print(f"cpu {cpu}: {count} interrupts")
    print(f"lost: {lost}")


if __name__ in ("__main__", "<run_path>"):
    main(globals().get("argv", sys.argv))
