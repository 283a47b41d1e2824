"""What `ed` reads: the command at hand, sign by sign, and the lines of text that follow it."""

from typing import TextIO

from kernel._ed_patterns import EdError, bracket_end


class Commands:
    """A cursor in the command that is being read, over the input that the next ones come from."""

    def __init__(self, source: TextIO, sink: TextIO) -> None:
        """Reads from `source`; what was written to `sink` is flushed before."""
        self._source = source
        self._sink = sink
        # Lines that `g` feeds to its commands, instead of the input's.
        self._fed: list[str] | None = None
        self._text = ""
        self._at = 0

    def begin(self, command: str) -> None:
        """Puts the cursor at the start of a command."""
        self._text, self._at = command, 0

    def feed(self, lines: list[str] | None) -> None:
        """Has the next lines come from `lines`, or from the input again (None)."""
        self._fed = lines

    def next_line(self) -> str | None:
        """Returns the next line without its end, or None where input, or what was fed, ends."""
        if self._fed is not None:
            return self._fed.pop(0) if self._fed else None
        self._sink.flush()
        line = self._source.readline()
        return line.removesuffix("\n") if line else None

    def text(self) -> list[str]:
        """Reads lines up to a lone dot."""
        found: list[str] = []
        while (line := self.next_line()) is not None and line != ".":
            found.append(line)
        return found

    def peek(self) -> str:
        """Returns the sign at the cursor, empty at the end."""
        return self._text[self._at : self._at + 1]

    def take(self) -> str:
        """Returns it and goes on."""
        char = self.peek()
        self._at += 1
        return char

    def skip_blanks(self) -> None:
        """Goes on to what is no blank."""
        while self.peek() in (" ", "\t"):
            self._at += 1

    def rest(self) -> str:
        """Returns what is left and goes to the end."""
        rest = self._text[self._at :]
        self._at = len(self._text)
        return rest

    def number(self) -> int | None:
        """Reads a decimal number, or returns None."""
        start = self._at
        while self.peek().isdecimal() and self.peek().isascii():
            self._at += 1
        return int(self._text[start : self._at]) if self._at > start else None

    def expression(self, delimiter: str) -> str:
        """Reads a regular expression up to its delimiter, which stays, or to the end of the line."""
        expression = ""
        while (char := self.peek()) and char != delimiter:
            if char == "[":
                end = bracket_end(self._text, self._at)
                if end is None:
                    raise EdError("Unbalanced brackets ([])")
                expression += self._text[self._at : end]
                self._at = end
                continue
            self._at += 1
            if char == "\\":
                escaped = self.take()
                if not escaped:
                    raise EdError("Trailing backslash (\\)")
                expression += escaped if escaped == delimiter else "\\" + escaped
            else:
                expression += char
        return expression

    def suffix(self) -> str:
        """Reads `p`, `n` and `l` after a command; nothing else may follow."""
        suffix = self.rest()
        if suffix.strip("pnl \t"):
            raise EdError("Invalid command suffix")
        return suffix.strip()

    def substitution_suffix(self) -> tuple[str, bool, int, bool]:
        """Reads what follows a substitution: how to print, whether every match, which one, whether case counts."""
        how, is_every, nth, ignores_case = "", False, 0, False
        while char := self.peek():
            if char.isdecimal():
                nth = self.number() or 0
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

    def template(self, delimiter: str) -> tuple[str, bool]:
        """Reads the replacement; a line that ends in a backslash goes on in the next one.

        Returns it, and whether its delimiter was there.
        """
        template = ""
        while True:
            char = self.take()
            if char in ("", delimiter):
                break
            if char == "\\":
                escaped = self.take()
                if escaped == "":
                    more = self.next_line()
                    if more is None:
                        raise EdError("Trailing backslash (\\)")
                    template += "\\\n"
                    self.begin(more)
                    continue
                template += escaped if escaped == delimiter and delimiter != "&" else "\\" + escaped
            else:
                template += char
        return template, char == delimiter

    def file_operand(self) -> str | None:
        """Reads a file name after a command, which a blank sets apart."""
        if self.peek() not in ("", " ", "\t"):
            raise EdError("Unexpected command suffix")
        path = self.rest().strip()
        return path or None
