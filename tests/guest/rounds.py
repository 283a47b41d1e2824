"""What `stress.py` runs at the same time: parts, each a function that does one round.

A round starts its threads, lets them do a bounded amount of work, joins them, raises `AssertionError` if
anything was lost, torn or out of order, and returns how much it checked. What it does follows from the
`random` that it gets; how its threads interleave does not.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import mmap
import os
import queue
import random
import select
import signal
import socket
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable

import integrity

#: How long each round takes of the parts that take a time, in seconds.
ROUND = 1.0

Round = Callable[[random.Random], int]


def check(condition: bool, message: str) -> None:
    """Raises `AssertionError` with `message` unless `condition` holds."""
    if not condition:
        raise AssertionError(message)


def together(bodies: list[Callable[[], None]]) -> None:
    """Runs each body in a thread, all from the same moment; raises `AssertionError` if any of them raised."""

    def told(body: Callable[[], None]) -> None:
        try:
            body()
        except BaseException:
            # At once: those who wait for this thread may now wait for ever.
            os.write(2, f"\n[stress] {traceback.format_exc()}".encode())
            raise

    errors = integrity.run_all([lambda body=body: told(body) for body in bodies])  # type: ignore[misc]
    check(not errors, "; ".join(errors))


def passes_of(result: dict[str, object], count: str = "passes") -> int:
    """Returns how much an integrity check did; raises `AssertionError` with what it found wrong."""
    check(not result["errors"], str(result["errors"]))
    found = result[count]
    return sum(found) if isinstance(found, list) else int(str(found))


def hand_off(random: random.Random) -> int:
    """Passes the turn to and fro in pairs of threads, by two locks each; every turn must come, and come once."""
    turns, pairs = random.randrange(200, 800), 3
    taken = [0] * pairs

    def side(number: int, mine: threading.Lock, other: threading.Lock, parity: int) -> None:
        for turn in range(parity, turns, 2):
            mine.acquire()
            check(taken[number] == turn, f"pair {number}: turn {taken[number]} in place of {turn}")
            taken[number] += 1
            other.release()

    bodies: list[Callable[[], None]] = []
    for number in range(pairs):
        first, second = threading.Lock(), threading.Lock()
        second.acquire()
        bodies.append(lambda n=number, a=first, b=second: side(n, a, b, 0))  # type: ignore[misc]
        bodies.append(lambda n=number, a=first, b=second: side(n, b, a, 1))  # type: ignore[misc]
    together(bodies)
    return turns * pairs


def conditions(random: random.Random) -> int:
    """Moves numbers through a small buffer that a condition guards; each must arrive once, in its producer's order."""
    producers, consumers, each = random.randrange(1, 5), random.randrange(1, 5), 150
    room = random.randrange(1, 6)
    changed = threading.Condition()
    buffer: list[tuple[int, int]] = []
    received: list[list[tuple[int, int]]] = [[] for _ in range(consumers)]
    left = [producers * each]

    def produce(number: int) -> None:
        for item in range(each):
            with changed:
                while len(buffer) >= room:
                    changed.wait()
                buffer.append((number, item))
                changed.notify_all()

    def consume(number: int) -> None:
        while True:
            with changed:
                while left[0] and not buffer:
                    changed.wait()
                if not left[0]:
                    return
                received[number].append(buffer.pop(0))
                left[0] -= 1
                changed.notify_all()

    bodies: list[Callable[[], None]] = [lambda n=n: produce(n) for n in range(producers)]  # type: ignore[misc]
    bodies += [lambda n=n: consume(n) for n in range(consumers)]  # type: ignore[misc]
    together(bodies)
    for taken in received:
        for producer in range(producers):
            items = [item for number, item in taken if number == producer]
            check(items == sorted(items), f"the items of producer {producer} were swapped")
    everything = sorted(item for taken in received for item in taken)
    check(everything == [(p, i) for p in range(producers) for i in range(each)], "items were lost or came twice")
    return producers * each


def timed_waits(random: random.Random) -> int:
    """Lets waits time out just as their event comes: no item is lost or doubled, no wait ends before its time."""
    items = 150
    channel: queue.Queue[int] = queue.Queue()
    gate = threading.Lock()
    pauses = [random.random() * 0.002 for _ in range(items)]
    patiences = [random.random() * 0.002 for _ in range(32)]
    received: list[int] = []

    def send() -> None:
        for item, pause in enumerate(pauses):
            time.sleep(pause)
            channel.put(item)

    def receive() -> None:
        tries = 0
        while len(received) < items:
            patience = patiences[tries % len(patiences)]
            tries += 1
            began = time.monotonic()
            try:
                received.append(channel.get(timeout=patience))
            except queue.Empty:
                waited = time.monotonic() - began
                check(waited >= patience, f"a wait of {patience} s ended after {waited}")

    def compete() -> None:
        for patience in patiences:
            began = time.monotonic()
            if gate.acquire(timeout=patience):
                time.sleep(patience / 2)
                gate.release()
            else:
                waited = time.monotonic() - began
                check(waited >= patience, f"a wait of {patience} s for a lock ended after {waited}")

    together([send, receive, compete, compete, compete])
    check(received == list(range(items)), "the queue lost or swapped items")
    check(gate.acquire(timeout=0), "a lock that a wait gave up on stayed taken")
    return items


def churn(random: random.Random) -> int:
    """Starts threads that start threads; all must run, keep what is theirs alone, and be gone at the end."""
    width, depth = random.randrange(2, 6), random.randrange(2, 4)
    own = threading.local()
    ran = [0]
    counted = threading.Lock()

    def grow(level: int, mark: int) -> None:
        own.mark = mark
        with counted:
            ran[0] += 1
        if level:
            together([lambda n=n: grow(level - 1, mark * width + n) for n in range(width)])  # type: ignore[misc]
        check(own.mark == mark, f"a thread's own value is {own.mark} in place of {mark}")

    grow(depth, 1)
    del own.mark
    expected = sum(int(width**level) for level in range(depth + 1))
    check(ran[0] == expected, f"{ran[0]} threads of {expected} ran")
    return expected


def changing_mappings(random: random.Random) -> int:
    """Throws pages away while other CPUs read them: once that has returned, nobody sees the old bytes."""
    pages, changes, readers = 8, 60, 3
    area = mmap.mmap(-1, pages * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    # What the page holds that the readers look at, as (page, byte); None while it changes.
    state: list[tuple[int, int] | None] = [None]
    over = [False]
    reads = [0] * readers
    order = [random.randrange(pages) for _ in range(changes)]

    def change() -> None:
        try:
            for number, page in enumerate(order):
                mark = 1 + number % 255
                area[page * mmap.PAGESIZE] = mark
                state[0] = (page, mark)
                time.sleep(0)
                state[0] = None
                area.madvise(mmap.MADV_DONTNEED, page * mmap.PAGESIZE, mmap.PAGESIZE)
                state[0] = (page, 0)
                time.sleep(0)
                state[0] = None
        finally:
            over[0] = True

    def read(number: int) -> None:
        while not over[0]:
            before = state[0]
            if before is None:
                continue
            found = area[before[0] * mmap.PAGESIZE]
            # The same object: nothing has changed since it was looked at.
            if state[0] is before:
                check(found == before[1], f"page {before[0]} holds {found} in place of {before[1]}")
                reads[number] += 1

    together([change, *(lambda n=n: read(n) for n in range(readers))])
    area.close()
    return changes + sum(reads)


def signals(random: random.Random) -> int:
    """Sends signals to threads that wait, sleep or hash: no byte, turn or register is lost, no sleep ends early."""
    into, out = os.pipe()
    reader, writer = socket.socketpair()
    gate = threading.Semaphore(0)
    data = random.randbytes(100_000)
    digest = hashlib.blake2b(data).digest()
    amount = 100
    over = threading.Event()
    idents: list[int] = []
    sent = [0]

    def enter() -> None:
        idents.append(threading.get_ident())

    def read() -> None:
        enter()
        for number in range(amount):
            check(os.read(into, 1) == bytes([number]), f"byte {number} of the pipe is another")
            gate.release()
        over.wait()

    def receive() -> None:
        enter()
        # Not select(), whose descriptors end at 1023: other parts have thousands open.
        poller = select.poll()
        poller.register(reader, select.POLLIN)
        for number in range(amount):
            poller.poll()
            check(reader.recv(1) == bytes([number]), f"byte {number} of the socket is another")
            gate.release()
        over.wait()

    def write() -> None:
        enter()
        for number in range(amount):
            os.write(out, bytes([number]))
            writer.send(bytes([number]))
            for _ in range(2):
                gate.acquire()
        over.wait()

    def sleep() -> None:
        enter()
        for pause in [random.random() * 0.003 for _ in range(amount // 5)]:
            began = time.monotonic()
            time.sleep(pause)
            slept = time.monotonic() - began
            check(slept >= pause, f"a sleep of {pause} s ended after {slept}")
        over.wait()

    def compute() -> None:
        enter()
        for _ in range(amount):
            check(hashlib.blake2b(data).digest() == digest, "another digest")
        over.wait()

    workers = [read, receive, write, sleep, compute]
    pauses = [random.random() * 0.002 for _ in range(amount)]

    def disturb() -> None:
        # A thread's id is good until `over`: nobody ends before.
        try:
            for number, pause in enumerate(pauses):
                time.sleep(pause)
                if idents:
                    signal.pthread_kill(idents[number % len(idents)], signal.SIGUSR1)
                    sent[0] += 1
        finally:
            over.set()

    try:
        together([*workers, disturb])
    finally:
        for end in (into, out):
            os.close(end)
        reader.close()
        writer.close()
    check(sent[0] > 0, "nobody was disturbed")
    return amount * 4 + sent[0]


def stopped_world(random: random.Random) -> int:
    """Collects garbage, which stops every thread, while others enter and leave all kinds of waits."""
    cycles, waits = 400, 60
    into, out = os.pipe()
    gone = [0]
    over = threading.Event()
    pauses = [random.random() * 0.001 for _ in range(waits)]

    class Node:
        """Something that refers to itself."""

        def __init__(self) -> None:
            self.itself = self

    def count(_: object) -> None:
        gone[0] += 1

    def collect() -> None:
        try:
            watched = []
            for number in range(cycles):
                watched.append(weakref.ref(Node(), count))
                if number % 50 == 0:
                    gc.collect()
                    sys._current_frames()
            gc.collect()
            check(all(reference() is None for reference in watched), "garbage was kept")
        finally:
            over.set()

    def sleep() -> None:
        for pause in pauses:
            time.sleep(pause)

    def use_pipe() -> None:
        for number in range(waits):
            os.write(out, bytes([number]))
            check(os.read(into, 1) == bytes([number]), "another byte")

    def poll() -> None:
        poller = select.poll()
        poller.register(out, select.POLLIN)
        for _ in pauses:
            check(poller.poll(1) == [], "the writing end became readable")

    def wait() -> None:
        while not over.wait(0.001):
            pass

    together([collect, sleep, use_pipe, poll, wait])
    os.close(into)
    os.close(out)
    check(gone[0] == cycles, f"{gone[0]} of {cycles} objects were told to be gone")
    return cycles + 3 * waits


def freed_elsewhere(random: random.Random) -> int:
    """Allocates in some threads and frees in others, of all sizes; contents stay what they were."""
    amount, pairs = 500, 3
    sizes = [random.choice((8, 64, 500, 3000, 40_000, 300_000)) for _ in range(64)]

    def make(channel: queue.SimpleQueue[tuple[int, bytes, dict[str, int]] | None]) -> None:
        for number in range(amount):
            fill = number % 251
            channel.put((fill, bytes([fill]) * sizes[number % len(sizes)], {str(n): n for n in range(number % 40)}))
        channel.put(None)

    def free(channel: queue.SimpleQueue[tuple[int, bytes, dict[str, int]] | None]) -> None:
        kept = []
        while (item := channel.get()) is not None:
            fill, data, table = item
            check(data[0] == data[-1] == fill and data.count(fill) == len(data), "bytes changed on their way")
            check(sum(table.values()) == len(table) * (len(table) - 1) // 2, "a dict changed on its way")
            kept.append(item)
            if len(kept) > 20:
                kept.clear()

    bodies: list[Callable[[], None]] = []
    for _ in range(pairs):
        channel: queue.SimpleQueue[tuple[int, bytes, dict[str, int]] | None] = queue.SimpleQueue()
        bodies.append(lambda c=channel: make(c))  # type: ignore[misc]
        bodies.append(lambda c=channel: free(c))  # type: ignore[misc]
    together(bodies)
    return amount * pairs


def event_loops(random: random.Random) -> int:
    """Wakes the event loops of several threads from others: every call is made, in order."""
    loops, calls = 3, 200

    def run(number: int) -> None:
        received: list[int] = []

        async def main() -> None:
            loop, done = asyncio.get_running_loop(), asyncio.Event()

            def receive(item: int) -> None:
                received.append(item)
                if len(received) == calls:
                    done.set()

            def send() -> None:
                for item in range(calls):
                    loop.call_soon_threadsafe(receive, item)

            sender = threading.Thread(target=send)
            sender.start()
            await done.wait()
            sender.join()

        asyncio.run(main())
        check(received == list(range(calls)), f"loop {number} lost or swapped calls")

    together([lambda n=n: run(n) for n in range(loops)])  # type: ignore[misc]
    return loops * calls


def ten_thousand_sockets(random: random.Random) -> int:
    """Opens 10,000 sockets, lets those speak that chance picks, and closes all."""
    pairs, connections, datagrams = 4800, 100, 200
    opened: list[socket.socket] = []
    try:
        for _ in range(pairs):
            opened += socket.socketpair()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            for _ in range(connections):
                opened.append(socket.create_connection(listener.getsockname()))
                opened.append(listener.accept()[0])
        spoken = 0
        with select.epoll() as readiness:
            for place in random.sample(range(0, len(opened), 2), 500):
                left, right = opened[place], opened[place + 1]
                message = random.randbytes(32)
                readiness.register(right, select.EPOLLIN)
                left.send(message)
                check(
                    [fd for fd, _ in readiness.poll(60.0)] == [right.fileno()],
                    "another socket than that with data became readable",
                )
                check(right.recv(64) == message, "another message than was sent")
                readiness.unregister(right)
                spoken += 1
        for _ in range(datagrams):
            one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            one.bind(("127.0.0.1", 0))
            opened.append(one)
        for number in range(datagrams):
            target = opened[-1 - random.randrange(datagrams)]
            opened[-datagrams].sendto(b"%d" % number, target.getsockname())
            check(target.recv(64) == b"%d" % number, "another datagram than was sent")
        return len(opened) + spoken
    finally:
        for one in opened:
            one.close()


PARTS: dict[str, Round] = {
    "floating-point": lambda _: passes_of(integrity.floating_point(4, ROUND)),
    "byte-strings": lambda _: passes_of(integrity.byte_strings(2, ROUND)),
    "mappings": lambda _: passes_of(integrity.shared_mappings(3, ROUND)),
    "changing-mappings": changing_mappings,
    "clock": lambda _: passes_of(integrity.monotonic_clock(3, ROUND), "reads"),
    "pipes": lambda random: passes_of({**integrity.pipes(2, size := random.randrange(100_000)), "passes": [size]}),
    "hand-off": hand_off,
    "conditions": conditions,
    "timed-waits": timed_waits,
    "churn": churn,
    "signals": signals,
    "stopped-world": stopped_world,
    "freed-elsewhere": freed_elsewhere,
    "event-loops": event_loops,
    "sockets": ten_thousand_sockets,
}
