"""Runs commands of /bin in this interpreter, as a session does: of the guest, or of the host in tests/pylib."""

from __future__ import annotations

import ast
import asyncio
import inspect
import io
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from kernel import CommandError
from kernel.command import error_line

BIN = Path("/bin")


@dataclass(frozen=True)
class Result:
    """What a command printed, the status that it asked for, and where it left the session."""

    out: str
    err: str
    status: int
    cwd: str


def run(name: str, *arguments: str, stdin: bytes = b"") -> Result:
    """Runs `/bin/NAME.py`, or the file at the path `name`, with its own streams of bytes."""
    path = Path(name) if "/" in name else BIN / f"{name}.py"
    code = compile(path.read_text(), str(path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    namespace: dict[str, object] = {"__name__": "__main__", "argv": [name, *arguments], "cwd": str(Path.cwd())}
    saved = sys.stdin, sys.stdout, sys.stderr
    out, err = io.BytesIO(), io.StringIO()
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8", newline="\n")
    stdout = io.TextIOWrapper(out, encoding="utf-8", newline="\n", write_through=True)
    sys.stdout = stdout
    sys.stderr = err
    status = 0
    try:
        returned = eval(code, namespace)
        if inspect.iscoroutine(returned):
            asyncio.run(returned)
    except SystemExit as request:
        status = request.code if isinstance(request.code, int) else int(request.code is not None)
    except (CommandError, OSError) as error:
        print(error_line(name, error), file=err)
        status = 1
    finally:
        stdout.flush()
        sys.stdin, sys.stdout, sys.stderr = saved
    return Result(out.getvalue().decode(errors="replace"), err.getvalue(), status, str(namespace["cwd"]))


def make_files(folder: Path) -> None:
    """Makes the files that the rows of command_rows.py are about."""
    (folder / "b").write_text("one\ntwo\nthree\n")
    (folder / "a").write_text("x" * 2000)
    (folder / ".hidden").touch()
    (folder / "d" / "e").mkdir(parents=True)
    (folder / "d" / "f").write_text("two\n")
    (folder / "link").symlink_to("b")
    for name in ("a", "b", "d"):
        (folder / name).chmod(0o755 if name == "d" else 0o644)
        os.utime(folder / name, (0, 1_000_000_000))


def run_rows(rows: list[tuple[str, list[str]]]) -> list[tuple[str, str, int]]:
    """Runs each command in a fresh directory of its own; returns what it printed, as output and as error, and its status."""
    here = Path.cwd()
    found = []
    for name, arguments in rows:
        folder = Path(tempfile.mkdtemp())
        make_files(folder)
        os.chdir(folder)
        try:
            result = run(name, *arguments)
        finally:
            os.chdir(here)
            shutil.rmtree(folder)
        found.append((result.out, result.err, result.status))
    return found


def run_one(name: str, *arguments: str) -> list[object]:
    """Runs one command; returns what it printed, as output and as error, and its status."""
    result = run(name, *arguments)
    return [result.out, result.err, result.status]


def edit(path: str, script: str) -> list[object]:
    """Has `ed` edit a new file; returns what it printed, and the file."""
    Path(path).write_text("one\ntwo\n")
    result = run("ed", path, stdin=script.encode())
    text = Path(path).read_text()
    Path(path).unlink()
    return [result.out, text]


def log(word: str) -> None:
    """Writes a line to the kernel log."""
    from kernel import log

    log.warn(word, target="tests")


def kill_what_runs() -> list[object]:
    """Kills threads that compute, wait for a lock and sleep; returns how each ended, and what `kill` printed.

    The latter two are killed once they do: what comes just before a wait is seen after it (docs/sessions.md).
    """
    import threading
    import time

    from kernel.scheduler import scheduler

    def is_waiting(key: str) -> bool:
        return any(str(info.tid) == key and info.state == "waiting" for info in scheduler.threads())

    def compute(begun: threading.Event) -> None:
        begun.set()
        while True:
            pass

    def wait(begun: threading.Event) -> None:
        begun.set()
        threading.Event().wait()

    def sleep(begun: threading.Event) -> None:
        begun.set()
        time.sleep(1000)

    found: list[object] = []
    for work in (compute, wait, sleep):
        begun = threading.Event()
        task = scheduler.spawn(work, begun)
        begun.wait()
        while work is not compute and not is_waiting(task.id):
            time.sleep(0.001)
        printed = run_one("kill", task.id)
        task.join(20)
        found.append([work.__name__, task.state, printed])
    scheduler.reap()
    return found
