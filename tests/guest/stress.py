"""Everything at once, for as long as is asked: the parts of `rounds.py`, under each other's load and watched."""

from __future__ import annotations

import os
import random
import resource
import signal
import threading
import time
import traceback

from rounds import PARTS

#: Seconds after which a round that has not ended, or a CPU that has run nobody, is stuck.
PATIENCE = 300.0


class Driver:
    """Does rounds of one part until a time, in a thread of its own."""

    def __init__(self, name: str, seed: int, deadline: float) -> None:
        self.name, self._seed, self._deadline = name, seed, deadline
        self.rounds = self.checks = 0
        self.longest = 0.0
        self.error: str | None = None
        self.began = time.monotonic()
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def _run(self) -> None:
        try:
            while not self.rounds or time.monotonic() < self._deadline:
                self.began = time.monotonic()
                self.checks += PARTS[self.name](random.Random(f"{self._seed} {self.name} {self.rounds}"))
                self.rounds += 1
                self.longest = max(self.longest, time.monotonic() - self.began)
        except BaseException:
            self.error = f"round {self.rounds}: {traceback.format_exc()}"


class Watch:
    """Looks after drivers and CPUs, from a thread on each CPU: any that still runs somebody sees the one that does not.

    If a round or a CPU is stuck, the machine panics: its report says what every thread waits for.
    """

    def __init__(self, drivers: list[Driver], seed: int) -> None:
        self._drivers, self._seed = drivers, seed
        self._over = threading.Event()
        now = time.monotonic()
        self._latest = dict.fromkeys(sorted(os.sched_getaffinity(0)), now)
        self._threads = [threading.Thread(target=self._look, args=(cpu,), name=f"watch {cpu}") for cpu in self._latest]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _look(self, cpu: int) -> None:
        os.sched_setaffinity(0, {cpu})
        while not self._over.wait(0.1):
            now = self._latest[cpu] = time.monotonic()
            for other, latest in self._latest.items():
                if now - latest > PATIENCE:
                    panic(f"CPU {other} has run nobody for {now - latest:.0f} s (seed {self._seed})")
            for driver in self._drivers:
                age = now - driver.began
                if driver.thread.is_alive() and age > PATIENCE:
                    panic(f"round {driver.rounds} of {driver.name} is stuck for {age:.0f} s (seed {self._seed})")


def everything(seconds: float, seed: int, names: list[str] | None = None) -> dict[str, dict[str, object]]:
    """Runs the parts called `names`, or all, at the same time for `seconds`; returns what each did."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (16_384, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    previous = signal.signal(signal.SIGUSR1, lambda _number, _frame: None)
    drivers = [Driver(name, seed, time.monotonic() + seconds) for name in names or PARTS]
    with Watch(drivers, seed):
        for driver in drivers:
            driver.thread.start()
        for driver in drivers:
            driver.thread.join()
    signal.signal(signal.SIGUSR1, previous)
    told = ("rounds", "checks", "longest", "error")
    return {driver.name: {word: getattr(driver, word) for word in told} for driver in drivers}


def panic(reason: str) -> None:
    """Says why and ends the machine with a report of every CPU and every thread."""
    os.write(2, f"\n[stress] {reason}\n".encode())
    with open("/proc/threads") as threads:
        os.write(2, threads.read().encode())
    with open("/proc/sysrq-trigger", "w") as trigger:
        trigger.write("c")


def stuck(seconds: float) -> None:
    """Loses a wake-up for the watchdog to find: waits for a lock that nobody gives back."""
    global PATIENCE
    PATIENCE = seconds
    PARTS["stuck"] = lambda _: int(never.acquire())
    never = threading.Lock()
    never.acquire()
    everything(0.0, 0, ["stuck"])


def deaf(seconds: float) -> None:
    """Turns the interrupts of the highest CPU off for the watchdog to find."""
    global PATIENCE
    PATIENCE = seconds
    PARTS["deaf"] = turn_deaf
    everything(0.0, 0, ["deaf"])


def turn_deaf(_: random.Random) -> int:
    """Makes its CPU, the highest, deaf for good."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with open("/proc/sysrq-trigger", "w") as trigger:
        trigger.write("z")
    return 0
