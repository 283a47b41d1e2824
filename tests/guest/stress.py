"""Everything at once, for as long as is asked: what the integrity tests check, under each other's load."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import integrity

#: A wake-up that has not come by then is lost.
PATIENCE = 60.0


def hand_off(pairs: int, seconds: float) -> dict[str, object]:
    """Passes the turn to and fro in pairs of threads, by two locks each; every turn must come, and come once."""
    turns = [0] * pairs

    def pair(number: int) -> list[Callable[[], None]]:
        gates = threading.Lock(), threading.Lock()
        gates[1].acquire()
        deadline = time.monotonic() + seconds

        def take(side: int) -> Callable[[], None]:
            def body() -> None:
                while True:
                    if not gates[side].acquire(timeout=PATIENCE):
                        raise AssertionError(f"pair {number}: turn {turns[number]} was lost")
                    turn = turns[number]
                    if turn >= 0 and turn % 2 != side:
                        raise AssertionError(f"pair {number}: turn {turn} came to the wrong side")
                    is_over = turn < 0 or time.monotonic() >= deadline
                    done[number] = max(done[number], turn)
                    turns[number] = -1 if is_over else turn + 1
                    gates[1 - side].release()
                    if is_over:
                        return

            return body

        return [take(0), take(1)]

    done = [0] * pairs
    errors = integrity.run_all([body for number in range(pairs) for body in pair(number)])
    return {"errors": errors, "passes": done}


def everything(seconds: float) -> dict[str, dict[str, object]]:
    """Runs all parts at the same time; returns what each says."""
    parts: dict[str, Callable[[], dict[str, object]]] = {
        "floating point": lambda: integrity.floating_point(4, seconds),
        "byte strings": lambda: integrity.byte_strings(2, seconds),
        "mappings": lambda: integrity.shared_mappings(3, seconds),
        "clock under one lock": lambda: integrity.monotonic_clock(3, seconds),
        "lock hand-off": lambda: hand_off(3, seconds),
    }
    results: dict[str, dict[str, object]] = {}

    def run(name: str) -> None:
        results[name] = parts[name]()

    threads = [threading.Thread(target=run, args=(name,), name=name) for name in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
