"""Keeps what was built from C, each result under a name made of everything that went into it.

A result is a folder `<name>-<hash>` in the cache, complete or absent: it is built beside its
place, under a lock, and moved there at the end. A build that was interrupted finds its own
unfinished folder again and goes on. Deleting any of it only costs the time to build it again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.paths import REPOSITORY, cache
from harness.progress import Progress

#: How many results of one name stay: enough for some branches side by side.
KEPT_RESULTS = 4


@dataclass
class Inputs:
    """Everything that decides a result: texts by name, and files by path in the repository."""

    texts: dict[str, str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    def digest(self) -> str:
        """Returns a hash of all inputs."""
        total = hashlib.sha256()
        for name, text in sorted(self.texts.items()):
            total.update(f"{name}={len(text)}:{text}\n".encode())
        for path in sorted(expand(self.files)):
            total.update(f"{path.relative_to(REPOSITORY)}:{path.stat().st_size}\n".encode())
            total.update(path.read_bytes())
        return total.hexdigest()[:16]


def expand(paths: Iterable[Path]) -> Iterator[Path]:
    """Yields the files of `paths`, those below folders included."""
    for path in paths:
        if path.is_dir():
            yield from (inner for inner in path.rglob("*") if inner.is_file() and "__pycache__" not in inner.parts)
        else:
            yield path


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Keeps other processes of this user from building the same thing at the same time."""
    folder = cache() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build(name: str, inputs: Inputs, progress: Progress, what: str, recipe: Callable[[Path, Path], None]) -> Path:
    """Returns the folder of a result, made by `recipe(work, output)` unless it exists.

    `work` is the same folder after an interruption; `output` is new each time.
    """
    key = f"{name}-{inputs.digest()}"
    place = cache() / "built" / key
    if place.is_dir():
        os.utime(place)
        return place
    with locked(key):
        if place.is_dir():
            return place
        work = cache() / "work" / key
        work.mkdir(parents=True, exist_ok=True)
        output = cache() / "work" / f"{key}.output"
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()
        with progress.working(what):
            recipe(work, output)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.rename(output, place)
        shutil.rmtree(work, ignore_errors=True)
    _prune(name)
    return place


def _prune(name: str) -> None:
    """Removes the results of this name that were not used for longest, but for a few."""
    results = [path for path in (cache() / "built").glob(f"{name}-*") if len(path.name) == len(name) + 17]
    results.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for old in results[KEPT_RESULTS:]:
        shutil.rmtree(old, ignore_errors=True)
