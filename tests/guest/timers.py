"""Interval timers that are started again from the handler of the signal that they send."""

from __future__ import annotations

import os
import random
import signal
import time
from typing import Any


def deliveries(count: int, patience: float) -> dict[str, Any]:
    """Starts a timer of some microseconds `count` times, each by a signal; returns how many ran out.

    The handler starts the timer while the kernel is still busy with its last expiry, so an
    expiry that clears what was just set leaves a timer that never runs out. It
    stops at the first that does not within `patience` seconds.
    """
    received: list[int] = []

    def start(_number: int, _frame: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 1e-6 + random.random() * 1e-5)

    def ran_out(number: int, _frame: object) -> None:
        received.append(number)

    before = signal.signal(signal.SIGPROF, start), signal.signal(signal.SIGALRM, ran_out)
    sent = 0
    lost = None
    while sent < count and lost is None:
        os.kill(os.getpid(), signal.SIGPROF)
        sent += 1
        deadline = time.monotonic() + patience
        while len(received) < sent and lost is None:
            time.sleep(1e-5)
            if time.monotonic() > deadline:
                lost = f"{signal.getitimer(signal.ITIMER_REAL)} after {sent}"
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGPROF, before[0])
    signal.signal(signal.SIGALRM, before[1])
    return {"sent": sent, "received": len(received), "lost": lost}
