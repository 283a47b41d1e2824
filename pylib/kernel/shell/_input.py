"""Reading from a terminal: the bytes, and the two kinds of prompt over them.

`TtyInput` is the one place where a session's bytes are read, so that what the full-screen prompt has
read beyond its statement goes to whoever reads next: the next prompt, or `input()` of a program.
"""

import errno
import io
import os
import select
import signal
from collections.abc import Callable
from typing import Protocol, TextIO

from kernel.shell import _interrupts

#: What a terminal that edits lines itself takes of one (`MAX_CANON` of the kernel, its newline
#: included): it drops the rest, so a line of this length is not what was typed.
TTY_LINE = 4096

#: The longest line that a prompt takes.
LINE_LIMIT = 64 * 1024


class LineTooLong(Exception):
    """A line longer than a prompt takes; its text is lost."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the line is too long: the terminal takes {limit} characters")


class Prompt(Protocol):
    """One way to ask for statements. The session's own thread uses it."""

    def read(self, ps1: str, ps2: str, wants_more: Callable[[str], bool]) -> str:
        """Returns the next statement, as long as `wants_more` of it says no.

        Raises `EOFError` at the end of input, `KeyboardInterrupt`, `LineTooLong`.
        """

    def input(self, prompt: str) -> str:
        """Reads one line for a program, without its newline; raises `EOFError`."""


class TtyInput:
    """The bytes that a terminal delivers. One thread at a time reads."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._returned = b""
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        self._waiting = select.poll()
        self._waiting.register(fd, select.POLLIN)

    def is_ready(self) -> bool:
        """Tells whether a read would return at once."""
        return bool(self._returned) or bool(self._poll.poll(0))

    def wake_for(self, fd: int) -> None:
        """Has `wait` end when there is something to read from `fd`, too."""
        self._waiting.register(fd, select.POLLIN)

    def wait(self) -> bool:
        """Waits until a read would return at once, or for what `wake_for` names; tells whether it was the former."""
        return bool(self._returned) or any(fd == self.fd for fd, _ in self._waiting.poll())

    def take(self, size: int) -> bytes:
        """Returns up to `size` bytes, none at the end; waits for the first."""
        if self._returned:
            data, self._returned = self._returned[:size], self._returned[size:]
            return data
        # What `is_ready` saw, a Ctrl-C may have thrown away: then this waits, and has to end by the next one.
        mask = _interrupts.change_mask(signal.SIG_BLOCK, ())
        try:
            _interrupts.change_mask(signal.SIG_UNBLOCK, _interrupts.SIGNALS)
            return os.read(self.fd, size)
        except OSError as error:
            # The other side of a terminal has gone.
            if error.errno == errno.EIO:
                return b""
            raise
        finally:
            _interrupts.change_mask(signal.SIG_SETMASK, mask)

    def give_back(self, data: bytes) -> None:
        """Puts bytes before those that come next."""
        self._returned = data + self._returned

    def take_line(self, size: int) -> bytes:
        """Like `take`, but nothing beyond the end of a line: nobody gets more than belongs to him."""
        end = self._returned.find(b"\n") + 1
        return self.take(min(size, end or size))


class TtyReader(io.RawIOBase):
    """A `TtyInput` as a file; to close it closes nothing else."""

    def __init__(self, source: TtyInput) -> None:
        super().__init__()
        self._source = source

    def fileno(self) -> int:
        return self._source.fd

    def readable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return os.isatty(self._source.fd)

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        data = self._source.take_line(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class PlainPrompt:
    """The prompt for terminals that can do nothing: they, or the kernel, edit the line."""

    def __init__(self, source: TtyInput, wait: Callable[[], None], stdout: Callable[[], TextIO]) -> None:
        self._source = source
        self._wait = wait
        self._stdout = stdout

    def read(self, ps1: str, ps2: str, wants_more: Callable[[str], bool]) -> str:
        """See `Prompt`."""
        lines = [self._line(ps1)]
        while wants_more("\n".join(lines)):
            lines.append(self._line(ps2))
        return "\n".join(lines)

    def _line(self, prompt: str) -> str:
        stdout = self._stdout()
        stdout.write(prompt)
        stdout.flush()
        data = b""
        while not data.endswith(b"\n"):
            if not self._source.is_ready():
                self._wait()
            piece = self._source.take_line(TTY_LINE)
            if not piece:
                if data:
                    break
                raise EOFError
            data += piece
            if len(data) >= LINE_LIMIT:
                self._skip_line(data)
                raise LineTooLong(LINE_LIMIT)
        if len(data) >= TTY_LINE and os.isatty(self._source.fd):
            raise LineTooLong(TTY_LINE - 1)
        return data.decode(errors="replace").rstrip("\r\n")

    def _skip_line(self, data: bytes) -> None:
        while data and not data.endswith(b"\n"):
            data = self._source.take_line(TTY_LINE)

    def input(self, prompt: str) -> str:
        """See `Prompt`."""
        return self._line(prompt)
