"""The prompt for terminals that can move their cursor: CPython's `_pyrepl`, one per session.

`_pyrepl` keeps one prompt per process, for the process's terminal; here each session has objects of
its own, so histories and completions stay apart. What differs from the base classes:

- waiting for a key runs the session's event loop (`wait`);
- what is typed faster than it can be drawn is drawn when it pauses, and runs of plain characters are
  inserted as one, so that a long paste takes no time that grows with its square;
- bytes that are no UTF-8 become U+FFFD instead of holding up what follows;
- a line has a longest length.
"""

import codecs
import os
from collections.abc import Callable
from contextlib import suppress
from rlcompleter import Completer
from typing import Any

from _pyrepl._module_completer import ModuleCompleter
from _pyrepl.console import Event
from _pyrepl.readline import ReadlineAlikeReader, ReadlineConfig
from _pyrepl.unix_console import UnixConsole

from kernel.shell._input import LINE_LIMIT, LineTooLong, TtyInput

#: How much is read at once.
_CHUNK = 4096

#: What a terminal sends after pasted text.
_PASTE_ENDS = "\x1b[201~"


class _Console(UnixConsole):  # type: ignore[misc]
    """A terminal whose bytes come from a `TtyInput`."""

    def __init__(self, source: TtyInput, output: int, terminal: str, wait: Callable[[], None]) -> None:
        # The last thing it does is to set a signal handler, which the main thread alone may.
        with suppress(ValueError):
            super().__init__(source.fd, output, terminal, "utf-8")
        self._source = source
        self._wait_for_input = wait
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._typed = ""

    def _fetch(self) -> None:
        data = self._source.take(_CHUNK)
        if not data:
            raise EOFError
        self._typed += self._decoder.decode(data)

    def is_behind(self) -> bool:
        """Tells whether more has been typed than was looked at."""
        return bool(self._typed) or self._source.is_ready()

    def take_plain(self) -> str:
        """Returns the printable characters that come next, if several are there."""
        if not self.event_queue.empty() or self.event_queue.buf:
            return ""
        end = 0
        while end < len(self._typed) and self._typed[end].isprintable():
            end += 1
        if end < 2:
            return ""
        text, self._typed = self._typed[:end], self._typed[end:]
        return text

    def wait(self, timeout: float | None = None) -> bool:
        """Waits for a key; with a time-out of 0 only looks. Other time-outs are for hooks, of which there are none."""
        if self._typed or not self.event_queue.empty():
            return True
        if not self._source.is_ready():
            if timeout == 0:
                return False
            self._wait_for_input()
        return True

    def get_event(self, block: bool = True) -> Event | None:
        """Returns the next key."""
        if not block and not self.wait(0):
            return None
        while self.event_queue.empty():
            if not self._typed:
                self._fetch()
            if self._typed:
                char, self._typed = self._typed[0], self._typed[1:]
                for byte in char.encode():
                    self.event_queue.push(byte)
        return self.event_queue.get()

    def getpending(self) -> Event:
        """Returns everything that has been typed as one event; waits for the first of it."""
        self.wait()
        event = Event("key", "", b"")
        while not self.event_queue.empty():
            event.data += self.event_queue.get().data
        if not self._typed:
            self._fetch()
        # A bracketed paste asks for more until its end mark; what follows that is no part of it.
        pasted, mark, rest = self._typed.partition(_PASTE_ENDS)
        event.data += pasted + mark
        self._typed = rest
        return event

    def restore(self) -> None:
        """Gives the terminal back, and what was read too early."""
        super().restore()
        self._source.give_back(self._typed.encode())
        self._typed = ""


class _Reader(ReadlineAlikeReader):  # type: ignore[misc]
    """An editor of statements that keeps up with a paste."""

    def handle1(self, block: bool = True) -> bool:
        """Handles what was typed next."""
        self.console.wait(None if block else 0)
        # In searches, key sequences and counts each key has a meaning of its own.
        is_plain = self.input_trans is self._keys and not self._keys.stack and self.arg is None
        if is_plain and (text := self.console.take_plain()):
            self._check_length(len(text))
            self.cmpltn_reset()
            self.insert(text)
            self.update_screen()
            return True
        self._check_length(1)
        return bool(super().handle1(block))

    def __post_init__(self) -> None:
        super().__post_init__()
        self._keys = self.input_trans

    def _check_length(self, more: int) -> None:
        if len(self.buffer) + more > LINE_LIMIT:
            self._skip_line()
            raise LineTooLong(LINE_LIMIT)

    def _skip_line(self) -> None:
        console = self.console
        while "\n" not in console._typed:
            console._typed = ""
            console.wait()
            console._fetch()
        console._typed = console._typed.partition("\n")[2]

    def refresh(self) -> None:
        """Draws the statement, unless what was typed since will change it at once."""
        if self.console.is_behind() and not self._ends:
            self.dirty = True
        else:
            super().refresh()

    _ends = False

    def do_cmd(self, cmd: Any) -> None:
        """Runs the command of a key; the one that ends a statement draws it whatever follows."""
        self._ends = cmd[0] in ("accept", "maybe-accept", "maybe_accept")
        try:
            super().do_cmd(cmd)
        finally:
            self._ends = False


class FullScreenPrompt:
    """Colours, history, completion, statements of many lines. The session's own thread uses it."""

    def __init__(
        self, source: TtyInput, output: int, terminal: str, namespace: dict[str, object], wait: Callable[[], None]
    ) -> None:
        config = ReadlineConfig(
            readline_completer=Completer(namespace).complete, module_completer=ModuleCompleter(namespace)
        )
        self._reader = _Reader(console=_Console(source, output, terminal, wait), config=config)
        self._output = output

    def read(self, ps1: str, ps2: str, wants_more: Callable[[str], bool]) -> str:
        """See `kernel.shell._input.Prompt`."""
        return self._edit(ps1, ps2, wants_more)

    def input(self, prompt: str) -> str:
        """See `kernel.shell._input.Prompt`; the line is no part of the history."""
        with self._reader.suspend_history(), self._reader.suspend_colorization():
            return self._edit(prompt, "", None)

    def forget_last(self) -> None:
        """Takes the last statement out of the history."""
        if self._reader.history:
            self._reader.history.pop()

    def _edit(self, ps1: str, ps2: str, wants_more: Callable[[str], bool] | None) -> str:
        reader = self._reader
        reader.more_lines = wants_more
        reader.ps1 = reader.ps2 = ps1
        reader.ps3, reader.ps4 = ps2, ""
        try:
            return str(reader.readline())
        except KeyboardInterrupt:
            # The next statement begins below this one, without its menu or search.
            reader.cmpltn_reset()
            if reader.input_trans is reader.isearch_trans:
                reader.input_trans = reader._keys
            os.write(self._output, b"\r\n")
            raise
        finally:
            reader.more_lines = None
            reader.paste_mode = False
