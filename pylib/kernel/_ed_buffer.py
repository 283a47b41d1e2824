"""The text that `ed` edits: its lines, which one is current, marks, and what `u` takes back."""

import re
from collections.abc import Callable, Iterable

from kernel._ed_patterns import EdError


class Line:
    """One line of the buffer: marks and `g` know it by its identity, wherever it moves."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class Buffer:
    """Lines with numbers from 1. Line numbers that do not exist raise `EdError`."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        #: The number of the current line, 0 if there is none.
        self.dot = 0
        self.is_modified = False
        self._marks: dict[str, Line] = {}
        self._undo: tuple[list[Line], int, bool] | None = None

    def clear(self) -> None:
        """Makes it empty and unmodified, without marks, with nothing to undo."""
        self.lines, self.dot, self._marks, self._undo = [], 0, {}, None
        self.is_modified = False

    def check(self, number: int, least: int = 1) -> int:
        """Returns a line number that is at least `least` and there."""
        if not least <= number <= len(self.lines):
            raise EdError("Invalid address")
        return number

    def range(self, addresses: list[int], first: int, last: int) -> tuple[int, int]:
        """Returns the two lines that a command is about; `first` and `last` if none was given."""
        low, high = (addresses[0], addresses[-1]) if addresses else (first, last)
        if low > high:
            raise EdError("Invalid address")
        return self.check(low), self.check(high)

    def number_of(self, line: Line | None) -> int | None:
        """Returns where a line is, or None if it is gone."""
        return next((number for number, other in enumerate(self.lines, 1) if other is line), None)

    def mark(self, name: str, number: int) -> None:
        """Gives a line a name from a to z."""
        self._marks[_mark_name(name)] = self.lines[number - 1]

    def marked(self, name: str) -> int:
        """Returns where the line of that name is."""
        number = self.number_of(self._marks.get(_mark_name(name)))
        if number is None:
            raise EdError("Invalid address")
        return number

    def search(self, pattern: re.Pattern[str], step: int) -> int:
        """Returns the next line that matches, onwards (`step` 1) or backwards (-1), around the end."""
        count = len(self.lines)
        for distance in range(1, count + 1):
            number = (self.dot - 1 + step * distance) % count + 1
            if pattern.search(self.lines[number - 1].text):
                return number
        raise EdError("No match")

    def put(self, after: int, lines: list[Line]) -> None:
        """Inserts lines after a line, makes the last one current."""
        self.lines[after:after] = lines
        self.dot = after + len(lines)
        if lines:
            self.is_modified = True

    def remove(self, low: int, high: int) -> None:
        """Takes lines out; the one after them becomes current."""
        del self.lines[low - 1 : high]
        self.dot = min(low, len(self.lines))
        self.is_modified = True

    def replace(self, low: int, high: int, texts: Iterable[str]) -> None:
        """Puts new lines where others were, makes the last one current."""
        new = [Line(text) for text in texts]
        self.lines[low - 1 : high] = new
        self.dot = low - 1 + len(new)
        self.is_modified = True

    def undoable(self, change: Callable[[], None]) -> None:
        """Does what `undo` takes back; if nothing changes there is nothing to take back afterwards."""
        before = (list(self.lines), self.dot, self.is_modified)
        has_failed = True
        try:
            change()
            has_failed = False
        finally:
            lines = before[0]
            if len(lines) != len(self.lines) or any(a is not b for a, b in zip(lines, self.lines, strict=True)):
                self._undo = before
            elif not has_failed:
                self._undo = None

    def forget_undo(self) -> None:
        """Leaves nothing to take back."""
        self._undo = None

    def undo(self) -> None:
        """Takes the last change back; once more does it again."""
        if self._undo is None:
            raise EdError("Nothing to undo")
        # Marks stay: a line that comes back is the one that was marked.
        now = (self.lines, self.dot, self.is_modified)
        self.lines, self.dot, self.is_modified = self._undo
        self._undo = now


def _mark_name(name: str) -> str:
    if not ("a" <= name <= "z"):
        raise EdError("Invalid mark character")
    return name
