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

from kernel._ed_patterns import EdError, bracket_end, compile_pattern, replace, translate

__all__ = ["Editor", "EdError", "translate"]

#: Columns that `l` fills before it goes on in the next row; what begins before may go beyond.
_COLUMNS: Final = 72
#: Lines of a screenful of `z`.
_SCREEN: Final = 22

_LIST_ESCAPES: Final = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", "$": "\\$",
}  # fmt: skip


class _Line:
    """One line of the buffer: marks and `g` know it by its identity, wherever it moves."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class Editor:
    """A buffer of lines and what commands do to it. One thread at a time may use it."""

    def __init__(self, source: TextIO, sink: TextIO, *, prompt: str = "", is_silent: bool = False) -> None:
        """Reads commands from `source` and prints to `sink`; `is_silent` leaves out the counts of bytes."""
        self._source = source
        self._sink = sink
        self._prompt = prompt or "*"
        self._has_prompt = bool(prompt)
        self._is_silent = is_silent
        self._explains = False
        self._last_error = ""
        self._path: str | None = None
        self._lines: list[_Line] = []
        self._dot = 0
        self._marks: dict[str, _Line] = {}
        self._is_modified = False
        # Said once, then what would lose changes is done.
        self._is_warned = False
        self._undo: tuple[list[_Line], int, bool] | None = None
        self._pattern: re.Pattern[str] | None = None
        self._substitution: tuple[re.Pattern[str], str, bool, int] | None = None
        # Lines that `g` feeds to commands that read text.
        self._fed: list[str] | None = None
        self._is_in_global = False
        # The command that is being read, and how far.
        self._text = ""
        self._at = 0

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
            self._sink.flush()
            line = self._source.readline()
            try:
                if not line:
                    if self._is_modified and not self._is_warned:
                        self._is_warned = True
                        raise EdError("Warning: buffer modified")
                    return int(self._is_modified)
                if not self.execute(line.removesuffix("\n")):
                    return 0
            except EdError as error:
                self._complain(error)
            except KeyboardInterrupt:
                self._complain(EdError("Interrupt"))

    def execute(self, command: str) -> bool:
        """Does one command (and reads the text that belongs to it); returns False if the user quits.

        Raises `EdError` if it cannot be done; the buffer is then as the part before the error left it.
        """
        self._text, self._at = command, 0
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

    # Reading a command.

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        char = self._peek()
        self._at += 1
        return char

    def _skip_blanks(self) -> None:
        while self._peek() in (" ", "\t"):
            self._at += 1

    def _rest(self) -> str:
        rest = self._text[self._at :]
        self._at = len(self._text)
        return rest

    def _number(self) -> int | None:
        start = self._at
        while self._peek().isdecimal() and self._peek().isascii():
            self._at += 1
        return int(self._text[start : self._at]) if self._at > start else None

    def _addresses(self) -> list[int]:
        """Reads none, one or two addresses."""
        found: list[int] = []
        after_separator = False
        while True:
            self._skip_blanks()
            value = self._address()
            self._skip_blanks()
            if value is not None:
                found.append(value)
            elif not found and self._peek() in (",", ";", "%") and self._peek():
                separator = self._take()
                end = self._address()
                found = [self._dot if separator == ";" else 1, len(self._lines) if end is None else end]
            else:
                if after_separator:
                    found.append(found[-1])
                return found[-2:]
            self._skip_blanks()
            if self._peek() not in (",", ";") or not self._peek():
                return found[-2:]
            after_separator = True
            if self._take() == ";":
                self._dot = self._check(found[-1], least=0)

    def _address(self) -> int | None:
        """Reads one address with what is added to it."""
        value = self._base()
        while True:
            self._skip_blanks()
            char = self._peek()
            if char and char in "+-^":
                self._at += 1
                amount = self._number()
                step = 1 if amount is None else amount
                value = (self._dot if value is None else value) + (step if char == "+" else -step)
            elif value is not None and char.isdecimal():
                value += self._number() or 0
            else:
                break
        if value is not None:
            self._check(value, least=0)
        return value

    def _base(self) -> int | None:
        char = self._peek()
        if char.isdecimal():
            return self._number()
        if char == ".":
            self._at += 1
            return self._dot
        if char == "$":
            self._at += 1
            return len(self._lines)
        if char == "'":
            self._at += 1
            return self._marked(self._take())
        if char and char in "/?":
            return self._search()
        return None

    def _check(self, value: int, least: int = 1) -> int:
        if not least <= value <= len(self._lines):
            raise EdError("Invalid address")
        return value

    def _marked(self, name: str) -> int:
        if not ("a" <= name <= "z"):
            raise EdError("Invalid mark character")
        line = self._marks.get(name)
        for number, other in enumerate(self._lines, 1):
            if other is line:
                return number
        raise EdError("Invalid address")

    def _search(self) -> int:
        delimiter = self._take()
        expression = self._read_expression(delimiter)
        ignores_case = False
        if self._peek() == delimiter:
            self._at += 1
            ignores_case = self._peek() == "I"
            self._at += ignores_case
        pattern = self._compile(expression, ignores_case)
        count = len(self._lines)
        step = 1 if delimiter == "/" else -1
        for distance in range(1, count + 1):
            number = (self._dot - 1 + step * distance) % count + 1
            if pattern.search(self._lines[number - 1].text):
                return number
        raise EdError("No match")

    def _read_expression(self, delimiter: str) -> str:
        """Reads a regular expression up to its delimiter, which stays, or to the end of the line."""
        expression = ""
        while (char := self._peek()) and char != delimiter:
            if char == "[":
                end = bracket_end(self._text, self._at)
                if end is None:
                    raise EdError("Unbalanced brackets ([])")
                expression += self._text[self._at : end]
                self._at = end
                continue
            self._at += 1
            if char == "\\":
                escaped = self._take()
                if not escaped:
                    raise EdError("Trailing backslash (\\)")
                expression += escaped if escaped == delimiter else "\\" + escaped
            else:
                expression += char
        return expression

    def _compile(self, expression: str, ignores_case: bool) -> re.Pattern[str]:
        """Compiles an expression, or takes the last one if it is empty; it is the last one from now on."""
        if expression:
            self._pattern = compile_pattern(expression, ignores_case)
        elif self._pattern is None:
            raise EdError("No previous pattern")
        return self._pattern

    def _suffix(self) -> str:
        """Reads `p`, `n` and `l` after a command; nothing else may follow."""
        suffix = self._rest()
        if suffix.strip("pnl \t"):
            raise EdError("Invalid command suffix")
        return suffix.strip()

    def _range(self, addresses: list[int], first: int, last: int) -> tuple[int, int]:
        """Returns the two lines that a command is about; `first` and `last` if none was given."""
        if not addresses:
            low, high = first, last
        else:
            low, high = addresses[0], addresses[-1]
        if low > high:
            raise EdError("Invalid address")
        self._check(low)
        self._check(high)
        return low, high

    # Doing it.

    def _command(self, *, is_global: bool) -> bool:
        """Does the command at the cursor; returns False if it quits."""
        addresses = self._addresses()
        self._skip_blanks()
        name = self._take()
        if name == "":
            self._line_feed(addresses, is_global)
            return True
        if name in "qQ":
            return self._quit(name, addresses)
        if name == "w" and self._peek() == "q":
            self._at += 1
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
            self._undoable(partial(action, addresses))
        else:
            action(addresses)
        return True

    def _undoable(self, change: Callable[[], None]) -> None:
        """Does what `u` takes back; if nothing changes there is nothing to take back afterwards."""
        before = (list(self._lines), self._dot, self._is_modified)
        has_failed = True
        try:
            change()
            has_failed = False
        finally:
            lines = before[0]
            if len(lines) != len(self._lines) or any(a is not b for a, b in zip(lines, self._lines, strict=True)):
                self._undo = before
            elif not has_failed:
                self._undo = None

    def _ignore(self) -> None:
        self._rest()

    def _line_feed(self, addresses: list[int], is_global: bool) -> None:
        if addresses:
            number = self._check(addresses[-1])
        else:
            number = self._check(self._dot + (not is_global))
        self._show(number, number, "p")

    def _quit(self, name: str, addresses: list[int]) -> bool:
        self._no_addresses(addresses)
        if self._rest().strip():
            raise EdError("Invalid command suffix")
        if name == "q":
            self._warn()
        return False

    def _warn(self) -> None:
        """Raises the first time that something would lose changes."""
        if self._is_modified and not self._is_warned:
            self._is_warned = True
            raise EdError("Warning: buffer modified")

    def _no_addresses(self, addresses: list[int]) -> None:
        if addresses:
            raise EdError("Unexpected address")

    def _show(self, low: int, high: int, how: str) -> None:
        """Prints lines and makes the last one current."""
        for number in range(low, high + 1):
            text = self._lines[number - 1].text
            if "l" in how:
                text = _unambiguous(text, number if "n" in how else None)
            elif "n" in how:
                text = f"{number}\t{text}"
            self._say(text)
        self._dot = high

    def _show_dot(self, suffix: str) -> None:
        if suffix:
            self._show(self._check(self._dot), self._dot, suffix)

    def _print(self, addresses: list[int], how: str) -> None:
        low, high = self._range(addresses, self._dot, self._dot)
        self._show(low, high, how + self._suffix())

    def _scroll(self, addresses: list[int]) -> None:
        low = self._check(addresses[-1] if addresses else self._dot + 1)
        rows = self._number() or _SCREEN
        self._show(low, min(low + rows - 1, len(self._lines)), self._suffix() or "p")

    def _show_number(self, addresses: list[int]) -> None:
        suffix = self._suffix()
        self._say(str(addresses[-1] if addresses else len(self._lines)))
        self._show_dot(suffix)

    def _read_text(self) -> list[_Line]:
        """Reads lines up to a lone dot."""
        found: list[_Line] = []
        while True:
            if self._fed is not None:
                if not self._fed:
                    break
                line = self._fed.pop(0)
            else:
                self._sink.flush()
                line = self._source.readline()
                if not line:
                    break
                line = line.removesuffix("\n")
            if line == ".":
                break
            found.append(_Line(line))
        return found

    def _put(self, after: int, lines: list[_Line]) -> None:
        """Inserts lines after a line, makes the last one current."""
        self._lines[after:after] = lines
        self._dot = after + len(lines)
        if lines:
            self._is_modified = True

    def _append(self, addresses: list[int]) -> None:
        after = self._check(addresses[-1] if addresses else self._dot, least=0)
        suffix = self._suffix()
        self._put(after, self._read_text())
        self._show_dot(suffix)

    def _insert(self, addresses: list[int]) -> None:
        before = self._check(addresses[-1] if addresses else self._dot, least=0)
        suffix = self._suffix()
        lines = self._read_text()
        self._put(max(before - 1, 0), lines)
        if not lines:
            self._dot = before
        self._show_dot(suffix)

    def _change(self, addresses: list[int]) -> None:
        low, high = self._range(addresses, self._dot, self._dot)
        suffix = self._suffix()
        lines = self._read_text()
        self._remove(low, high)
        if lines:
            self._put(low - 1, lines)
        self._show_dot(suffix)

    def _remove(self, low: int, high: int) -> None:
        """Takes lines out; the one after them becomes current."""
        del self._lines[low - 1 : high]
        self._dot = min(low, len(self._lines))
        self._is_modified = True

    def _delete(self, addresses: list[int]) -> None:
        low, high = self._range(addresses, self._dot, self._dot)
        suffix = self._suffix()
        self._remove(low, high)
        self._show_dot(suffix)

    def _join(self, addresses: list[int]) -> None:
        low, high = self._range(addresses, self._dot, self._dot + 1)
        suffix = self._suffix()
        if low < high:
            text = "".join(line.text for line in self._lines[low - 1 : high])
            self._lines[low - 1 : high] = [_Line(text)]
            self._dot = low
            self._is_modified = True
        self._show_dot(suffix)

    def _destination(self) -> int:
        found = self._addresses()
        return self._check(found[-1] if found else self._dot, least=0)

    def _move(self, addresses: list[int]) -> None:
        low, high = self._range(addresses, self._dot, self._dot)
        to = self._destination()
        suffix = self._suffix()
        if low <= to < high:
            raise EdError("Invalid destination")
        moved = self._lines[low - 1 : high]
        if to in (low - 1, high):
            # They are there already.
            self._dot = high
        else:
            del self._lines[low - 1 : high]
            if to > high:
                to -= len(moved)
            self._put(to, moved)
        self._show_dot(suffix)

    def _copy(self, addresses: list[int]) -> None:
        low, high = self._range(addresses, self._dot, self._dot)
        to = self._destination()
        suffix = self._suffix()
        self._put(to, [_Line(line.text) for line in self._lines[low - 1 : high]])
        self._show_dot(suffix)

    def _mark(self, addresses: list[int]) -> None:
        number = self._check(addresses[-1] if addresses else self._dot)
        name = self._take()
        suffix = self._suffix()
        if not ("a" <= name <= "z"):
            raise EdError("Invalid mark character")
        self._marks[name] = self._lines[number - 1]
        self._show_dot(suffix)

    def _substitute(self, addresses: list[int]) -> None:
        low, high = self._range(addresses, self._dot, self._dot)
        delimiter = self._peek()
        if delimiter in ("", "p", "n", "l", "g") or delimiter.isdecimal():
            # Once more, with other suffixes.
            if self._substitution is None:
                raise EdError("No previous substitution")
            pattern, template, is_every, nth = self._substitution
            suffix, is_toggled, given_nth, _ = self._substitution_suffix()
            is_every = is_every != is_toggled
            nth = given_nth or nth
        else:
            if delimiter in (" ", "\n"):
                raise EdError("Invalid pattern delimiter")
            self._at += 1
            expression = self._read_expression(delimiter)
            if self._peek() != delimiter:
                raise EdError("Missing pattern delimiter")
            self._at += 1
            template, is_closed = self._read_template(delimiter)
            suffix, is_every, nth, ignores_case = self._substitution_suffix()
            pattern = self._compile(expression, ignores_case)
            suffix = suffix or ("" if is_closed else "p")
        self._substitution = (pattern, template, is_every, nth)
        if not self._is_in_global:
            self._undo = None
        has_matched = False
        number, last = low, high
        while number <= last:
            new = replace(pattern, template, self._lines[number - 1].text, nth or 1, is_every)
            if new is None:
                number += 1
                continue
            has_matched = True
            lines = [_Line(text) for text in new.split("\n")]
            self._lines[number - 1 : number] = lines
            number += len(lines)
            last += len(lines) - 1
            self._dot = number - 1
            self._is_modified = True
        if not has_matched and not self._is_in_global:
            raise EdError("No match")
        if has_matched:
            self._show_dot(suffix)

    def _substitution_suffix(self) -> tuple[str, bool, int, bool]:
        """Reads what follows a substitution: how to print, whether every match, which one, whether case counts."""
        how, is_every, nth, ignores_case = "", False, 0, False
        while char := self._peek():
            if char.isdecimal():
                nth = self._number() or 0
                if not nth:
                    raise EdError("Invalid command suffix")
                continue
            self._at += 1
            if char == "g":
                is_every = True
            elif char in "pnl":
                how += char
            elif char in "iI":
                ignores_case = True
            elif char not in " \t":
                raise EdError("Invalid command suffix")
        return how, is_every, nth, ignores_case

    def _read_template(self, delimiter: str) -> tuple[str, bool]:
        """Reads the replacement; a line that ends in a backslash goes on in the next one.

        Returns it, and whether its delimiter was there.
        """
        template = ""
        while True:
            char = self._take()
            if char == delimiter and char:
                break
            if char == "":
                break
            if char == "\\":
                escaped = self._take()
                if escaped == "":
                    more = self._fed.pop(0) if self._fed else None
                    if self._fed is None:
                        self._sink.flush()
                        more = self._source.readline().removesuffix("\n")
                    if more is None:
                        raise EdError("Trailing backslash (\\)")
                    template += "\\\n"
                    self._text, self._at = more, 0
                    continue
                template += escaped if escaped == delimiter and delimiter != "&" else "\\" + escaped
            else:
                template += char
        if template == "%":
            if self._substitution is None:
                raise EdError("No previous substitution")
            template = self._substitution[1]
        return template, char == delimiter

    def _global(self, addresses: list[int], wants_match: bool) -> None:
        low, high = self._range(addresses, 1, len(self._lines))
        delimiter = self._take()
        if delimiter in ("", " "):
            raise EdError("Invalid pattern delimiter")
        expression = self._read_expression(delimiter)
        ignores_case = False
        if self._peek() == delimiter:
            self._at += 1
            ignores_case = self._peek() == "I"
            self._at += ignores_case
        pattern = self._compile(expression, ignores_case)
        commands = [self._rest()]
        while commands[-1].endswith("\\"):
            commands[-1] = commands[-1][:-1]
            self._sink.flush()
            commands.append(self._source.readline().removesuffix("\n"))
        if commands == [""]:
            commands = ["p"]
        chosen = [line for line in self._lines[low - 1 : high] if bool(pattern.search(line.text)) == wants_match]
        self._undo = None
        self._undoable(lambda: self._run_globally(chosen, commands))

    def _run_globally(self, chosen: list[_Line], commands: list[str]) -> None:
        """Runs commands for each of the lines that is still there when its turn comes."""
        self._is_in_global = True
        try:
            for line in chosen:
                number = next((n for n, other in enumerate(self._lines, 1) if other is line), None)
                if number is None:
                    continue
                self._dot = number
                self._fed = list(commands)
                while self._fed:
                    self._text, self._at = self._fed.pop(0), 0
                    self._command(is_global=True)
        finally:
            self._fed = None
            self._is_in_global = False

    def _undo_command(self, addresses: list[int]) -> None:
        self._no_addresses(addresses)
        suffix = self._suffix()
        if self._undo is None:
            raise EdError("Nothing to undo")
        # Marks stay: a line that comes back is the one that was marked.
        now = (self._lines, self._dot, self._is_modified)
        self._lines, self._dot, self._is_modified = self._undo
        self._undo = now
        self._show_dot(suffix)

    # Files.

    def _file_operand(self) -> str | None:
        """Reads a file name after a command, which a blank sets apart."""
        if self._peek() not in ("", " ", "\t"):
            raise EdError("Unexpected command suffix")
        path = self._rest().strip()
        return path or None

    def _file_name(self, addresses: list[int]) -> None:
        self._no_addresses(addresses)
        path = self._file_operand()
        if path is not None:
            self._path = path
        self._say(self._named(None))

    def _named(self, path: str | None) -> str:
        found = path or self._path
        if found is None:
            raise EdError("No current filename")
        return found

    def _load(self, path: str) -> list[_Line]:
        """Reads a file and prints how many bytes it has."""
        try:
            with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
                text = file.read()
        except OSError as error:
            self._say(f"{path}: {error.strerror}")
            raise EdError("Cannot open input file") from None
        lines = [_Line(line) for line in text.split("\n")]
        if lines[-1].text == "":
            lines.pop()
        elif not self._is_silent:
            self._say("Newline appended")
        if not self._is_silent:
            self._say(str(_count_bytes(lines)))
        return lines

    def _edit(self, path: str) -> None:
        self._path = path
        self._lines, self._dot, self._marks, self._undo = [], 0, {}, None
        self._is_modified = False
        self._lines = self._load(path)
        self._dot = len(self._lines)

    def _edit_command(self, addresses: list[int], name: str) -> None:
        self._no_addresses(addresses)
        path = self._file_operand()
        if name == "e":
            self._warn()
        self._edit(self._named(path))

    def _read(self, addresses: list[int]) -> None:
        after = self._check(addresses[-1] if addresses else len(self._lines), least=0)
        path = self._file_operand()
        self._undo = None
        if path is not None and self._path is None:
            self._path = path
        self._put(after, self._load(self._named(path)))

    def _write(self, addresses: list[int], name: str) -> None:
        path = self._file_operand()
        if addresses or self._lines:
            low, high = self._range(addresses, 1, len(self._lines))
        else:
            low, high = 1, 0
        if path is not None and self._path is None:
            self._path = path
        lines = self._lines[low - 1 : high]
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
        if len(lines) == len(self._lines):
            self._is_modified = False

    # Talking about itself.

    def _explain(self, addresses: list[int]) -> None:
        self._no_addresses(addresses)
        self._suffix()
        if self._last_error:
            self._say(self._last_error)

    def _explain_always(self, addresses: list[int]) -> None:
        self._no_addresses(addresses)
        self._suffix()
        self._explains = not self._explains
        if self._explains and self._last_error:
            self._say(self._last_error)

    def _toggle_prompt(self, addresses: list[int]) -> None:
        self._no_addresses(addresses)
        self._suffix()
        self._has_prompt = not self._has_prompt


def _count_bytes(lines: list[_Line]) -> int:
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
