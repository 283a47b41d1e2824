"""What Python costs on this machine: the guest's half of `make bench`.

Run as a program it prints one line per figure, `@figure {json}`, and `@end`. It needs
nothing but CPython 3.14, so Linux runs the same file. `benchmarks.py repeats` says how
often each figure is taken.
"""

from __future__ import annotations

import _thread
import json
import math
import mmap
import os
import queue
import re
import sys
import threading
import time
from collections.abc import Callable
from typing import Any


def timed(body: Callable[[], object]) -> float:
    """Returns how many seconds `body` takes."""
    began = time.perf_counter()
    body()
    return time.perf_counter() - began


def per_pass(count: int, body: Callable[[], object]) -> float:
    """Returns the microseconds of one of `count` passes that `body` makes."""
    return timed(body) / count * 1e6


# Threads


def create_and_join() -> float:
    """`threading.Thread`, start and join, one at a time."""

    def body() -> None:
        for _ in range(200):
            thread = threading.Thread(target=int)
            thread.start()
            thread.join()

    return per_pass(200, body)


def start_bare_thread() -> float:
    """`_thread.start_new_thread` and a lock that it releases."""

    def body() -> None:
        lock = _thread.allocate_lock()
        for _ in range(300):
            lock.acquire()
            _thread.start_new_thread(lock.release, ())
            lock.acquire()
            lock.release()

    return per_pass(300, body)


def lock_alone() -> float:
    """A lock that nobody else wants."""

    def body() -> None:
        lock = threading.Lock()
        for _ in range(20_000):
            lock.acquire()
            lock.release()

    return per_pass(20_000, body)


def lock_wanted_by_two() -> float:
    """A lock that two threads take as often as they can; per operation."""
    lock = threading.Lock()

    def take() -> None:
        for _ in range(20_000):
            with lock:
                pass

    def body() -> None:
        threads = [threading.Thread(target=take) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return per_pass(40_000, body)


def exchange(count: int, answer: Callable[[], object], ask: Callable[[], object]) -> float:
    """Returns the microseconds of one exchange between this thread and another."""

    def answer_all() -> None:
        for _ in range(count):
            answer()

    def body() -> None:
        thread = threading.Thread(target=answer_all)
        thread.start()
        for _ in range(count):
            ask()
        thread.join()

    return per_pass(count, body)


def ping_pong_lock() -> float:
    """Two locks, each released by one thread and taken by the other."""
    ping, pong = threading.Lock(), threading.Lock()
    ping.acquire()
    pong.acquire()

    def answer() -> None:
        ping.acquire()
        pong.release()

    def ask() -> None:
        ping.release()
        pong.acquire()

    return exchange(2000, answer, ask)


def ping_pong_event() -> float:
    """Two events."""
    ping, pong = threading.Event(), threading.Event()

    def answer() -> None:
        ping.wait()
        ping.clear()
        pong.set()

    def ask() -> None:
        ping.set()
        pong.wait()
        pong.clear()

    return exchange(1500, answer, ask)


def ping_pong_condition() -> float:
    """One condition variable, two sides."""
    condition = threading.Condition()
    turn = [0]

    def play(own: int) -> None:
        with condition:
            condition.wait_for(lambda: turn[0] == own)
            turn[0] = 1 - own
            condition.notify()

    return exchange(1500, lambda: play(1), lambda: play(0))


def ping_pong_queue() -> float:
    """Two `queue.Queue`."""
    there: queue.Queue[int] = queue.Queue()
    back: queue.Queue[int] = queue.Queue()

    def ask() -> None:
        there.put(1)
        back.get()

    return exchange(1500, lambda: back.put(there.get()), ask)


def ping_pong_simple_queue() -> float:
    """Two `queue.SimpleQueue`."""
    there: queue.SimpleQueue[int] = queue.SimpleQueue()
    back: queue.SimpleQueue[int] = queue.SimpleQueue()

    def ask() -> None:
        there.put(1)
        back.get()

    return exchange(2000, lambda: back.put(there.get()), ask)


def ping_pong_pipe() -> float:
    """One byte to and fro through two pipes."""
    (ping_out, ping_in), (pong_out, pong_in) = os.pipe(), os.pipe()

    def ask() -> None:
        os.write(ping_in, b"x")
        os.read(pong_out, 1)

    taken = exchange(2000, lambda: os.write(pong_in, os.read(ping_out, 1)), ask)
    for fd in (ping_out, ping_in, pong_out, pong_in):
        os.close(fd)
    return taken


def thousand_threads() -> float:
    """1,000 threads waiting for one event: started, released and joined; in seconds."""
    gate = threading.Event()

    def body() -> None:
        threads = [threading.Thread(target=gate.wait) for _ in range(1000)]
        for thread in threads:
            thread.start()
        gate.set()
        for thread in threads:
            thread.join()

    return timed(body)


# The kernel


def read_clock() -> float:
    """`time.perf_counter()`."""

    def body() -> None:
        for _ in range(20_000):
            time.perf_counter()

    return per_pass(20_000, body)


def call_kernel() -> float:
    """`os.getpid()`, the cheapest call."""

    def body() -> None:
        for _ in range(20_000):
            os.getpid()

    return per_pass(20_000, body)


def touch_memory() -> float:
    """Maps 1 MiB, writes to each of its 256 pages, unmaps it; in milliseconds."""

    def body() -> None:
        for _ in range(10):
            with mmap.mmap(-1, 1 << 20) as area:
                for page in range(0, 1 << 20, 4096):
                    area[page] = 1

    return timed(body) / 10 * 1e3


def sleep_1_ms() -> float:
    """`time.sleep(0.001)`, in milliseconds."""

    def body() -> None:
        for _ in range(100):
            time.sleep(0.001)

    return timed(body) / 100 * 1e3


def sleep_50_ms() -> float:
    """`time.sleep(0.05)`, in milliseconds."""
    return timed(lambda: time.sleep(0.05)) * 1e3


def memory_used() -> float:
    """Memory that is not free, with Python and this program running, in MiB."""
    with open("/proc/meminfo", encoding="utf-8") as lines:
        kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return (kib["MemTotal"] - kib["MemFree"]) / 1024


# Several CPUs


def count_primes(limit: int) -> int:
    """Counts primes by trial division."""
    count = 0
    for number in range(2, limit):
        for divisor in range(2, math.isqrt(number) + 1):
            if number % divisor == 0:
                break
        else:
            count += 1
    return count


def arithmetic(rounds: int) -> int:
    """Adds and masks."""
    total = 0
    for i in range(rounds):
        total = (total * 31 + i) & 0xFFFFFF
    return total


def speed_up(threads: int, body: Callable[[], object]) -> float:
    """Returns how many times as fast `threads` threads are at once as one after the other."""

    def run(count: int) -> float:
        start = threading.Barrier(count + 1)

        def wait_and_run() -> None:
            start.wait()
            body()

        started = [threading.Thread(target=wait_and_run) for _ in range(count)]
        for thread in started:
            thread.start()
        start.wait()
        began = time.perf_counter()
        for thread in started:
            thread.join()
        return time.perf_counter() - began

    run(1)
    return threads * run(1) / run(threads)


# One thread


def nbody() -> float:
    """The n-body problem, 20,000 steps; in seconds."""
    bodies = [
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 39.47841760435743],
        [4.84, -1.16, -0.10, 0.60, 2.81, -0.02, 0.037],
        [8.34, 4.12, -0.40, -1.01, 1.82, 0.008, 0.011],
        [12.89, -15.11, -0.22, 1.08, 0.86, -0.01, 0.0017],
        [15.37, -25.91, 0.17, 0.97, 0.59, -0.03, 0.002],
    ]
    pairs = [(a, b) for i, a in enumerate(bodies) for b in bodies[i + 1 :]]

    def body() -> None:
        for _ in range(20_000):
            for a, b in pairs:
                dx, dy, dz = a[0] - b[0], a[1] - b[1], a[2] - b[2]
                magnitude = 0.001 / math.sqrt(dx * dx + dy * dy + dz * dz) ** 3
                for i, d in enumerate((dx, dy, dz)):
                    a[3 + i] -= d * b[6] * magnitude
                    b[3 + i] += d * a[6] * magnitude
            for a in bodies:
                for i in range(3):
                    a[i] += 0.001 * a[3 + i]

    return timed(body)


def fannkuch() -> float:
    """Pancake flips over all permutations of 8; in seconds."""
    from itertools import permutations

    def body() -> None:
        best = 0
        for permutation in permutations(range(8)):
            cards = list(permutation)
            flips = 0
            while first := cards[0]:
                cards[: first + 1] = cards[first::-1]
                flips += 1
            best = max(best, flips)

    return timed(body)


def objects() -> float:
    """Makes objects and calls their methods; in seconds."""

    class Account:
        def __init__(self, amount: int) -> None:
            self.amount = amount

        def add(self, other: Account) -> Account:
            return Account(self.amount + other.amount)

    def body() -> None:
        account, one = Account(0), Account(1)
        for _ in range(300_000):
            account = account.add(one)

    return timed(body)


DOCUMENT: list[dict[str, Any]] = [
    {"id": i, "name": f"item {i}", "tags": ["a", "b", str(i)], "value": i / 7} for i in range(3000)
]


def json_dumps() -> float:
    """Writes a document of 3,000 objects; in seconds."""
    return timed(lambda: json.dumps(DOCUMENT))


def json_loads() -> float:
    """Reads a document of 3,000 objects; in seconds."""
    text = json.dumps(DOCUMENT)
    return timed(lambda: json.loads(text))


def regular_expressions() -> float:
    """Finds words and numbers in a text; in seconds."""
    text = "the quick brown fox 42 jumps over 1.5 lazy dogs; " * 4000
    pattern = re.compile(r"(\w+) (\d+(?:\.\d+)?)")
    return timed(lambda: pattern.findall(text))


def sort_a_million() -> float:
    """Sorts a million numbers; in seconds."""
    import random

    generator = random.Random(1)
    numbers = [generator.random() for _ in range(1_000_000)]
    return timed(numbers.sort)


def dict_of_a_million() -> float:
    """Fills a dict with a million numbers and reads them back; in seconds."""

    def body() -> None:
        table = {}
        for i in range(1_000_000):
            table[i] = i
        for i in range(1_000_000):
            table[i]

    return timed(body)


#: Name, unit, what it measures, function. Names are stable: results are compared by them.
FIGURES: list[tuple[str, str, Callable[[], float]]] = [
    ("memory_used", "MiB", memory_used),
    ("thread_create_join", "us", create_and_join),
    ("bare_thread_start", "us", start_bare_thread),
    ("lock_alone", "us", lock_alone),
    ("lock_wanted_by_two", "us", lock_wanted_by_two),
    ("ping_pong_lock", "us", ping_pong_lock),
    ("ping_pong_event", "us", ping_pong_event),
    ("ping_pong_condition", "us", ping_pong_condition),
    ("ping_pong_queue", "us", ping_pong_queue),
    ("ping_pong_simple_queue", "us", ping_pong_simple_queue),
    ("ping_pong_pipe", "us", ping_pong_pipe),
    ("thousand_threads", "s", thousand_threads),
    ("perf_counter", "us", read_clock),
    ("getpid", "us", call_kernel),
    ("mmap_touch_1_mib", "ms", touch_memory),
    ("sleep_1_ms", "ms", sleep_1_ms),
    ("sleep_50_ms", "ms", sleep_50_ms),
    ("nbody", "s", nbody),
    ("fannkuch", "s", fannkuch),
    ("objects", "s", objects),
    ("json_dumps", "s", json_dumps),
    ("json_loads", "s", json_loads),
    ("regular_expressions", "s", regular_expressions),
    ("sort_a_million", "s", sort_a_million),
    ("dict_of_a_million", "s", dict_of_a_million),
]


def scaling(cpus: int) -> list[tuple[str, str, Callable[[], float]]]:
    """Returns the figures that need several CPUs."""
    counts = [count for count in (2, 4, 8) if count <= cpus]
    return [
        figure
        for count in counts
        for figure in (
            (f"speed_up_{count}_primes", "x", lambda count=count: speed_up(count, lambda: count_primes(20_000))),
            (f"speed_up_{count}_arithmetic", "x", lambda count=count: speed_up(count, lambda: arithmetic(500_000))),
        )
    ]


def main(argv: list[str]) -> None:
    """Prints every figure."""
    repeats = int(argv[1]) if len(argv) > 1 else 3
    names = set(argv[2:])
    for name, unit, function in [*FIGURES, *scaling(len(os.sched_getaffinity(0)))]:
        if names and name not in names:
            continue
        values = [function() for _ in range(repeats)]
        line = json.dumps({"name": name, "unit": unit, "values": [round(value, 6) for value in values]})
        sys.stdout.write(f"@figure {line}\n")
        sys.stdout.flush()
    sys.stdout.write("@end\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv)
