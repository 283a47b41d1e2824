"""Ctrl-C in threads that are not Python's main one, and directories of their own; runs in the guest."""

from __future__ import annotations

import functools
import importlib
import itertools
import operator
import os
import queue
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

# The kernel's module has no types.
_hal: Any = importlib.import_module("_hal")



def _spin() -> None:
    while True:
        pass


def _locked() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


#: What a session may be waiting for. Each gets the terminal's descriptor.
WAITS: dict[str, Callable[[int], object]] = {
    "spin": lambda _: _spin(),
    "sleep": lambda _: time.sleep(100),
    "lock": lambda _: _locked().acquire(),
    "lock with time-out": lambda _: _locked().acquire(timeout=100),
    "event": lambda _: threading.Event().wait(),
    "condition": lambda _: _wait_for_condition(),
    "queue": lambda _: queue.Queue[int]().get(),
    "simple queue": lambda _: queue.SimpleQueue[int]().get(),
    "select": lambda _: select.select([], [], [], 100),
    "pipe": lambda _: os.read(os.pipe()[0], 1),
    "terminal": lambda fd: os.read(fd, 1),
    "socket": lambda _: _silent_socket().recv(1),
    "join": lambda _: _sleeper().join(),
    "arithmetic": lambda _: 3**50_000_000,
}


def _wait_for_condition() -> None:
    with (condition := threading.Condition()):
        condition.wait()


_peers: list[socket.socket] = []


def _silent_socket() -> socket.socket:
    one, other = socket.socketpair()
    _peers.append(other)
    return one


def _sleeper() -> threading.Thread:
    thread = threading.Thread(target=time.sleep, args=(4,), daemon=True)
    thread.start()
    return thread


def interrupt(name: str) -> float:
    """Has a thread wait for something, types Ctrl-C at its terminal; returns how many seconds its end took.

    Nobody else is to notice: not the main thread, which calls this, nor a second session's thread.
    """
    seen: dict[str, float] = {}
    with_terminals = [os.openpty() for _ in range(2)]
    ready = threading.Semaphore(0)

    def session(key: str, fd: int, wait: Callable[[int], object]) -> None:
        os.tcsetpgrp(fd, threading.get_native_id())
        ready.release()
        try:
            wait(fd)
        except KeyboardInterrupt:
            seen[key] = time.monotonic()

    bystander_ends = threading.Event()
    (master, terminal), (_other_master, other_terminal) = with_terminals
    threads = [
        threading.Thread(target=session, args=("this", terminal, WAITS[name]), daemon=True),
        threading.Thread(target=session, args=("other", other_terminal, lambda _: bystander_ends.wait()), daemon=True),
    ]
    for thread in threads:
        thread.start()
        ready.acquire()
    time.sleep(0.2)
    typed = time.monotonic()
    os.write(master, b"\x03")
    threads[0].join(20)
    assert "this" in seen, f"{name}: no KeyboardInterrupt"
    assert "other" not in seen
    bystander_ends.set()
    threads[1].join(20)
    assert "other" not in seen
    for pair in with_terminals:
        for fd in pair:
            os.close(fd)
    return seen["this"] - typed


#: Linux's name for what the kernel sends for Ctrl-C.
_THREAD_INTERRUPT: int = signal.SIGSTKFLT  # type: ignore[attr-defined]


class _Told(BaseException):
    """Raised in a thread by another one."""


#: Steps of C code that come before a wait, without a look of the interpreter in between, so that another thread has
#: the time to wake up and act meanwhile. Doubled, on a host that is busy, until it has.
_STEPS = 100_000
_DOUBLED = 6


def _after(steps: int, wait: Callable[[], object]) -> None:
    """Calls a C function so many steps after the interpreter has looked for exceptions for the last time."""
    any(itertools.chain(itertools.repeat(False, steps), map(operator.call, [wait])))


def _waits(terminal: int, pipe: int, peer: socket.socket) -> dict[str, Callable[[], object]]:
    """Returns waits of each kind that the kernel has, all in C functions and without an end."""
    epoll = select.epoll()
    epoll.register(pipe, select.EPOLLIN)
    return {
        "sleep": functools.partial(time.sleep, 1000),
        "lock": _locked().acquire,
        "lock with time-out": functools.partial(_locked().acquire, True, 1000),
        "queue": queue.SimpleQueue[int]().get,
        "select": functools.partial(select.select, [pipe], [], []),
        "epoll": epoll.poll,
        "pipe": functools.partial(os.read, pipe, 1),
        "terminal": functools.partial(os.read, terminal, 1),
        "socket": functools.partial(peer.recv, 1),
    }


def _senders(thread: threading.Thread, master: int) -> dict[str, Callable[[], object]]:
    """Returns what raises an exception in a thread: another thread, two ways, and Ctrl-C at its terminal."""
    assert thread.ident is not None
    return {
        "raise": functools.partial(_hal.thread_raise, thread.ident, _Told),
        "kill": functools.partial(signal.pthread_kill, thread.ident, _THREAD_INTERRUPT),
        "type": functools.partial(os.write, master, b"\x03"),
    }


def before_waits(sender: str) -> dict[str, str]:
    """Interrupts a thread shortly before each kind of wait; returns what became of it: "broken off", or what else.

    A wait that goes on ends this: nothing but its thread's exception ends it.
    """
    master, terminal = os.openpty()
    reader, writer = os.pipe()
    sockets = socket.socketpair()
    begin, ready, done = threading.Semaphore(0), threading.Semaphore(0), threading.Semaphore(0)
    waits = _waits(terminal, reader, sockets[0])
    became: dict[str, str] = {}
    began = 0.0

    def session() -> None:
        nonlocal began
        os.tcsetpgrp(terminal, threading.get_native_id())
        while begin.acquire() and job:
            name, steps = job
            began = time.perf_counter()
            try:
                ready.release()
                _after(steps, waits[name])
                became[name] = "ended without exception"
            except (_Told, KeyboardInterrupt):
                pass
            done.release()

    def seconds_of_a_step() -> float:
        before = time.perf_counter()
        _after(_STEPS, bool)
        return (time.perf_counter() - before) / _STEPS

    step = min(seconds_of_a_step() for _ in range(3))
    job: tuple[str, int] | None = None
    thread = threading.Thread(target=session, daemon=True)
    thread.start()
    send = _senders(thread, master)[sender]
    for name in waits:
        for doubled in range(_DOUBLED + 1):
            job = name, steps = name, _STEPS << doubled
            begin.release()
            ready.acquire()
            send()
            # Half: what is typed takes its time to become an exception.
            came_before = time.perf_counter() - began < step * steps / 2
            if not done.acquire(timeout=20):
                return {**became, name: "went on"}
            if came_before:
                became.setdefault(name, "broken off")
                break
        else:
            became.setdefault(name, "interrupted too late each time")
    job = None
    begin.release()
    thread.join()
    for fd in (master, terminal, reader, writer):
        os.close(fd)
    for each in sockets:
        each.close()
    return became


def wait_after_an_exception() -> list[str]:
    """Has a thread wait that has just caught what Ctrl-C raised while it computed; returns what happens to it."""
    events: list[str] = []
    ready = threading.Semaphore(0)

    def session() -> None:
        try:
            ready.release()
            _spin()
        except KeyboardInterrupt:
            events.append("caught")
        try:
            # Of all waits the only one that Python does not begin again after EINTR.
            signal.pause()
            events.append("returned")
        except KeyboardInterrupt:
            events.append("caught")

    thread = threading.Thread(target=session)
    thread.start()
    assert thread.ident is not None
    ready.acquire()
    signal.pthread_kill(thread.ident, _THREAD_INTERRUPT)
    while len(events) < 2 and (not events or _state_of(thread) != "waiting"):
        time.sleep(0.001)
    if len(events) < 2:
        events.append("waits")
        signal.pthread_kill(thread.ident, _THREAD_INTERRUPT)
    thread.join()
    return events


def _state_of(thread: threading.Thread) -> str | None:
    return {row[0]: row[2] for row in _hal.threads()}.get(thread.native_id)


def foreground() -> list[object]:
    """Returns what a terminal says of whom it signals: before, for a thread, for a thread that is none."""
    master, terminal = os.openpty()
    said: list[object] = [os.tcgetpgrp(terminal)]
    os.tcsetpgrp(terminal, threading.get_native_id())
    said.append(os.tcgetpgrp(terminal) == threading.get_native_id())
    try:
        os.tcsetpgrp(terminal, 2**30)
    except OSError as error:
        said.append(error.errno)
    os.close(master)
    os.close(terminal)
    return said


def directories() -> dict[str, str]:
    """Returns where threads are: the main one, one that has unshared, one started by that, one started beside."""
    here = os.getcwd()
    os.chdir("/tmp")
    found: dict[str, str] = {}

    def note(name: str) -> None:
        found[name] = os.getcwd()

    def apart() -> None:
        os.unshare(os.CLONE_FS)  # type: ignore[attr-defined]
        note("copied")
        os.chdir("/usr")
        inner = threading.Thread(target=note, args=("inherited",))
        inner.start()
        inner.join()
        note("own")
        os.umask(0o077)

    mask = os.umask(0o022)
    for body in (apart, lambda: note("beside")):
        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
    note("main")
    found["mask"] = oct(os.umask(mask))
    os.chdir(here)
    return found
