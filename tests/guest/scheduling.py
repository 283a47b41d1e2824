"""Threads: how much faster, how fair, how many, how punctual."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
from typing import Any


def current_cpu() -> int:
    """Returns the CPU that runs the calling thread."""
    with open("/proc/thread-self/stat", encoding="utf-8") as stat:
        return int(stat.read().rpartition(")")[2].split()[36])


def work(rounds: int) -> int:
    """Keeps a CPU busy with arithmetic in pure Python that shares nothing."""
    total = 0
    for i in range(rounds):
        total = (total * 31 + i) & 0xFFFFFF
    return total


def run_threads(count: int, rounds: int) -> list[float]:
    """Runs `work(rounds)` in each of `count` threads; returns when each ended, from the common start."""
    start = threading.Barrier(count + 1)
    ends = [0.0] * count

    def body(number: int) -> None:
        start.wait()
        work(rounds)
        ends[number] = time.perf_counter()

    threads = [threading.Thread(target=body, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return [end - began for end in ends]


def alive_at_once(count: int) -> dict[str, float]:
    """Starts `count` threads that wait for one event, releases and joins them; returns the seconds."""
    gate = threading.Event()
    arrived = threading.Semaphore(0)

    def wait() -> None:
        arrived.release()
        gate.wait()

    began = time.perf_counter()
    threads = [threading.Thread(target=wait) for _ in range(count)]
    for thread in threads:
        thread.start()
    for _ in threads:
        arrived.acquire()
    alive = threading.active_count()
    started = time.perf_counter()
    gate.set()
    for thread in threads:
        thread.join()
    ended = time.perf_counter()
    return {"alive": alive, "start": started - began, "total": ended - began}


def free_kib() -> int:
    """Returns the kernel's free memory in KiB."""
    gc.collect()
    with open("/proc/meminfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("MemFree:"):
                return int(line.split()[1])
    raise LookupError("no MemFree in /proc/meminfo")


def one_after_another(count: int) -> dict[str, Any]:
    """Creates and joins `count` threads; returns the loss of free memory in KiB and the seconds."""

    def create(times: int) -> None:
        for _ in range(times):
            thread = threading.Thread(target=int)
            thread.start()
            thread.join()

    create(200)
    before = free_kib()
    began = time.perf_counter()
    create(count)
    return {"seconds": time.perf_counter() - began, "loss_kib": before - free_kib()}


def sleeps(seconds: float, repeats: int) -> list[float]:
    """Returns how long `time.sleep(seconds)` took, by the monotonic clock."""
    taken = []
    for _ in range(repeats):
        began = time.monotonic()
        time.sleep(seconds)
        taken.append(time.monotonic() - began)
    return taken


def lock_timeout(seconds: float) -> float:
    """Returns how long `acquire(timeout=seconds)` of a lock that is held took."""
    lock = threading.Lock()
    lock.acquire()
    began = time.monotonic()
    lock.acquire(timeout=seconds)
    return time.monotonic() - began


def timeout_across_clock_step(seconds: float, step: float) -> dict[str, float]:
    """Sets the wall clock forwards, then back, while a wait with a time-out runs; returns how long each took."""
    taken = {}
    for name, by in (("forward", step), ("backward", -step)):
        result: list[float] = []

        def wait(result: list[float] = result) -> None:
            result.append(lock_timeout(seconds))

        waiter = threading.Thread(target=wait)
        waiter.start()
        time.sleep(seconds / 4)
        time.clock_settime(time.CLOCK_REALTIME, time.time() + by)
        waiter.join()
        taken[name] = result[0]
    return taken


def timed_waits(seconds: float) -> dict[str, float]:
    """Returns how long each kind of wait with a time-out of `seconds` took."""
    import queue
    import select

    lock = threading.Lock()
    lock.acquire()
    rlock = threading.RLock()
    threading.Thread(target=rlock.acquire).start()
    condition = threading.Condition()
    readable, writable = os.pipe()
    waits: dict[str, Any] = {
        "Lock.acquire": lambda: lock.acquire(timeout=seconds),
        "RLock.acquire": lambda: rlock.acquire(timeout=seconds),
        "Event.wait": lambda: threading.Event().wait(seconds),
        "Condition.wait": lambda: condition.wait(seconds),
        "Semaphore.acquire": lambda: threading.Semaphore(0).acquire(timeout=seconds),
        "SimpleQueue.get": lambda: queue.SimpleQueue[int]().get(timeout=seconds),
        "Queue.get": lambda: queue.Queue[int]().get(timeout=seconds),
        "select": lambda: select.select([readable], [], [], seconds),
        "poll": lambda: wait_poll(readable, seconds),
        "epoll": lambda: wait_epoll(readable, seconds),
    }
    taken = {}
    with condition:
        for name, wait in waits.items():
            began = time.monotonic()
            with contextlib.suppress(queue.Empty):
                wait()
            taken[name] = time.monotonic() - began
    os.close(readable)
    os.close(writable)
    return taken


def wait_poll(fd: int, seconds: float) -> None:
    """Waits in poll(2) for a descriptor that never becomes readable."""
    import select

    poll = select.poll()
    poll.register(fd, select.POLLIN)
    poll.poll(seconds * 1000)


def wait_epoll(fd: int, seconds: float) -> None:
    """Waits in epoll_wait(2) for a descriptor that never becomes readable."""
    import select

    with select.epoll() as epoll:
        epoll.register(fd, select.EPOLLIN)
        epoll.poll(seconds)


def wake_ups(count: int) -> dict[str, float]:
    """Plays ping-pong `count` times over each blocking object; returns microseconds per exchange.

    A lost wake-up leaves both threads asleep, and the call never returns.
    """
    import queue

    def over_locks() -> None:
        ping, pong = threading.Lock(), threading.Lock()
        ping.acquire()
        pong.acquire()

        def answer() -> None:
            for _ in range(count):
                ping.acquire()
                pong.release()

        def ask() -> None:
            for _ in range(count):
                ping.release()
                pong.acquire()

        with_partner(answer, ask)

    def over_conditions() -> None:
        condition, turn = threading.Condition(), [0]

        def play(own: int) -> None:
            for _ in range(count):
                with condition:
                    condition.wait_for(lambda: turn[0] == own)
                    turn[0] = 1 - own
                    condition.notify()

        with_partner(lambda: play(1), lambda: play(0))

    def over_events() -> None:
        ping, pong = threading.Event(), threading.Event()

        def answer() -> None:
            for _ in range(count):
                ping.wait()
                ping.clear()
                pong.set()

        def ask() -> None:
            for _ in range(count):
                ping.set()
                pong.wait()
                pong.clear()

        with_partner(answer, ask)

    def over_queues() -> None:
        there: queue.SimpleQueue[int] = queue.SimpleQueue()
        back: queue.SimpleQueue[int] = queue.SimpleQueue()

        def answer() -> None:
            for _ in range(count):
                back.put(there.get())

        def ask() -> None:
            for i in range(count):
                there.put(i)
                back.get()

        with_partner(answer, ask)

    def over_pipes() -> None:
        (ping_out, ping_in), (pong_out, pong_in) = os.pipe(), os.pipe()
        with_partner(
            lambda: [os.write(pong_in, os.read(ping_out, 1)) for _ in range(count)],
            lambda: [(os.write(ping_in, b"x"), os.read(pong_out, 1)) for _ in range(count)],
        )
        for fd in (ping_out, ping_in, pong_out, pong_in):
            os.close(fd)

    result = {}
    for play in (over_locks, over_conditions, over_events, over_queues, over_pipes):
        began = time.perf_counter()
        play()
        result[play.__name__] = (time.perf_counter() - began) / count * 1e6
    return result


def with_partner(partner: Any, own: Any) -> None:
    """Runs `partner` in a thread of its own while `own` runs here."""
    thread = threading.Thread(target=partner)
    thread.start()
    own()
    thread.join()
