"""Running out of stack and out of memory, and what is left after it."""

from __future__ import annotations

import errno
import gc
import random
import socket
import threading
import time
from collections.abc import Callable
from typing import Any


def python_recursion() -> None:
    """Recurses in Python code without end."""

    def deeper() -> None:
        deeper()

    deeper()


def json_recursion() -> None:
    """Recurses in json's C scanner."""
    import json

    json.loads("[" * 200_000)


def json_dump_recursion() -> None:
    """Recurses in json's C encoder."""
    import json

    nested: list[Any] = []
    for _ in range(200_000):
        nested = [nested]
    json.dumps(nested)


def repr_recursion() -> None:
    """Recurses in repr() of nested lists."""
    nested: list[Any] = []
    for _ in range(200_000):
        nested = [nested]
    repr(nested)


def ast_recursion() -> None:
    """Recurses in the parser and compiler."""
    import ast

    ast.parse("-" * 100_000 + "1")


def re_recursion() -> None:
    """Recurses in the parser of regular expressions."""
    import re

    re.compile("(" * 50_000 + ")" * 50_000)


def pickle_recursion() -> None:
    """Recurses in pickle's C code."""
    import pickle

    nested: list[Any] = []
    for _ in range(200_000):
        nested = [nested]
    pickle.dumps(nested)


def getattr_recursion() -> None:
    """Recurses through C slots: an attribute hook that looks up itself."""

    class Loop:
        def __getattr__(self, name: str) -> Any:
            return getattr(self, name + "x")

    _ = Loop().missing


RECURSIONS: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        python_recursion,
        json_recursion,
        json_dump_recursion,
        repr_recursion,
        ast_recursion,
        re_recursion,
        pickle_recursion,
        getattr_recursion,
    )
}


def recurse(name: str, in_thread: bool) -> str:
    """Runs one endless recursion; returns the name of the exception it ends in."""
    outcome = ["nothing"]

    def body() -> None:
        try:
            RECURSIONS[name]()
        except BaseException as error:
            outcome[0] = type(error).__name__

    if in_thread:
        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
    else:
        body()
    gc.collect()
    return outcome[0]


def huge_allocation() -> str:
    """Asks for a terabyte; returns the name of the exception."""
    try:
        bytearray(1 << 40)
    except BaseException as error:
        return type(error).__name__
    return "nothing"


def fill_memory(piece: int, in_thread: bool = False) -> dict[str, Any]:
    """Allocates pieces of `piece` bytes until that fails, then lets go of them.

    Returns the exception's name, how many KiB were taken, and free memory before and after.
    """
    from scheduling import free_kib

    before = free_kib()
    outcome: dict[str, Any] = {}

    def body() -> None:
        pieces = []
        try:
            while True:
                pieces.append(bytearray(piece))
        except MemoryError:
            taken = len(pieces) * piece >> 10
            pieces.clear()
            outcome.update(error="MemoryError", taken_kib=taken)

    if in_thread:
        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
    else:
        body()
    settle()
    after = free_kib()
    return {**outcome, "before_kib": before, "after_kib": after}


def settle() -> None:
    """Does some ordinary work: mimalloc hands pages back while it serves other requests, some 10 ms later.

    Little at a time, as it keeps what the last of it took.
    """
    for _ in range(30):
        time.sleep(0.005)
        [str(number) for number in range(10_000)]


def fill_with_objects() -> str:
    """Fills memory with small objects until that fails; returns the exception's name."""
    objects: list[Any] = []
    try:
        while True:
            objects.append({"a": [len(objects)], "b": str(len(objects))})
    except MemoryError:
        objects.clear()
        gc.collect()
        return "MemoryError"


def fill_with_changing_sizes(seed: int, fills: int) -> list[tuple[int, int, list[int]]]:
    """Fills memory until that fails and lets go, `fills` times, each time with another size in some threads at once.

    Returns the number of threads, the size, and what the threads got in KiB. Memory that is short may keep a thread
    from being started.
    """
    chance = random.Random(seed)
    report = []
    for _ in range(fills):
        size = int(2 ** chance.uniform(4, 24))
        count = chance.choice((1, 2, 4))
        taken: list[int] = []

        def fill(size: int = size, taken: list[int] = taken) -> None:
            pieces = []
            try:
                while True:
                    pieces.append(bytearray(size))
            except MemoryError:
                number = len(pieces)
                pieces.clear()
                taken.append(number * size >> 10)

        threads = [threading.Thread(target=fill) for _ in range(count - 1)]
        started = []
        for thread in threads:
            try:
                thread.start()
            except RuntimeError:
                continue
            started.append(thread)
        fill()
        for thread in started:
            thread.join()
        report.append((count, size, taken))
    return report


def fill_with_connections(most: int) -> dict[str, Any]:
    """Opens connections to itself, up to so many, until there is an error; tells how it ended, and what works after."""
    held: list[socket.socket] = []
    error = None
    with socket.create_server(("127.0.0.1", 0), backlog=8) as server:
        while len(held) < 2 * most and error is None:
            client = socket.socket()
            # The listener may be the one to have no memory: then nobody answers.
            client.settimeout(5)
            try:
                client.connect(server.getsockname())
                held += [client, server.accept()[0]]
            except OSError as failed:
                error = errno.errorcode.get(failed.errno or 0, type(failed).__name__)
                client.close()
        count = len(held) // 2
        datagrams = None
        while len(held) < 3 * most and datagrams is None:
            held.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            try:
                held[-1].bind(("127.0.0.1", 0))
            except OSError as failed:
                datagrams = errno.errorcode[failed.errno or 0]
        # There is memory for others.
        others = len(bytes(8 << 20))
        for each in held:
            each.close()
        with socket.create_connection(server.getsockname(), 30) as client, server.accept()[0] as accepted:
            client.sendall(b"again")
            after = accepted.recv(5).decode()
    return {"count": count, "error": error, "datagrams": datagrams, "others": others, "after": after}
