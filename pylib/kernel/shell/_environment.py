"""What a thread sees as its process: standard streams, `sys.argv`, `__main__`.

There is one process, and several sessions live in it. What `sys.stdin`, `sys.stdout`, `sys.stderr`
and `sys.modules["__main__"]` give therefore are stand-ins, which find out on each use whom the
calling thread works for:

    print() ──► Printed ──► current() ──► the session's terminal, a command's pipe, what somebody
                                          assigned to `sys.stdout`, or the log, when the session
                                          has ended
    sys.stdout ──► Stream ──► the same, but for what was assigned

`sys` is of class `System`: to assign to `sys.stdout` or `sys.argv` counts for whoever does it alone,
and `sys.stdout` is what he has assigned, if he has. A `Stream` that was taken before goes on to stand
for the stream before: what is assigned may write to it, and assigning it again ends the change, as
`contextlib.redirect_stdout` does.

`current()` is a context variable. A thread inherits the context of the thread that starts it
(`sys.flags.thread_inherit_context`), and asyncio's tasks and callbacks that of their creator. Where
there is none, as in bare `_thread` threads, the machine's first environment counts.
"""

import builtins
import sys
import threading
import types
from collections.abc import Callable, Iterator
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
    #: By name, the streams in whose place others were assigned.
    replaced: dict[str, TextIO] = field(default_factory=dict)

    def derive(self, **streams: TextIO) -> "Environment":
        """Returns a copy with other streams where they are named."""
        names = ("stdin", "stdout", "stderr", "main", "argv", "session")
        copy = Environment(**{name: getattr(self, name) for name in names}, replaced=dict(self.replaced))
        for name, stream in streams.items():
            copy.set_stream(name, stream)
        return copy

    def set_stream(self, name: str, stream: TextIO) -> None:
        """Gives it a stream for good; forgets what was assigned in place of the one before."""
        self.restore_stream(name)
        setattr(self, name, stream)

    def set_original_stream(self, name: str, stream: TextIO) -> None:
        """Gives it a stream in place of `original_stream(name)`; what was assigned goes on to count."""
        if name in self.replaced:
            self.replaced[name] = stream
        else:
            setattr(self, name, stream)

    def replace_stream(self, name: str, stream: TextIO) -> None:
        """Has another stream count until `restore_stream`."""
        self.replaced.setdefault(name, getattr(self, name))
        setattr(self, name, stream)

    def restore_stream(self, name: str) -> None:
        """Undoes `replace_stream`, however often that was called."""
        if name in self.replaced:
            setattr(self, name, self.replaced.pop(name))

    def original_stream(self, name: str) -> TextIO:
        """Returns a stream without regard to what was assigned in its place."""
        stream = self.replaced.get(name)
        return cast(TextIO, getattr(self, name)) if stream is None else stream


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
    """Stands for one standard stream of whoever uses it, as it is unless another was assigned."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def _target(self) -> Any:
        return current().original_stream(self._name)

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


class Printed(Stream):
    """Stands for what `print` and the interpreter itself use: what was assigned, if something was."""

    __slots__ = ()

    def _target(self) -> Any:
        return getattr(current(), self._name)


class _StreamOfSys:
    """The attribute `stdin`, `stdout` or `stderr` of `sys`. The interpreter itself looks in the module's dictionary."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, module: object, owner: object) -> object:
        environment = current()
        return getattr(environment, self._name) if self._name in environment.replaced else STREAMS[self._name]

    def __set__(self, module: object, value: Any) -> None:
        if value is STREAMS[self._name] or value is _PRINTED[self._name]:
            current().restore_stream(self._name)
        else:
            current().replace_stream(self._name, value)


class System(types.ModuleType):
    """The class of module `sys`."""

    stdin, stdout, stderr = _StreamOfSys("stdin"), _StreamOfSys("stdout"), _StreamOfSys("stderr")

    def __new__(cls, name: str, doc: str | None = None) -> types.ModuleType:  # type: ignore[misc]
        """Makes a plain module, as those want who write `type(sys)` for the class of modules, importlib too."""
        return types.ModuleType(name, doc)

    @property
    def argv(self) -> list[str]:
        """The arguments of whoever asks."""
        return current().argv

    @argv.setter
    def argv(self, value: list[str]) -> None:
        current().argv = value


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


_NAMES = ("stdin", "stdout", "stderr")
STREAMS = {name: keep(globals().get("STREAMS", {}).get(name), Stream, partial(Stream, name)) for name in _NAMES}
_PRINTED = {name: keep(globals().get("_PRINTED", {}).get(name), Printed, partial(Printed, name)) for name in _NAMES}
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
        for name, stream in _PRINTED.items():
            setattr(sys, name, stream)
        sys.modules["__main__"] = _MAIN
        _install_classes()


def _install_classes() -> None:
    """Puts in place what a reload of this module has made anew."""
    sys.__class__ = System
    builtins.input = _read_line
    sys.displayhook = _show_value


def restore_main() -> None:
    """Puts the stand-in for `__main__` back, where a program has put a module of its own."""
    sys.modules["__main__"] = _MAIN


if _first is not None:
    _install_classes()
