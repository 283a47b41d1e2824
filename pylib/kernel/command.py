"""What the commands in /bin share: options, errors in one line, input and output of bytes.

A command is a Python file in /bin. It runs with `argv` (its own name first) and `cwd` bound, and may
use `await`. The usual form:

    \"\"\"usage: hello [-n COUNT] [NAME...]

    Greets each NAME.
    \"\"\"

    from kernel.command import parse

    argv: list[str]  # bound by the session

    options = parse(__doc__, argv, values="n")
    for name in options.operands:
        print("hello", name)
"""

import getopt
import io
import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import BinaryIO, TextIO

from kernel._errors import CommandError

__all__ = [
    "CommandError", "Options", "parse", "parse_excerpt", "error_line", "for_each", "for_each_excerpt", "open_input",
    "write_bytes", "human_size", "duration",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Options:
    """What a user gave a command."""

    #: The command's name.
    name: str
    #: Letters of options that were given and take no value.
    flags: frozenset[str]
    #: Values of options that take one, by letter.
    values: dict[str, str]
    #: The rest.
    operands: list[str]

    def __contains__(self, letter: str) -> bool:
        """Tells whether an option was given."""
        return letter in self.flags or letter in self.values

    def number(self, letter: str, default: int) -> int:
        """Returns an option's value as a whole number of at least 0, or `default` if it was not given.

        Raises `CommandError` if it is something else.
        """
        text = self.values.get(letter)
        if text is None:
            return default
        if not (text.isascii() and text.isdecimal()):
            raise CommandError(f"{text}: not a whole number")
        return int(text)


def parse(
    doc: str | None,
    argv: list[str],
    flags: str = "",
    values: str = "",
    least: int = 0,
    most: int | None = None,
) -> Options:
    """Reads a command's arguments as getopt(3) does: options anywhere, `--` ends them, `-abc` is `-a -b -c`.

    `doc` is the command's docstring; `-h` and `--help` print it and end the command. Where `h` is one of `flags`, it
    does so only if it is all that was given. `flags` are the letters of options without, `values` of those with a value;
    `least` and `most` say how many operands there may be. Raises `CommandError` for anything else.
    """
    name = os.path.basename(argv[0]) if argv else "command"
    name = name.removesuffix(".py")
    text = (doc or f"usage: {name}").strip()
    letters = flags + "".join(letter + ":" for letter in values) + ("" if "h" in flags else "h")
    try:
        found, operands = getopt.gnu_getopt(argv[1:], letters, ["help"])
    except getopt.GetoptError as error:
        raise CommandError(f"{error.msg} (try `{name} --help`)") from None
    letters_given = [option.lstrip("-") for option, _ in found]
    if "help" in letters_given or argv[1:] == ["-h"] or ("h" in letters_given and "h" not in flags):
        print(text)
        raise SystemExit(0)
    if len(operands) < least or (most is not None and len(operands) > most):
        problem = "an argument is missing" if len(operands) < least else f"{operands[most or 0]}: one argument too many"
        raise CommandError(f"{problem}; {text.splitlines()[0]}")
    given = {option[1:]: value for option, value in found if option[1:] in values}
    return Options(name, frozenset(letters_given) & frozenset(flags), given, operands)


def parse_excerpt(doc: str | None, argv: list[str]) -> Options:
    """Reads the arguments of a command that prints a part of each file: `-n LINES`, `-c BYTES`, and `-5` for `-n 5`.

    Raises `CommandError` as `parse` does.
    """
    return parse(doc, [re.sub(r"^-(\d+)$", r"-n\1", word) for word in argv], values="nc")


def error_line(name: str, error: BaseException) -> str:
    """Returns the one line that says what went wrong: `NAME: PATH: reason`."""
    if isinstance(error, OSError) and error.strerror:
        path = error.filename
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        text = f"{path}: {error.strerror}" if path is not None else error.strerror
    else:
        text = str(error) or type(error).__name__
    return " ".join(f"{name}: {text}".split("\n"))


def for_each(name: str, operands: Iterable[str], action: Callable[[str], object]) -> None:
    """Calls `action` with each operand; says which ones failed, one line each, and goes on.

    Raises `SystemExit(1)` in the end if one did.
    """
    has_failed = False
    for operand in operands:
        try:
            action(operand)
        except (CommandError, OSError) as error:
            sys.stdout.flush()
            print(error_line(name, error), file=sys.stderr)
            has_failed = True
    if has_failed:
        raise SystemExit(1)


def for_each_excerpt(options: Options, show: Callable[[BinaryIO], object]) -> None:
    """Calls `show` with each file that is named, or standard input; where there are several, prints the name before.

    Errors as in `for_each`.
    """
    paths = options.operands or ["-"]
    is_first = True

    def show_one(path: str) -> None:
        nonlocal is_first
        with open_input(path) as file:
            if len(paths) > 1:
                print("" if is_first else "\n", f"==> {path} <==", sep="")
            is_first = False
            show(file)

    for_each(options.name, paths, show_one)


def open_input(path: str) -> BinaryIO:
    """Opens a file to read bytes; `-` is standard input, and closing it leaves that open.

    Raises `OSError` as `open` does.
    """
    if path != "-":
        return open(path, "rb")
    buffer: BinaryIO | None = getattr(sys.stdin, "buffer", None)
    if buffer is None:
        # A stream of text alone, as tests and pipes between commands may have.
        return io.BytesIO(sys.stdin.read().encode())
    return _KeepOpen(buffer)  # type: ignore[return-value]


class _KeepOpen:
    """A stream that others go on using: everything but closing it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def __iter__(self) -> Iterable[bytes]:
        return iter(self._stream)

    def __enter__(self) -> "_KeepOpen":
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves the stream open."""

    def close(self) -> None:
        """Leaves the stream open."""


def write_bytes(data: bytes) -> None:
    """Writes bytes to standard output, after what was printed before; as text where it takes only that."""
    stream: TextIO = sys.stdout
    buffer: BinaryIO | None = getattr(stream, "buffer", None)
    if buffer is None:
        stream.write(data.decode(errors="replace"))
        return
    stream.flush()
    buffer.write(data)
    buffer.flush()


def human_size(count_bytes: int) -> str:
    """Returns a size as `ls -h` writes it: `512`, `1.5K`, `23M`."""
    size = float(count_bytes)
    for unit in ("", "K", "M", "G", "T"):
        if size < 1024 or unit == "T":
            break
        size /= 1024
    return f"{size:.1f}{unit}" if unit and size < 10 else f"{size:.0f}{unit}"


def duration(seconds: float) -> str:
    """Returns a time as `1 day, 2:03:04`."""
    whole = int(seconds)
    days, rest = divmod(whole, 86400)
    clock = f"{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days} day{'' if days == 1 else 's'}, {clock}" if days else clock
