"""What Python costs on this machine: the guest's half of `make bench`.

Run as a program it prints one line per figure, `@figure {json}`, and `@end`. It needs
nothing but CPython 3.14, so Linux runs the same file. `benchmarks.py repeats` says how
often each figure is taken.
"""

from __future__ import annotations

import _thread
import gc
import json
import math
import mmap
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

import programs
import single_thread
from single_thread import timed


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


def ping_pong_socket() -> float:
    """One byte to and fro through a pair of connected sockets."""
    ours, theirs = socket.socketpair()

    def ask() -> None:
        ours.send(b"x")
        ours.recv(1)

    with ours, theirs:
        return exchange(2000, lambda: theirs.send(theirs.recv(1)), ask)


def collect_with_busy_threads() -> float:
    """`gc.collect()` while another thread computes, which has to stop for it; in milliseconds."""
    is_over = threading.Event()

    def compute() -> None:
        while not is_over.is_set():
            arithmetic(1000)

    thread = threading.Thread(target=compute)
    thread.start()

    def body() -> None:
        for _ in range(20):
            gc.collect()

    taken = timed(body) / 20 * 1e3
    is_over.set()
    thread.join()
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
    ("ping_pong_socket", "us", ping_pong_socket),
    ("thousand_threads", "s", thousand_threads),
    ("gc_with_a_busy_thread", "ms", collect_with_busy_threads),
    ("perf_counter", "us", read_clock),
    ("getpid", "us", call_kernel),
    ("mmap_touch_1_mib", "ms", touch_memory),
    ("sleep_1_ms", "ms", sleep_1_ms),
    ("sleep_50_ms", "ms", sleep_50_ms),
    *((function.__name__, "s", function) for function in single_thread.FIGURES),
]


def scaling(cpus: int) -> list[tuple[str, str, Callable[[], float]]]:
    """Returns the figures that need several CPUs."""
    counts = [count for count in (2, 4, 8) if count <= cpus]
    found: list[tuple[str, str, Callable[[], float]]] = []
    for count in counts:
        found += [
            (f"speed_up_{count}_primes", "x", partial(speed_up, count, partial(count_primes, 20_000))),
            (f"speed_up_{count}_arithmetic", "x", partial(speed_up, count, partial(arithmetic, 500_000))),
        ]
        for program in programs.PROGRAMS:
            found.append((f"speed_up_{count}_{program.__name__}", "x", partial(programs.speed_up, program, count)))
    return found


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
