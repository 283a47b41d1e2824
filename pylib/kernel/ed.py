"""The line editor ed, as POSIX and GNU describe it.

    Editor(sys.stdin, sys.stdout).run("/tmp/notes.txt")

Commands: a append, i insert, c change, d delete, j join, m move, t copy; p print, n with numbers, l
unambiguously, z a screenful, = the number; k mark; s/re/text/ substitute, g and v for all lines that
do or do not match; r read, e edit, E edit anyway, f file name, w write, W append to the file, wq;
u undo; h explain, H always explain, P prompt; q quit, Q quit anyway. Addresses: numbers . $ 'x
/re/ ?re? + - , ; %.

Regular expressions are POSIX basic ones with GNU's additions (`kernel/_ed_patterns.py`).
"""

import os
import re
from collections.abc import Callable
from functools import partial
from typing import Final, TextIO

from kernel._ed_buffer import Buffer, Line
from kernel._ed_commands import Commands
from kernel._ed_patterns import EdError, compile_pattern, replace, translate

__all__ = ["Editor", "EdError", "translate"]

#: Columns that `l` fills before it goes on in the next row; what begins before may go beyond.
_COLUMNS: Final = 72
#: Lines of a screenful of `z`.
_SCREEN: Final = 22

_LIST_ESCAPES: Final = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", "$": "\\$",
}  # fmt: skip


class Editor:
    """A buffer of lines and what commands do to it. One thread at a time may use it."""

    def __init__(self, source: TextIO, sink: TextIO, *, prompt: str = "", is_silent: bool = False) -> None:
        """Reads commands from `source` and prints to `sink`; `is_silent` leaves out the counts of bytes."""
        self._sink = sink
        self._commands = Commands(source, sink)
        self._buffer = Buffer()
        self._prompt = prompt or "*"
        self._has_prompt = bool(prompt)
        self._is_silent = is_silent
        self._explains = False
        self._last_error = ""
        self._path: str | None = None
        # Said once, then what would lose changes is done.
        self._is_warned = False
        self._pattern: re.Pattern[str] | None = None
        self._substitution: tuple[re.Pattern[str], str, bool, int] | None = None
        self._is_in_global = False

    def run(self, path: str | None = None) -> int:
        """Edits the file at `path`, or none yet, until the user quits.

        Returns 0, or 1 if input ended with changes that nobody wrote.
        """
        if path is not None:
            try:
                self._edit(path)
            except EdError as error:
                self._complain(error)
        while True:
            if self._has_prompt:
                self._sink.write(self._prompt)
            line = self._commands.next_line()
            try:
                if line is None:
                    if self._buffer.is_modified and not self._is_warned:
                        self._is_warned = True
                        raise EdError("Warning: buffer modified")
                    return int(self._buffer.is_modified)
                if not self.execute(line):
                    return 0
            except EdError as error:
                self._complain(error)
            except KeyboardInterrupt:
                self._complain(EdError("Interrupt"))

    def execute(self, command: str) -> bool:
        """Does one command (and reads the text that belongs to it); returns False if the user quits.

        Raises `EdError` if it cannot be done; the buffer is then as the part before the error left it.
        """
        self._commands.begin(command)
        was_warned = self._is_warned
        goes_on = self._command(is_global=False)
        if was_warned:
            # Another command came in between.
            self._is_warned = False
        return goes_on

    def _complain(self, error: EdError) -> None:
        self._last_error = str(error)
        self._sink.write("?\n")
        if self._explains:
            self._sink.write(f"{error}\n")

    def _say(self, text: str) -> None:
        self._sink.write(text + "\n")

    # Addresses.

    def _addresses(self) -> list[int]:
        """Reads none, one or two addresses."""
        found: list[int] = []
        after_separator = False
        while True:
            self._commands.skip_blanks()
            value = self._address()
            self._commands.skip_blanks()
            if value is not None:
                found.append(value)
            elif not found and self._commands.peek() in (",", ";", "%") and self._commands.peek():
                separator = self._commands.take()
                end = self._address()
                found = [self._buffer.dot if separator == ";" else 1, len(self._buffer.lines) if end is None else end]
            else:
                if after_separator:
                    found.append(found[-1])
                return found[-2:]
            self._commands.skip_blanks()
            if self._commands.peek() not in (",", ";") or not self._commands.peek():
                return found[-2:]
            after_separator = True
            if self._commands.take() == ";":
                self._buffer.dot = self._buffer.check(found[-1], least=0)

    def _address(self) -> int | None:
        """Reads one address with what is added to it."""
        value = self._base()
        while True:
            self._commands.skip_blanks()
            char = self._commands.peek()
            if char and char in "+-^":
                self._commands.take()
                amount = self._commands.number()
                step = 1 if amount is None else amount
                value = (self._buffer.dot if value is None else value) + (step if char == "+" else -step)
            elif value is not None and char.isdecimal():
                value += self._commands.number() or 0
            else:
                break
        if value is not None:
            self._buffer.check(value, least=0)
        return value

    def _base(self) -> int | None:
        char = self._commands.peek()
        if char.isdecimal():
            return self._commands.number()
        if char == ".":
            self._commands.take()
            return self._buffer.dot
        if char == "$":
            self._commands.take()
            return len(self._buffer.lines)
        if char == "'":
            self._commands.take()
            return self._buffer.marked(self._commands.take())
        if char and char in "/?":
            return self._search()
        return None

    def _search(self) -> int:
        delimiter = self._commands.take()
        return self._buffer.search(self._pattern_until(delimiter), 1 if delimiter == "/" else -1)

    def _pattern_until(self, delimiter: str) -> re.Pattern[str]:
        """Reads an expression with its delimiter, which may lack at the end of the line, and `I`."""
        expression = self._commands.expression(delimiter)
        ignores_case = False
        if self._commands.peek() == delimiter:
            self._commands.take()
            ignores_case = self._commands.peek() == "I"
            if ignores_case:
                self._commands.take()
        return self._compile(expression, ignores_case)

    def _compile(self, expression: str, ignores_case: bool) -> re.Pattern[str]:
        """Compiles an expression, or takes the last one if it is empty; it is the last one from now on."""
        if expression:
            self._pattern = compile_pattern(expression, ignores_case)
        elif self._pattern is None:
            raise EdError("No previous pattern")
        return self._pattern

    # Doing it.

    def _command(self, *, is_global: bool) -> bool:
        """Does the command at the cursor; returns False if it quits."""
        addresses = self._addresses()
        self._commands.skip_blanks()
        name = self._commands.take()
        if name == "":
            self._line_feed(addresses, is_global)
            return True
        if name in "qQ":
            return self._quit(name, addresses)
        if name == "w" and self._commands.peek() == "q":
            self._commands.take()
            self._write(addresses, "w")
            return False
        commands: dict[str, Callable[[list[int]], None]] = {
            "a": self._append, "i": self._insert, "c": self._change, "d": self._delete, "j": self._join,
            "m": self._move, "t": self._copy, "k": self._mark, "s": self._substitute, "r": self._read,
            "p": lambda found: self._print(found, "p"), "n": lambda found: self._print(found, "n"),
            "l": lambda found: self._print(found, "l"), "z": self._scroll, "=": self._show_number,
            "w": lambda found: self._write(found, "w"), "W": lambda found: self._write(found, "W"),
            "e": lambda found: self._edit_command(found, "e"), "E": lambda found: self._edit_command(found, "E"),
            "f": self._file_name, "u": self._undo_command, "h": self._explain, "H": self._explain_always,
            "P": self._toggle_prompt,
            "g": lambda found: self._global(found, True), "v": lambda found: self._global(found, False),
            "#": lambda found: self._ignore(),
        }  # fmt: skip
        action = commands.get(name)
        if action is None:
            raise EdError("Unknown command")
        if is_global and name in "gv":
            raise EdError("Cannot nest global commands")
        if name in "aicdjmtsr" and not is_global:
            self._buffer.undoable(partial(action, addresses))
        else:
            action(addresses)
        return True

    def _ignore(self) -> None:
        self._commands.rest()

    def _line_feed(self, addresses: list[int], is_global: bool) -> None:
        if addresses:
            number = self._buffer.check(addresses[-1])
        else:
            number = self._buffer.check(self._buffer.dot + (not is_global))
        self._show(number, number, "p")

    def _quit(self, name: str, addresses: list[int]) -> bool:
        self._no_addresses(addresses)
        if self._commands.rest().strip():
            raise EdError("Invalid command suffix")
        if name == "q":
            self._warn()
        return False

    def _warn(self) -> None:
        """Raises the first time that something would lose changes."""
        if self._buffer.is_modified and not self._is_warned:
            self._is_warned = True
            raise EdError("Warning: buffer modified")

    def _no_addresses(self, addresses: list[int]) -> None:
        if addresses:
            raise EdError("Unexpected address")

    def _show(self, low: int, high: int, how: str) -> None:
        """Prints lines and makes the last one current."""
        for number in range(low, high + 1):
            text = self._buffer.lines[number - 1].text
            if "l" in how:
                text = _unambiguous(text, number if "n" in how else None)
            elif "n" in how:
                text = f"{number}\t{text}"
            self._say(text)
        self._buffer.dot = high

    def _show_dot(self, suffix: str) -> None:
        if suffix:
            self._show(self._buffer.check(self._buffer.dot), self._buffer.dot, suffix)

    def _print(self, addresses: list[int], how: str) -> None:
        low, high = self._buffer.range(addresses, self._buffer.dot, self._buffer.dot)
        self._show(low, high, how + self._commands.suffix())

    def _scroll(self, addresses: list[int]) -> None:
        low = self._buffer.check(addresses[-1] if addresses else self._buffer.dot + 1)
        rows = self._commands.number() or _SCREEN
        self._show(low, min(low + rows - 1, len(self._buffer.lines)), self._commands.suffix() or "p")

    def _show_number(self, addresses: list[int]) -> None:
        suffix = self._commands.suffix()
        self._say(str(addresses[-1] if addresses else len(self._buffer.lines)))
        self._show_dot(suffix)

    def _append(self, addresses: list[int]) -> None:
        after = self._buffer.check(addresses[-1] if addresses else self._buffer.dot, least=0)
        suffix = self._commands.suffix()
        self._buffer.put(after, [Line(text) for text in self._commands.text()])
        self._show_dot(suffix)

    def _insert(self, addresses: list[int]) -> None:
        before = self._buffer.check(addresses[-1] if addresses else self._buffer.dot, least=0)
        suffix = self._commands.suffix()
        lines = [Line(text) for text in self._commands.text()]
        self._buffer.put(max(before - 1, 0), lines)
        if not lines:
            self._buffer.dot = before
        self._show_dot(suffix)

    def _change(self, addresses: list[int]) -> None:
        low, high = self._buffer.range(addresses, self._buffer.dot, self._buffer.dot)
        suffix = self._commands.suffix()
        lines = [Line(text) for text in self._commands.text()]
        self._buffer.remove(low, high)
        if lines:
            self._buffer.put(low - 1, lines)
        self._show_dot(suffix)

    def _delete(self, addresses: list[int]) -> None:
        low, high = self._buffer.range(addresses, self._buffer.dot, self._buffer.dot)
        suffix = self._commands.suffix()
        self._buffer.remove(low, high)
        self._show_dot(suffix)

    def _join(self, addresses: list[int]) -> None:
        low, high = self._buffer.range(addresses, self._buffer.dot, self._buffer.dot + 1)
        suffix = self._commands.suffix()
        if low < high:
            self._buffer.replace(low, high, ["".join(line.text for line in self._buffer.lines[low - 1 : high])])
        self._show_dot(suffix)

    def _destination(self) -> int:
        found = self._addresses()
        return self._buffer.check(found[-1] if found else self._buffer.dot, least=0)

    def _move(self, addresses: list[int]) -> None:
        low, high = self._buffer.range(addresses, self._buffer.dot, self._buffer.dot)
        to = self._destination()
        suffix = self._commands.suffix()
        if low <= to < high:
            raise EdError("Invalid destination")
        moved = self._buffer.lines[low - 1 : high]
        if to in (low - 1, high):
            # They are there already.
            self._buffer.dot = high
        else:
            del self._buffer.lines[low - 1 : high]
            if to > high:
                to -= len(moved)
            self._buffer.put(to, moved)
        self._show_dot(suffix)

    def _copy(self, addresses: list[int]) -> None:
        low, high = self._buffer.range(addresses, self._buffer.dot, self._buffer.dot)
        to = self._destination()
        suffix = self._commands.suffix()
        self._buffer.put(to, [Line(line.text) for line in self._buffer.lines[low - 1 : high]])
        self._show_dot(suffix)

    def _mark(self, addresses: list[int]) -> None:
        number = self._buffer.check(addresses[-1] if addresses else self._buffer.dot)
        name = self._commands.take()
        suffix = self._commands.suffix()
        self._buffer.mark(name, number)
        self._show_dot(suffix)

    def _substitute(self, addresses: list[int]) -> None:
        low, high = self._buffer.range(addresses, self._buffer.dot, self._buffer.dot)
        delimiter = self._commands.peek()
        if delimiter in ("", "p", "n", "l", "g") or delimiter.isdecimal():
            # Once more, with other suffixes.
            if self._substitution is None:
                raise EdError("No previous substitution")
            pattern, template, is_every, nth = self._substitution
            suffix, is_toggled, given_nth, _ = self._commands.substitution_suffix()
            is_every = is_every != is_toggled
            nth = given_nth or nth
        else:
            if delimiter in (" ", "\n"):
                raise EdError("Invalid pattern delimiter")
            self._commands.take()
            expression = self._commands.expression(delimiter)
            if self._commands.peek() != delimiter:
                raise EdError("Missing pattern delimiter")
            self._commands.take()
            template, is_closed = self._commands.template(delimiter)
            if template == "%":
                if self._substitution is None:
                    raise EdError("No previous substitution")
                template = self._substitution[1]
            suffix, is_every, nth, ignores_case = self._commands.substitution_suffix()
            pattern = self._compile(expression, ignores_case)
            suffix = suffix or ("" if is_closed else "p")
        self._substitution = (pattern, template, is_every, nth)
        if not self._is_in_global:
            self._buffer.forget_undo()
        has_matched = False
        number, last = low, high
        while number <= last:
            new = replace(pattern, template, self._buffer.lines[number - 1].text, nth or 1, is_every)
            if new is None:
                number += 1
                continue
            has_matched = True
            texts = new.split("\n")
            self._buffer.replace(number, number, texts)
            number += len(texts)
            last += len(texts) - 1
        if not has_matched and not self._is_in_global:
            raise EdError("No match")
        if has_matched:
            self._show_dot(suffix)

    def _global(self, addresses: list[int], wants_match: bool) -> None:
        low, high = self._buffer.range(addresses, 1, len(self._buffer.lines))
        delimiter = self._commands.take()
        if delimiter in ("", " "):
            raise EdError("Invalid pattern delimiter")
        pattern = self._pattern_until(delimiter)
        commands = [self._commands.rest()]
        while commands[-1].endswith("\\"):
            commands[-1] = commands[-1][:-1]
            commands.append(self._commands.next_line() or "")
        if commands == [""]:
            commands = ["p"]
        chosen = [line for line in self._buffer.lines[low - 1 : high] if bool(pattern.search(line.text)) == wants_match]
        self._buffer.forget_undo()
        self._buffer.undoable(lambda: self._run_globally(chosen, commands))

    def _run_globally(self, chosen: list[Line], commands: list[str]) -> None:
        """Runs commands for each of the lines that is still there when its turn comes."""
        self._is_in_global = True
        try:
            for line in chosen:
                number = self._buffer.number_of(line)
                if number is None:
                    continue
                self._buffer.dot = number
                left = list(commands)
                self._commands.feed(left)
                while left:
                    self._commands.begin(left.pop(0))
                    self._command(is_global=True)
        finally:
            self._commands.feed(None)
            self._is_in_global = False

    def _undo_command(self, addresses: list[int]) -> None:
        self._no_addresses(addresses)
        suffix = self._commands.suffix()
        self._buffer.undo()
        self._show_dot(suffix)

    # Files.

    def _file_name(self, addresses: list[int]) -> None:
        self._no_addresses(addresses)
        path = self._commands.file_operand()
        if path is not None:
            self._path = path
        self._say(self._named(None))

    def _named(self, path: str | None) -> str:
        found = path or self._path
        if found is None:
            raise EdError("No current filename")
        return found

    def _load(self, path: str) -> list[Line]:
        """Reads a file and prints how many bytes it has."""
        try:
            with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
                text = file.read()
        except OSError as error:
            self._say(f"{path}: {error.strerror}")
            raise EdError("Cannot open input file") from None
        lines = [Line(line) for line in text.split("\n")]
        if lines[-1].text == "":
            lines.pop()
        elif not self._is_silent:
            self._say("Newline appended")
        if not self._is_silent:
            self._say(str(_count_bytes(lines)))
        return lines

    def _edit(self, path: str) -> None:
        self._path = path
        self._buffer.clear()
        self._buffer.lines = self._load(path)
        self._buffer.dot = len(self._buffer.lines)

    def _edit_command(self, addresses: list[int], name: str) -> None:
        self._no_addresses(addresses)
        path = self._commands.file_operand()
        if name == "e":
            self._warn()
        self._edit(self._named(path))

    def _read(self, addresses: list[int]) -> None:
        after = self._buffer.check(addresses[-1] if addresses else len(self._buffer.lines), least=0)
        path = self._commands.file_operand()
        self._buffer.forget_undo()
        if path is not None and self._path is None:
            self._path = path
        self._buffer.put(after, self._load(self._named(path)))

    def _write(self, addresses: list[int], name: str) -> None:
        path = self._commands.file_operand()
        if addresses or self._buffer.lines:
            low, high = self._buffer.range(addresses, 1, len(self._buffer.lines))
        else:
            low, high = 1, 0
        if path is not None and self._path is None:
            self._path = path
        lines = self._buffer.lines[low - 1 : high]
        target = self._named(path)
        try:
            with open(
                target, "a" if name == "W" else "w", encoding="utf-8", errors="surrogateescape", newline="\n"
            ) as file:
                file.writelines(line.text + "\n" for line in lines)
        except OSError as error:
            self._say(f"{target}: {error.strerror}")
            raise EdError("Cannot open output file") from None
        if not self._is_silent:
            self._say(str(_count_bytes(lines)))
        if len(lines) == len(self._buffer.lines):
            self._buffer.is_modified = False

    # Talking about itself.

    def _explain(self, addresses: list[int]) -> None:
        self._no_addresses(addresses)
        self._commands.suffix()
        if self._last_error:
            self._say(self._last_error)

    def _explain_always(self, addresses: list[int]) -> None:
        self._no_addresses(addresses)
        self._commands.suffix()
        self._explains = not self._explains
        if self._explains and self._last_error:
            self._say(self._last_error)

    def _toggle_prompt(self, addresses: list[int]) -> None:
        self._no_addresses(addresses)
        self._commands.suffix()
        self._has_prompt = not self._has_prompt


def _count_bytes(lines: list[Line]) -> int:
    return sum(len(os.fsencode(line.text)) + 1 for line in lines)


def _unambiguous(text: str, number: int | None) -> str:
    """Returns a line as `l` prints it: what is no plain character as an escape, `$` at the end, folded."""
    pieces = [] if number is None else [f"{number}\t"]
    column = 0 if number is None else 8
    for char in text:
        if char in _LIST_ESCAPES:
            shown = [_LIST_ESCAPES[char]]
        elif " " <= char <= "~":
            shown = [char]
        else:
            shown = [f"\\{byte:03o}" for byte in char.encode("utf-8", "surrogateescape")]
        for piece in shown:
            if column >= _COLUMNS:
                pieces.append("\\\n")
                column = 0
            pieces.append(piece)
            column += len(piece)
    return "".join(pieces) + "$"
