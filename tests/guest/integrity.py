"""State that must survive preemption, faults and TLB shootdowns, whatever else goes on."""

from __future__ import annotations

import mmap
import os
import random
import threading
import time
from collections.abc import Callable


def run_all(bodies: list[Callable[[], None]]) -> list[str]:
    """Runs each body in a thread, all from the same moment; returns what went wrong in any of them."""
    errors: list[str] = []
    start = threading.Barrier(len(bodies))

    def guarded(body: Callable[[], None]) -> None:
        start.wait()
        try:
            body()
        except BaseException as error:
            errors.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=guarded, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def floating_point(threads: int, seconds: float) -> dict[str, object]:
    """Computes series with different values in each thread; each pass must give the same bits.

    More threads than CPUs, each always in the middle of SSE and x87 work (CPython's
    `float`, `pow`, `sin` and musl's long double formatting), so that a register that a
    context switch or an interrupt fails to keep shows up in the sums.
    """
    import math

    passes = [0] * threads

    def compute(seed: int) -> str:
        x = 0.5 + seed / 7
        total = 0.0
        for i in range(1, 400):
            x = math.fmod(x * 1.9 + math.sin(x) * i, 3.0) + 0.25
            total += math.sqrt(abs(x)) / i + pow(abs(x), 1.5)
        return f"{total:.25g} {total.hex()} {math.fsum([total, x, -1e30, 1e30]).hex()}"

    def body(number: int) -> None:
        expected = compute(number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = compute(number)
            if found != expected:
                raise AssertionError(f"thread {number}: {found} instead of {expected}")
            passes[number] += 1

    errors = run_all([lambda number=number: body(number) for number in range(threads)])  # type: ignore[misc]
    return {"errors": errors, "passes": passes}


def byte_strings(threads: int, seconds: float) -> dict[str, object]:
    """Copies, compares and hashes byte strings: SIMD registers and `rep` instructions across preemption."""
    import hashlib

    passes = [0] * threads

    def body(number: int) -> None:
        generator = random.Random(number)
        data = generator.randbytes(100_000 + number)
        digest = hashlib.sha256(data).digest()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            copy = bytearray(data)
            copy[: len(copy) // 2], copy[len(copy) // 2 :] = data[: len(copy) // 2], data[len(copy) // 2 :]
            if copy != data or hashlib.sha256(copy).digest() != digest or copy.find(data[-64:]) != len(data) - 64:
                raise AssertionError(f"thread {number}: a copy differs")
            passes[number] += 1

    errors = run_all([lambda number=number: body(number) for number in range(threads)])  # type: ignore[misc]
    return {"errors": errors, "passes": passes}


def wide_registers(threads: int, seconds: float) -> dict[str, object]:
    """Hashes with BLAKE2b, which keeps its state in the 256-bit YMM registers where the CPU has AVX2.

    Signals interrupt the main thread meanwhile, whose handler hashes too.
    """
    import hashlib
    import signal

    data = random.Random(0).randbytes(200_000)
    passes = [0] * threads
    handled = [0]

    def digest(number: int) -> bytes:
        return hashlib.blake2b(data[number:], salt=number.to_bytes(16, "little")).digest()

    def body(number: int) -> None:
        expected = digest(number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if digest(number) != expected:
                raise AssertionError(f"thread {number}: another digest")
            passes[number] += 1

    # The handler arms the timer itself: on a busy host it takes longer than any fixed
    # period, and signals that arrive faster than they are handled nest without end.
    def handler(_number: int, _frame: object) -> None:
        handled[0] += 1
        digest(999)
        if computing:
            signal.setitimer(signal.ITIMER_REAL, 0.005)

    computing = True
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.005)
    errors = run_all([lambda number=number: body(number) for number in range(threads)])  # type: ignore[misc]
    computing = False
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    return {"errors": errors, "passes": passes, "handled": handled[0]}


def shared_mappings(threads: int, seconds: float) -> dict[str, object]:
    """Maps, fills, checks and unmaps memory in all threads at once.

    A TLB that keeps an entry after munmap or MADV_DONTNEED shows another thread's
    bytes, or old ones where zeros must be.
    """
    passes = [0] * threads
    pages = 24

    def body(number: int) -> None:
        generator = random.Random(number)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with mmap.mmap(-1, pages * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
                if any(area[page * mmap.PAGESIZE] for page in range(pages)):
                    raise AssertionError(f"thread {number}: fresh memory is not zero")
                mark = bytes([number + 1]) * 64
                for page in range(pages):
                    area[page * mmap.PAGESIZE : page * mmap.PAGESIZE + 64] = mark
                drop = generator.randrange(pages)
                area.madvise(mmap.MADV_DONTNEED, drop * mmap.PAGESIZE, mmap.PAGESIZE)
                for page in range(pages):
                    found = area[page * mmap.PAGESIZE : page * mmap.PAGESIZE + 64]
                    if found != (bytes(64) if page == drop else mark):
                        raise AssertionError(f"thread {number}: page {page} holds {found[:4]!r}")
            passes[number] += 1

    errors = run_all([lambda number=number: body(number) for number in range(threads)])  # type: ignore[misc]
    return {"errors": errors, "passes": passes}


def pipes(pairs: int, bytes_each: int) -> dict[str, object]:
    """Sends numbered bytes through `pairs` pipes at once; each reader checks the order."""

    def writer(fd: int) -> None:
        with os.fdopen(fd, "wb", buffering=0) as pipe:
            data = bytes(range(256)) * 40
            sent = 0
            while sent < bytes_each:
                sent += pipe.write(data[sent % 256 :][: bytes_each - sent]) or 0

    def reader(fd: int) -> None:
        received = 0
        with os.fdopen(fd, "rb", buffering=0) as pipe:
            while chunk := pipe.read(5000):
                expected = (bytes(range(256)) * 21)[received % 256 :][: len(chunk)]
                if chunk != expected:
                    raise AssertionError(f"wrong bytes after {received}")
                received += len(chunk)
        if received != bytes_each:
            raise AssertionError(f"{received} of {bytes_each} bytes arrived")

    bodies: list[Callable[[], None]] = []
    for _ in range(pairs):
        out, into = os.pipe()
        bodies.append(lambda out=out: reader(out))  # type: ignore[misc]
        bodies.append(lambda into=into: writer(into))  # type: ignore[misc]
    return {"errors": run_all(bodies)}


def monotonic_clock(threads: int, seconds: float) -> dict[str, object]:
    """Hands one time stamp around between threads: the clock must never run backwards between CPUs."""
    lock = threading.Lock()
    latest = [time.monotonic_ns()]
    reads = [0]

    def body() -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for _ in range(100):
                with lock:
                    now = time.monotonic_ns()
                    if now < latest[0]:
                        raise AssertionError(f"the clock went back by {latest[0] - now} ns")
                    latest[0] = now
                    reads[0] += 1

    errors = run_all([body] * threads)
    return {"errors": errors, "reads": reads[0]}
