"""Shows how far a long build is, and the end of its log when it fails."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.paths import LOGS

TAIL_LINES = 25


class StepFailed(Exception):
    """A step of the build ended badly; the message is complete as it stands."""


class Progress:
    """Numbers the steps of one run; one thread uses it."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.number = 0
        self.name = ""

    def next(self, name: str) -> None:
        """Goes on to the next step, silently: a step that has nothing to do prints nothing."""
        self.number += 1
        self.name = name

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Prints the step, the time it takes while it runs, and the time it took."""
        head = f"[{self.number}/{self.total}] {self.name}: {what}"
        start = time.monotonic()
        done = threading.Event()
        interactive = sys.stderr.isatty()

        def tick() -> None:
            while not done.wait(1.0):
                print(f"\r{head} ... {time.monotonic() - start:.0f} s", end="", file=sys.stderr, flush=True)

        print(f"{head} ...", end="" if interactive else "\n", file=sys.stderr, flush=True)
        ticker = threading.Thread(target=tick, daemon=True)
        if interactive:
            ticker.start()
        try:
            yield
        except BaseException:
            done.set()
            print(f"\r{head}: failed after {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)
            raise
        done.set()
        if interactive:
            ticker.join()
        print(f"\r{head}: done in {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)


def run(
    command: Sequence[str | Path],
    log_name: str,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Runs a command with its output in `build/logs/<log_name>.log`; shows the log's end on failure."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{log_name}.log"
    words = [str(word) for word in command]
    with log.open("ab") as output:
        output.write(f"$ {shlex.join(words)}\n".encode())
        output.flush()
        try:
            code = subprocess.run(
                words, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False
            ).returncode
        except FileNotFoundError as error:
            raise StepFailed(f"{words[0]}: {error.strerror} (try `make setup`)") from error
    if code != 0:
        tail = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        raise StepFailed(
            f"{words[0]} failed with code {code}; the last lines of {log}:\n"
            + "\n".join(f"    {line}" for line in tail)
        )


def jobs() -> int:
    """Returns how many compilers run at a time: one per CPU this process may use."""
    return max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
