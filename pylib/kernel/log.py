"""The kernel log: lines with a time stamp, printed on the console and kept in memory.

    from kernel import log
    log.info("disk %s has %d sectors", name, count)

`debug`, `info`, `warn` and `error` each log their message, one line of the log per line of text. A
line names its target, the module that logs it; `target=` names another. Threads may share
everything here.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import _hal

__all__ = ["DEBUG", "INFO", "WARN", "ERROR", "Record", "debug", "info", "warn", "error", "exception", "records"]

DEBUG: Final = 0
INFO: Final = 1
WARN: Final = 2
ERROR: Final = 3

#: Where the kernel keeps its log; a read is one record (Linux's ABI/testing/dev-kmsg).
_DEVICE = "/dev/kmsg"
#: The longest record.
_RECORD_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the log."""

    #: Microseconds since power-on.
    time_us: int
    #: Its place in the log; grows, not by one.
    sequence: int
    #: The line without its time stamp: `[PythonOS] INFO kernel.boot: ...`.
    text: str

    def __str__(self) -> str:
        """Returns the line as the console showed it."""
        return f"[{self.time_us // 1_000_000:5}.{self.time_us % 1_000_000:06}] {self.text}"


def debug(message: object, *args: object, target: str | None = None) -> None:
    """Logs what only somebody who looks for a fault wants to know.

    Arguments: `message` is text, with `%` fields if there are `args`; `target` names who speaks.
    Raises `TypeError` or `ValueError` if `args` do not fit the fields.
    """
    _write(DEBUG, message, args, target)


def info(message: object, *args: object, target: str | None = None) -> None:
    """Logs what happened. Arguments and errors: see `debug`."""
    _write(INFO, message, args, target)


def warn(message: object, *args: object, target: str | None = None) -> None:
    """Logs what should not have happened and does no harm. Arguments and errors: see `debug`."""
    _write(WARN, message, args, target)


def error(message: object, *args: object, target: str | None = None) -> None:
    """Logs what went wrong. Arguments and errors: see `debug`."""
    _write(ERROR, message, args, target)


def exception(problem: BaseException, message: object, *args: object, target: str | None = None) -> None:
    """Logs an error and the traceback of the exception `problem`. Other arguments and errors: see `debug`."""
    import traceback

    text = str(message) % args if args else str(message)
    lines = traceback.format_exception(type(problem), problem, problem.__traceback__)
    _write(ERROR, text + "\n" + "".join(lines), (), target)


def records() -> Iterator[Record]:
    """Yields the lines of the log, oldest first, up to now.

    Raises `OSError` if the log cannot be read.
    """
    fd = os.open(_DEVICE, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        while True:
            try:
                data = os.read(fd, _RECORD_BYTES)
            except BlockingIOError:
                return
            except BrokenPipeError:
                # The oldest lines made room for new ones meanwhile; the next read goes on after them.
                continue
            if not data:
                return
            yield _parse(data)
    finally:
        os.close(fd)


def _parse(data: bytes) -> Record:
    """Reads `level,sequence,microseconds,flags;text`."""
    head, _, text = data.partition(b";")
    _, sequence, time_us, *_ = head.split(b",")
    # Lines that begin with a blank are properties of the record for other programs.
    line = text.partition(b"\n")[0]
    return Record(int(time_us), int(sequence), line.decode(errors="replace"))


def _write(level: int, message: object, args: tuple[object, ...], target: str | None) -> None:
    text = str(message) % args if args else str(message)
    if target is None:
        # The caller of the function that called this one.
        name = sys._getframe(2).f_globals.get("__name__", "python")
        target = "user" if name == "__main__" else str(name)
    for line in text.splitlines() or [""]:
        _hal.log(level, target, line)
