"""Which lines are commands, and how a command line splits."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel.shell._words import ShellSyntaxError, command_name, parse


def argv_of(line: str) -> list[str]:
    """Returns the words of a line that is one command."""
    (pipeline,) = parse(line)
    (command,) = pipeline.commands
    return command.argv()


@pytest.mark.parametrize(
    ("line", "argv"),
    [
        ("ls", ["ls"]),
        ("  cp  a\tb ", ["cp", "a", "b"]),
        ("show 'a b' \"c d\" e\\ f", ["show", "a b", "c d", "e f"]),
        ("show 'it'\\''s'", ["show", "it's"]),
        ('show "a \\"b\\" \\n"', ["show", 'a "b" \\n']),
        ("show '' \"\"", ["show", "", ""]),
        ("show a'b'\"c\"", ["show", "abc"]),
        ("show '|' \\> ';'", ["show", "|", ">", ";"]),
        ("show a # b", ["show", "a"]),
        ("show a#b", ["show", "a#b"]),
        ("show $HOME ~ `x`", ["show", "$HOME", "~", "`x`"]),
    ],
)
def test_words_split_as_in_a_posix_shell(line: str, argv: list[str]) -> None:
    assert argv_of(line) == argv


def test_patterns_match_file_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.py", "a.py", ".hidden.py", "a*.txt", "ab.txt"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert argv_of("ls *.py") == ["ls", "a.py", "b.py"]
    assert argv_of("ls '*.py' \"*\".py \\*.py") == ["ls", "*.py", "*.py", "*.py"]
    assert argv_of("ls 'a*'.t?t [b].py none*") == ["ls", "a*.txt", "b.py", "none*"]


def test_pipelines_redirections_and_background() -> None:
    first, second, third = parse("cat < in | grep -c x>out; sleep 5 & ls >> 'a b'")
    assert [command.argv() for command in first.commands] == [["cat"], ["grep", "-c", "x"]]
    assert [(operator, word.text) for operator, word in first.commands[0].redirections] == [("<", "in")]
    assert [(operator, word.text) for operator, word in first.commands[1].redirections] == [(">", "out")]
    assert not first.in_background
    assert second.in_background
    assert second.source == "sleep 5"
    assert [(operator, word.text) for operator, word in third.commands[0].redirections] == [(">>", "a b")]


def test_a_line_without_a_command_is_nothing() -> None:
    assert parse("") == parse("  # only a comment") == parse(" ; ;") == []


@pytest.mark.parametrize(
    "line",
    ["ls |", "| ls", "ls >", "ls > | cat", "ls && ls", "a || b", "& ls", "ls ; & ls", "ls 'a", 'ls "a', "ls a\\", "> x"],
)
def test_what_cannot_be_understood_is_an_error(line: str) -> None:
    with pytest.raises(ShellSyntaxError):
        parse(line)


@pytest.mark.parametrize("line", ["ls", "ls -l", "ls /bin", "ls 'a b'", "ls == 5", "ls *.py", "ls > out", "ls | cat", "ls\n"])
def test_a_word_that_names_no_object_runs_a_command(line: str) -> None:
    assert command_name(line, {"x"}.__contains__, {"ls"}.__contains__) == "ls"


@pytest.mark.parametrize(
    "line",
    [
        "ls = 5", "ls += 1", "ls: int = 5", "ls : int = 5", "ls //= 2", "ls = (", "ls, b = 1, 2", "ls[0] = 1", "ls.x", "ls()",
        " ls", "x", "x is None", "import os", "del ls", "print 5", "cat", "@ls", "'ls'", "5", "",
    ],
)  # fmt: skip
def test_everything_else_is_python(line: str) -> None:
    assert command_name(line, {"x"}.__contains__, {"ls", "import", "x"}.__contains__) is None


def test_an_object_of_that_name_comes_first() -> None:
    assert command_name("ls", {"ls"}.__contains__, {"ls"}.__contains__) is None
