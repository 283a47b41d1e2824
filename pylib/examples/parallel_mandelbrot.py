"""The Mandelbrot set in text, each CPU computing rows of it: `parallel_mandelbrot.py [columns [rows]]`."""

from __future__ import annotations

import os
import sys
import threading
import time

SHADES = " .:-=+*#%@"
STEPS = 200


def row(y: float, columns: int) -> str:
    """Computes one row of the picture."""
    text = []
    for column in range(columns):
        c = complex(-2.2 + 3.2 * column / columns, y)
        z = 0j
        steps = 0
        while steps < STEPS and z.real * z.real + z.imag * z.imag < 4:
            z = z * z + c
            steps += 1
        text.append(SHADES[-1] if steps == STEPS else SHADES[steps % (len(SHADES) - 1)])
    return "".join(text)


def draw(columns: int, rows: int, workers: int) -> tuple[list[str], float]:
    """Computes the picture in so many threads; returns its rows and the seconds that it took."""
    picture = [""] * rows
    began = time.perf_counter()

    def work(first: int) -> None:
        # Every so manieth row: those in the middle take longest.
        for number in range(first, rows, workers):
            picture[number] = row(-1.2 + 2.4 * number / max(rows - 1, 1), columns)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return picture, time.perf_counter() - began


def main(argv: list[str]) -> None:
    """Prints the picture and how much faster all CPUs were than one."""
    columns, rows = (int(word) for word in (*argv[1:3], *("72", "24")[len(argv[1:3]) :]))
    workers = os.process_cpu_count() or 1 if hasattr(os, "process_cpu_count") else os.cpu_count() or 1
    alone, seconds_alone = draw(columns, rows, 1)
    together, seconds = draw(columns, rows, workers)
    print(*together, sep="\n")
    print(f"same picture: {alone == together}")
    print(f"speed-up: {seconds_alone / seconds:.2f} with {workers} workers over one")


if __name__ in ("__main__", "<run_path>"):
    main(globals().get("argv", sys.argv))
