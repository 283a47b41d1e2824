"""Whole programs on several threads, for `make bench`: the same work, cut into as many parts as there are threads.

Each takes the number of threads and returns its result, which does not depend on that number.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable

#: Words of the text that `word_count` reads.
WORDS = ("the", "a", "of", "and", "to", "in", "is", "you", "that", "it", "he", "was", "for", "on", "are", "as")


def on_threads(threads: int, body: Callable[[int], None]) -> None:
    """Runs `body(0)` to `body(threads - 1)` at once, each on a thread of its own."""
    running = [threading.Thread(target=body, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def mandelbrot(threads: int) -> int:
    """Counts the iterations of 96 x 64 points; a thread takes row after row."""
    width, height, limit = 96, 64, 60
    rows = itertools.count()
    totals = [0] * height

    def body(_: int) -> None:
        while (row := next(rows)) < height:
            total = 0
            for column in range(width):
                c = complex(column / width * 3 - 2.2, row / height * 2.4 - 1.2)
                z = 0j
                steps = 0
                while steps < limit and z.real * z.real + z.imag * z.imag < 4:
                    z = z * z + c
                    steps += 1
                total += steps
            totals[row] = total

    on_threads(threads, body)
    return sum(totals)


def n_queens(threads: int) -> int:
    """Counts the ways to put 10 queens on a board; a thread takes the places of the first two after one another."""
    size = 10
    full = (1 << size) - 1
    starts = [(first, second) for first in range(size) for second in range(size) if abs(first - second) > 1]
    places = itertools.count()
    found = [0] * len(starts)

    def solutions(columns: int, left: int, right: int) -> int:
        if columns == full:
            return 1
        count = 0
        free = full & ~(columns | left | right)
        while free:
            queen = free & -free
            free ^= queen
            count += solutions(columns | queen, (left | queen) << 1, (right | queen) >> 1)
        return count

    def body(_: int) -> None:
        while (place := next(places)) < len(starts):
            first, second = (1 << column for column in starts[place])
            found[place] = solutions(first | second, (first << 1 | second) << 1, (first >> 1 | second) >> 1)

    on_threads(threads, body)
    return sum(found)


def word_count(threads: int) -> int:
    """Counts the words of 2,000 lines in one dict, under a lock a line; returns how often the first is there."""
    lines = [" ".join(WORDS[(line * 7 + place * place) % len(WORDS)] for place in range(24)) for line in range(2000)]
    counts: dict[str, int] = {}
    lock = threading.Lock()

    def body(number: int) -> None:
        for line in lines[number::threads]:
            words = [word.strip(".,").lower() for word in line.split()]
            with lock:
                for word in words:
                    counts[word] = counts.get(word, 0) + 1

    on_threads(threads, body)
    if sum(counts.values()) != 24 * len(lines):
        raise AssertionError(f"counted {sum(counts.values())} words of {24 * len(lines)}")
    return counts[WORDS[0]]


def k_means(threads: int) -> tuple[int, ...]:
    """Puts 3,000 points into 5 clusters, four rounds that all threads begin together; returns how many are in each."""
    points = [((i * 7919) % 10_007 / 10_007, (i * 104_729) % 10_009 / 10_009) for i in range(3000)]
    clusters = 5
    centres = points[:clusters]
    sums: list[list[tuple[float, float, int]]] = [[] for _ in range(threads)]
    together = threading.Barrier(threads)

    def assign(number: int) -> list[tuple[float, float, int]]:
        total = [(0.0, 0.0, 0)] * clusters
        for x, y in points[number::threads]:
            nearest = min(range(clusters), key=lambda k: (x - centres[k][0]) ** 2 + (y - centres[k][1]) ** 2)
            sum_x, sum_y, count = total[nearest]
            total[nearest] = (sum_x + x, sum_y + y, count + 1)
        return total

    def body(number: int) -> None:
        for _ in range(4):
            sums[number] = assign(number)
            if together.wait() == 0:
                for k in range(clusters):
                    count = sum(part[k][2] for part in sums)
                    if count:
                        centres[k] = (sum(part[k][0] for part in sums) / count, sum(part[k][1] for part in sums) / count)
            together.wait()

    on_threads(threads, body)
    return tuple(sum(part[k][2] for part in sums) for k in range(clusters))


PROGRAMS: tuple[Callable[[int], object], ...] = (mandelbrot, n_queens, word_count, k_means)


def speed_up(program: Callable[[int], object], threads: int) -> float:
    """Returns how many times as fast a program is on `threads` threads as on one; raises if the results differ."""
    taken = []
    results = []
    for count in (1, threads):
        began = time.perf_counter()
        results.append(program(count))
        taken.append(time.perf_counter() - began)
    if results[0] != results[1]:
        raise AssertionError(f"{program.__name__} on {threads} threads: {results[1]}, on one: {results[0]}")
    return taken[0] / taken[1]
