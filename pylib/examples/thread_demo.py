"""Python threads on every CPU, really at the same time.

Run it as a program, or at the prompt:

    >>> import runpy; d = runpy.run_path("/examples/thread_demo.py")

It shows a lock that times out and one that comes late, then starts one worker
per CPU, each with its share of a fixed amount of work in pure Python, and says
where the workers ran, how much of the time they overlapped, and how much
faster they were together than one after the other.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field

#: Work of all workers together, in passes of the loop in `work`.
ROUNDS = 2_400_000
#: A worker looks at its CPU this many times.
SAMPLES = 8
MAX_WORKERS = 16


@dataclass(slots=True)
class Worker:
    """One worker and what became of it. Written by its own thread until joined."""

    number: int
    ident: int = 0
    value: int = -1
    started: float = 0.0
    ended: float = 0.0
    cpus: set[int] = field(default_factory=set)
    done: bool = False


def count_cpus() -> int:
    """Returns how many CPUs this program may use."""
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    return os.cpu_count() or 1


def current_cpu() -> int | None:
    """Returns the CPU that runs this thread, or None if the system does not tell."""
    try:
        with open("/proc/thread-self/stat", encoding="utf-8") as stat:
            # Field 39 of proc(5); the name in field 2 may hold blanks.
            return int(stat.read().rpartition(")")[2].split()[36])
    except (OSError, IndexError, ValueError):
        return None


def work(rounds: int) -> int:
    """Computes a little arithmetic, in pure Python, without shared state."""
    total = 0
    for i in range(rounds):
        total = (total * 31 + i) & 0xFFFFFF
    return total


def run_worker(worker: Worker, rounds: int, start: threading.Barrier) -> None:
    """Does one worker's share of the work."""
    worker.ident = threading.get_ident()
    start.wait()
    worker.started = time.perf_counter()
    for _ in range(SAMPLES):
        work(rounds // SAMPLES)
        if (cpu := current_cpu()) is not None:
            worker.cpus.add(cpu)
    worker.ended = time.perf_counter()
    worker.value = worker.number
    worker.done = True


def run_workers(count: int) -> tuple[list[Worker], float]:
    """Runs `count` workers at once; returns them and the seconds they took together."""
    start = threading.Barrier(count + 1)
    workers = [Worker(number) for number in range(count)]
    threads = [threading.Thread(target=run_worker, args=(worker, ROUNDS // count, start)) for worker in workers]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return workers, time.perf_counter() - began


def run_one_after_the_other(count: int) -> float:
    """Does the work of `count` workers in this thread; returns the seconds it took."""
    alone = threading.Barrier(1)
    began = time.perf_counter()
    for number in range(count):
        run_worker(Worker(number), ROUNDS // count, alone)
    return time.perf_counter() - began


def overlap(workers: list[Worker]) -> float:
    """Returns the part of the time, 0 to 1, in which all workers were at work."""
    whole = max(w.ended for w in workers) - min(w.started for w in workers)
    common = min(w.ended for w in workers) - max(w.started for w in workers)
    return max(common, 0.0) / whole if whole > 0 else 0.0


def acquire_with_timeout() -> bool:
    """Waits for a lock that nobody releases; returns whether the wait ended in time."""
    lock = threading.Lock()
    with lock:
        began = time.monotonic()
        taken = lock.acquire(timeout=0.1)
        waited = time.monotonic() - began
    return not taken and waited >= 0.1


def acquire_delayed() -> tuple[bool, int]:
    """Waits for a lock that another thread releases later; returns success and its ident."""
    lock = threading.Lock()
    lock.acquire()
    idents: list[int] = []

    def release_later() -> None:
        idents.append(threading.get_ident())
        time.sleep(0.05)
        lock.release()

    helper = threading.Thread(target=release_later)
    helper.start()
    taken = lock.acquire(timeout=5)
    helper.join()
    return taken, idents[0]


def main() -> None:
    """Prints the demonstration."""
    print("thread demo")
    count = max(2, min(count_cpus(), MAX_WORKERS))
    alone = run_one_after_the_other(count)
    workers, together = run_workers(count)
    for worker in workers:
        print(f"worker {worker.number} done: {worker.done}")

    expired = acquire_with_timeout()
    print(f"timeout phase: {expired}")
    delayed, delayed_ident = acquire_delayed()
    print(f"delayed phase: {delayed}")

    own = threading.get_ident()
    print(f"worker ident: {all(w.ident not in (0, own) for w in workers)}")
    print(f"worker done: {all(w.done for w in workers)}")
    print(f"delayed ident: {delayed_ident not in (0, own)}")
    print(f"workers: {len(workers)}")
    print(f"values: {[w.value for w in workers]}")
    print(f"timeout expired: {expired}")
    print(f"delayed acquire: {delayed}")

    for worker in workers:
        cpus = ", ".join(map(str, sorted(worker.cpus))) or "unknown"
        print(f"worker {worker.number} cpu: {cpus}")
    print(f"overlap: {overlap(workers):.0%}")
    print(f"speed-up: {alone / together:.2f} with {len(workers)} workers over one")


if __name__ in ("__main__", "<run_path>"):
    main()
