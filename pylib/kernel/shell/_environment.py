"""What a thread sees as its process: standard streams, `sys.argv`, `__main__`.

There is one process, and several sessions live in it. `sys.stdin`, `sys.stdout`, `sys.stderr`,
`sys.argv` and `sys.modules["__main__"]` therefore are stand-ins, which find out on each use whom
the calling thread works for:

    print() ──► sys.stdout (stand-in) ──► current() ──► the session's terminal, a command's pipe,
                                                        or the log, when the session has ended

`current()` is a context variable. A thread inherits the context of the thread that starts it
(`sys.flags.thread_inherit_context`), and asyncio's tasks and callbacks that of their creator. Where
there is none, as in bare `_thread` threads, the machine's first environment counts.
"""

import builtins
import sys
import threading
import types
from collections.abc import Callable, Iterator, MutableSequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TextIO, cast

from kernel._reload import keep


@dataclass(slots=True, eq=False)
class Environment:
    """The streams, arguments and main module of whoever runs in it. Threads may share it."""

    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    main: types.ModuleType
    argv: list[str] = field(default_factory=lambda: [""])
    #: The session that it belongs to.
    session: Any = None

    def derive(self, **changes: Any) -> "Environment":
        """Returns a copy with other values for the fields that are named."""
        values = {name: getattr(self, name) for name in ("stdin", "stdout", "stderr", "main", "argv", "session")}
        return Environment(**(values | changes))


# A reload of this module leaves these as they are: whoever works here has his environment through them.
_current: ContextVar[Environment] = globals().get("_current") or ContextVar("environment")
_first: Environment | None = globals().get("_first")
_installing: threading.Lock = globals().get("_installing") or threading.Lock()


def current() -> Environment:
    """Returns the environment of the calling thread."""
    environment = _current.get(None) or _first
    if environment is None:
        raise RuntimeError("the environments of this process are not set up")
    return environment


@contextmanager
def entered(environment: Environment) -> Iterator[None]:
    """Has the calling thread, and what it starts meanwhile, work in `environment`."""
    token = _current.set(environment)
    try:
        yield
    finally:
        _current.reset(token)


class Stream:
    """Stands for one standard stream of whoever uses it."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def _target(self) -> Any:
        return getattr(current(), self._name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target(), name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._target())

    def __next__(self) -> str:
        return cast(str, next(self._target()))

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self._target().close()

    def __repr__(self) -> str:
        return f"<{self._name} of the session: {self._target()!r}>"


class Arguments(MutableSequence[str]):
    """Stands for `sys.argv` of whoever uses it."""

    def __getitem__(self, index: Any) -> Any:
        return current().argv[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        current().argv[index] = value

    def __delitem__(self, index: Any) -> None:
        del current().argv[index]

    def __len__(self) -> int:
        return len(current().argv)

    def insert(self, index: int, value: str) -> None:
        """See `list.insert`."""
        current().argv.insert(index, value)

    def __add__(self, other: list[str]) -> list[str]:
        return current().argv + other

    def __eq__(self, other: object) -> bool:
        return list(self) == (list(other) if isinstance(other, Arguments) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(current().argv)


class Main(types.ModuleType):
    """Stands for `__main__` of whoever uses it; pickle finds classes of a session through it."""

    def __getattribute__(self, name: str) -> Any:
        return getattr(current().main, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(current().main, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(current().main, name)

    def __dir__(self) -> list[str]:
        return dir(current().main)


STREAMS = {
    name: keep(globals().get("STREAMS", {}).get(name), Stream, partial(Stream, name))
    for name in ("stdin", "stdout", "stderr")
}
_ARGUMENTS = keep(globals().get("_ARGUMENTS"), Arguments)
_MAIN = keep(globals().get("_MAIN"), Main, partial(Main, "__main__"))


def _read_line(prompt: object = "", /) -> str:
    """Stands for `input`: as the caller's session reads lines, or from whatever its stdin is."""
    session = current().session
    line = None if session is None else session.input(prompt)
    return _original_input(prompt) if line is None else cast(str, line)


def _show_value(value: object) -> None:
    """Stands for `sys.displayhook`: `_` is the caller's session's own."""
    if value is None:
        return
    main = current().main
    main.__dict__["_"] = None
    try:
        print(repr(value))
    except UnicodeEncodeError:
        print(ascii(value))
    main.__dict__["_"] = value


_original_input: Callable[[object], str] = globals().get("_original_input") or builtins.input


def ensure_installed() -> None:
    """Puts the stand-ins in place, if they are not yet.

    What was there before becomes the environment of threads that belong to no session.
    """
    global _first
    with _installing:
        if _first is not None:
            return
        _first = Environment(sys.stdin, sys.stdout, sys.stderr, sys.modules["__main__"], sys.argv)
        for name, stream in STREAMS.items():
            setattr(sys, name, stream)
        sys.argv = cast(list[str], _ARGUMENTS)
        sys.modules["__main__"] = _MAIN
        _install_functions()


def _install_functions() -> None:
    builtins.input = _read_line
    sys.displayhook = _show_value


def adopt_changes() -> None:
    """Makes what was assigned to `sys.stdout` and its like count for the calling session alone.

    An assignment replaces the stand-in for everybody; this puts it back and keeps the new value in
    the caller's environment.
    """
    environment = current()
    for name, stream in STREAMS.items():
        found = getattr(sys, name, None)
        if found is not stream:
            setattr(environment, name, found)
            setattr(sys, name, stream)
    if sys.argv is not cast(Any, _ARGUMENTS):
        environment.argv = sys.argv
        sys.argv = cast(list[str], _ARGUMENTS)
    sys.modules["__main__"] = _MAIN


if _first is not None:
    # Reloaded.
    _install_functions()
