"""Ctrl-C in threads that are not Python's main one, and directories of their own; runs in the guest."""

from __future__ import annotations

import os
import queue
import select
import socket
import threading
import time
from collections.abc import Callable


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
