"""The kernel log as the shell writes to it."""

import io
import os
import sys
from typing import TextIO, cast

from kernel.shell import _interrupts


class _LogStream(io.TextIOBase):
    """A text stream whose lines go to the kernel log. Threads may share it."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self._source = source
        self._line = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            write(f"{self._source}: {line}")
        return len(text)

    def flush(self) -> None:
        """Does nothing: a line is written when it ends."""


def stream(source: str) -> TextIO:
    """Returns a stream for what is printed when nobody is there to read it; `source` says by whom."""
    return cast(TextIO, _LogStream(source))


def write(text: str) -> None:
    """Adds a line to the kernel log. On a host, whose log is not ours, it is dropped."""
    if not _interrupts.is_native():
        return
    if "_hal" in sys.builtin_module_names:
        from kernel import log

        log.info("%s", text, target="kernel.shell")
        return
    # The file takes 1,024 bytes at a time.
    fd = os.open("/dev/kmsg", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode(errors="replace")[:1000] + b"\n")
    finally:
        os.close(fd)
