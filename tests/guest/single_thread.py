"""What one thread of Python gets done, for `make bench`: each function returns the seconds that its work takes."""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections import deque
from collections.abc import Callable
from typing import Any


def timed(body: Callable[[], object]) -> float:
    """Returns how many seconds `body` takes."""
    began = time.perf_counter()
    body()
    return time.perf_counter() - began


def nbody() -> float:
    """The n-body problem, 20,000 steps."""
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
    """Pancake flips over all permutations of 8."""
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
    """Makes objects and calls their methods."""

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
    """Writes a document of 3,000 objects."""
    return timed(lambda: json.dumps(DOCUMENT))


def json_loads() -> float:
    """Reads a document of 3,000 objects."""
    text = json.dumps(DOCUMENT)
    return timed(lambda: json.loads(text))


def regular_expressions() -> float:
    """Finds words and numbers in a text."""
    text = "the quick brown fox 42 jumps over 1.5 lazy dogs; " * 4000
    pattern = re.compile(r"(\w+) (\d+(?:\.\d+)?)")
    return timed(lambda: pattern.findall(text))


def sort_a_million() -> float:
    """Sorts a million numbers."""
    import random

    generator = random.Random(1)
    numbers = [generator.random() for _ in range(1_000_000)]
    return timed(numbers.sort)


def dict_of_a_million() -> float:
    """Fills a dict with a million numbers and reads them back."""

    def body() -> None:
        table = {}
        for i in range(1_000_000):
            table[i] = i
        for i in range(1_000_000):
            table[i]

    return timed(body)


class Packet:
    """What the tasks of `richards` send one another."""

    def __init__(self, home: Task, is_work: bool) -> None:
        self.home = home
        self.is_work = is_work
        self.data = [0] * 4


class Task:
    """Something with a queue of packets that takes one when it has the turn."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.waiting: deque[Packet] = deque()

    def take(self, packet: Packet) -> None:
        """Does what this kind of task does with a packet."""
        raise NotImplementedError


class Worker(Task):
    """Fills packets with numbers and hands them to one device after the other."""

    devices: list[Task]
    turn = 0

    def take(self, packet: Packet) -> None:
        for place in range(len(packet.data)):
            self.turn = self.turn + 1 & 0xFF
            packet.data[place] += self.turn
        packet.is_work = not packet.is_work
        self.scheduler.send(self.devices[self.turn % len(self.devices)], packet)


class Device(Task):
    """Adds up what a packet has and sends it back to where it belongs."""

    seen = 0

    def take(self, packet: Packet) -> None:
        self.seen += sum(packet.data)
        packet.data[:] = [each & 0xF for each in packet.data]
        self.scheduler.send(packet.home, packet)


class Scheduler:
    """Gives the turn to the first task that has a packet."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.sent = 0

    def send(self, task: Task, packet: Packet) -> None:
        """Puts a packet at the end of a task's queue."""
        self.sent += 1
        task.waiting.append(packet)

    def run(self, packets: int) -> None:
        """Gives turns until so many packets were sent."""
        while self.sent < packets:
            for task in self.tasks:
                if task.waiting:
                    task.take(task.waiting.popleft())


def richards() -> float:
    """A simulated operating system in the manner of Martin Richards's benchmark: tasks that send packets."""
    scheduler = Scheduler()
    workers = [Worker(scheduler) for _ in range(2)]
    devices = [Device(scheduler) for _ in range(3)]
    scheduler.tasks = [*workers, *devices]
    for worker in workers:
        worker.devices = list(devices)
        for place in range(3):
            scheduler.send(worker, Packet(worker, is_work=place % 2 == 0))
    return timed(lambda: scheduler.run(100_000))


def sha256() -> float:
    """Hashes 16 MiB."""
    data = bytes(1 << 20)

    def body() -> None:
        digest = hashlib.sha256()
        for _ in range(16):
            digest.update(data)

    return timed(body)


FIGURES: tuple[Callable[[], float], ...] = (
    nbody, fannkuch, richards, objects, json_dumps, json_loads, regular_expressions, sha256, sort_a_million,
    dict_of_a_million,
)  # fmt: skip
