"""The shell's language: which lines are commands, and how a command line splits.

Words split as POSIX's shell splits them (XCU 2.2, 2.3): blanks, quotes, backslashes, comments;
operators are `|`, `<`, `>`, `>>`, `;` and `&`. Nothing is expanded but file name patterns.
"""

import glob
import keyword
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field


class ShellSyntaxError(Exception):
    """A command line that cannot be understood; the message says where."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word: what it says, and the pattern if something unquoted in it makes it one."""

    text: str
    pattern: str | None = None

    def expand(self) -> list[str]:
        """Returns the names that match the pattern, sorted; the word itself if none does."""
        if self.pattern is None:
            return [self.text]
        return sorted(glob.glob(self.pattern)) or [self.text]


@dataclass(slots=True)
class Command:
    """One command of a pipeline."""

    words: list[Word] = field(default_factory=list)
    #: Operators `<`, `>`, `>>` and the words after them, in order.
    redirections: list[tuple[str, Word]] = field(default_factory=list)

    def argv(self) -> list[str]:
        """Returns the words with patterns expanded."""
        return [text for word in self.words for text in word.expand()]


@dataclass(slots=True)
class Pipeline:
    """Commands, each reading what the one before writes."""

    commands: list[Command]
    in_background: bool
    source: str


_OPERATORS = re.compile(r">>|\|\||&&|[|<>;&]")
_WORD_ENDS = frozenset(" \t\n|<>;&")


def parse(line: str) -> list[Pipeline]:
    """Returns the pipelines of a line; raises `ShellSyntaxError`."""
    pipelines: list[Pipeline] = []
    commands = [Command()]
    redirection: str | None = None
    start = 0
    for token, end in [*_tokens(line), (";", len(line))]:
        command = commands[-1]
        if isinstance(token, Word):
            if redirection is None:
                command.words.append(token)
            else:
                command.redirections.append((redirection, token))
                redirection = None
            continue
        if redirection is not None or token in ("||", "&&"):
            raise ShellSyntaxError(f"syntax error near '{token}'")
        if token in ("<", ">", ">>"):
            redirection = token
            continue
        if not command.words:
            # Nothing at all between two `;`, or before the end, is fine.
            if token == ";" and len(commands) == 1 and not command.redirections:
                start = end
                continue
            raise ShellSyntaxError(f"syntax error near '{token}': no command before it")
        if token == "|":
            commands.append(Command())
            continue
        pipelines.append(Pipeline(commands, token == "&", line[start:end].strip(" \t\n;&")))
        commands, start = [Command()], end
    return pipelines


def _tokens(line: str) -> Iterable[tuple[Word | str, int]]:
    """Yields words and operators with the place behind each."""
    position = 0
    while position < len(line):
        if line[position] in " \t\n":
            position += 1
        elif line[position] == "#":
            end = line.find("\n", position)
            position = len(line) if end < 0 else end
        elif operator := _OPERATORS.match(line, position):
            position = operator.end()
            yield operator[0], position
        else:
            word, position = _word(line, position)
            yield word, position


def _word(line: str, position: int) -> tuple[Word, int]:
    """Reads the word at `position`; returns it with the place behind it."""
    text: list[str] = []
    pattern: list[str] = []
    is_pattern = False

    def take(piece: str) -> None:
        text.append(piece)
        pattern.append(glob.escape(piece))

    while position < len(line) and line[position] not in _WORD_ENDS:
        char = line[position]
        position += 1
        if char == "\\":
            if position == len(line):
                raise ShellSyntaxError("nothing follows the last '\\'")
            take(line[position])
            position += 1
        elif char == "'":
            end = line.find("'", position)
            if end < 0:
                raise ShellSyntaxError("no closing quote: '")
            take(line[position:end])
            position = end + 1
        elif char == '"':
            while True:
                if position >= len(line):
                    raise ShellSyntaxError('no closing quote: "')
                if line[position] == '"':
                    position += 1
                    break
                # Within double quotes a backslash quotes these characters alone.
                if line[position] == "\\" and line[position + 1 : position + 2] in ("$", "`", '"', "\\"):
                    position += 1
                take(line[position])
                position += 1
        else:
            is_pattern = is_pattern or char in "*?["
            text.append(char)
            pattern.append(char)
    return Word("".join(text), "".join(pattern) if is_pattern else None), position


#: A word, alone or before blanks; what follows the blanks.
_FIRST_WORD = re.compile(r"([A-Za-z_][\w.+-]*)(?:[ \t]+(.*))?\s*\Z", re.DOTALL)
#: What makes a line bind its first word: an assignment, an annotation.
_BINDS = re.compile(r"(?:\*\*|//|>>|<<|[-+*/%@&|^])?=(?!=)|:")


def command_name(
    line: str, is_python_name: Callable[[str], bool], is_command: Callable[[str], bool]
) -> str | None:
    """Returns the command that a line typed at the Python prompt names, or None if it is Python.

    It is a command if it is a word, alone or with arguments, that names a command and no Python object.
    """
    match = _FIRST_WORD.match(line)
    if match is None:
        return None
    word, rest = match[1], match[2] or ""
    if keyword.iskeyword(word) or is_python_name(word) or _BINDS.match(rest):
        return None
    return word if is_command(word) else None
