"""Runs a command of /bin in this process, as a session does."""

from __future__ import annotations

import ast
import asyncio
import inspect
import io
import sys
from dataclasses import dataclass
from pathlib import Path

from harness.paths import REPOSITORY
from kernel._errors import CommandError
from kernel.command import error_line

BIN = REPOSITORY / "pylib" / "bin"


@dataclass(frozen=True)
class Result:
    """What a command printed, the status that it asked for, and where it left the session."""

    out: str
    err: str
    status: int
    cwd: str


def run(name: str, *arguments: str, stdin: bytes = b"") -> Result:
    """Runs `/bin/NAME.py` with its own streams of bytes."""
    path = BIN / f"{name}.py"
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
