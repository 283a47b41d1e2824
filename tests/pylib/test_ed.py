"""`kernel.ed`: what GNU ed 1.19 printed for the same commands, written down."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from kernel import ed

TEXT = "alpha\nbeta gamma\nthe quick brown fox\njumps over\nthe lazy dog\n\ttab $ end\\back\nabc abc abc\nlast line\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the file `f`."""
    (tmp_path / "f").write_text(TEXT)
    (tmp_path / "g").write_text("one\ntwo\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edit(script: str, path: str | None = "f") -> str:
    """Edits a file with these commands; returns what was printed, without the count at the start."""
    out = io.StringIO()
    ed.Editor(io.StringIO(script), out).run(path)
    return out.getvalue().removeprefix("99\n")


CASES = {
    "print": ("2,3p\n.=\nq\n", "beta gamma\nthe quick brown fox\n3\n"),
    "number": ("1,2n\nq\n", "1\talpha\n2\tbeta gamma\n"),
    "list": ("6l\n6nl\nq\n", "\\ttab \\$ end\\\\back$\n6\t\\ttab \\$ end\\\\back$\n"),
    "line feed": ("6\n\n\nq\n", "\ttab $ end\\back\nabc abc abc\nlast line\n"),
    "addresses": ("5\n-2p\n+p\n--p\nQ\n", "the lazy dog\nthe quick brown fox\njumps over\nbeta gamma\n"),
    "sums": ("$-1p\n1 2p\nQ\n", "abc abc abc\nthe quick brown fox\n"),
    "commas": (",5=\n5,=\n%=\n=\n.=\nQ\n", "5\n5\n8\n8\n8\n"),
    "semicolon": ("1;+1p\nQ\n", "alpha\nbeta gamma\n"),
    "append": ("1a\nnew\n.\n1,3p\nQ\n", "alpha\nnew\nbeta gamma\n"),
    "insert": ("1i\nnew\n.\n1,2p\nQ\n", "new\nalpha\n"),
    "change": ("2,7c\nnew\n.\n,p\nQ\n", "alpha\nnew\nlast line\n"),
    "delete": ("2,7d\n,n\nQ\n", "1\talpha\n2\tlast line\n"),
    "join": ("1,2j\n1p\nQ\n", "alphabeta gamma\n"),
    "move": ("1,2m4\n1,4p\n.=\nQ\n", "the quick brown fox\njumps over\nalpha\nbeta gamma\n4\n"),
    "copy": ("1t0\n1,3p\nQ\n", "alpha\nalpha\nbeta gamma\n"),
    "marks": ("3kx\n1d\n'xn\n'xd\n'xp\nh\nQ\n", "2\tthe quick brown fox\n?\nInvalid address\n"),
    "search": ("/the/\n//\n//\n?be?\nq\n", "the quick brown fox\nthe lazy dog\nthe quick brown fox\nbeta gamma\n"),
    "substitute": ("7s/b/X/\ns//Y/gp\nu\np\nQ\n", "aXc aYc aYc\naXc abc abc\n"),
    "substitute nth": ("7s/abc/X/2p\nQ\n", "abc X abc\n"),
    "substitute groups": ("7s/\\(a\\)\\(b\\)/\\2\\1[&]/gp\nQ\n", "ba[ab]c ba[ab]c ba[ab]c\n"),
    "substitute again": ("7s/abc/X/\ns\np\nQ\n", "X X abc\n"),
    "substitute a line end": ("7s/ abc$/A\\\nB/\n7,$p\nQ\n", "abc abcA\nB\nlast line\n"),
    "plain by default": ("s/e+/x/\nh\n6s/$ end/&&/p\nQ\n", "?\nNo match\n\ttab $ end$ end\\back\n"),
    "classes": ("3s/[[:space:]][a-q]*/<&>/gp\nQ\n", "the< q>uick< b>rown< fo>x\n"),
    "undo": ("1,7d\n,p\nu\n1p\nu\n,p\nQ\n", "last line\nalpha\nlast line\n"),
    "undo of global": ("g/a/d\n=\nu\n=\nQ\n", "2\n8\n"),
    "global": ("g/the/s//THE/\\\np\nQ\n", "THE quick brown fox\nTHE lazy dog\n"),
    "global append": ("g/^t/a\\\nnew\\\n.\n3,4p\nQ\n", "the quick brown fox\nnew\n"),
    "global reversed": ("g/./m0\n1p\n$p\nQ\n", "last line\nalpha\n"),
    "inverse": ("v/e/p\nQ\n", "alpha\nabc abc abc\n"),
    "read": ("$r g\n,=\n$p\nQ\n", "8\n10\ntwo\n"),
    "file": ("f\nf new\nf\nQ\n", "f\nnew\nnew\n"),
    "edit": ("e g\n,p\nq\n", "8\none\ntwo\n"),
    "unknown": ("Y\nh\nQ\n", "?\nUnknown command\n"),
    "always explain": ("H\n99p\nQ\n", "?\nInvalid address\n"),
    "no pattern": ("//\nh\nQ\n", "?\nNo previous pattern\n"),
    "no undo": ("u\nh\nQ\n", "?\nNothing to undo\n"),
    "no undo after nothing": ("1d\n1i\n.\nu\nh\nQ\n", "?\nNothing to undo\n"),
    "no undo after no match": ("1d\ns/nope/x/\nu\nh\nQ\n", "?\n?\nNothing to undo\n"),
    "undo after a wrong address": ("1d\n99d\nu\n1p\nQ\n", "?\nalpha\n"),
    "global on nothing": ("1,$d\ng/x/p\nh\nQ\n", "?\nInvalid address\n"),
    "order": ("2,1p\nh\nQ\n", "?\nInvalid address\n"),
    "suffix": ("1dx\nh\nQ\n", "?\nInvalid command suffix\n"),
    "prompt": ("P\n1p\nP\n2p\nQ\n", "*alpha\n*beta gamma\n"),
    "screen": ("2z2\nQ\n", "beta gamma\nthe quick brown fox\n"),
}  # fmt: skip


@pytest.mark.parametrize(("script", "expected"), CASES.values(), ids=CASES.keys())
def test_it_prints_what_gnu_ed_prints(script: str, expected: str) -> None:
    assert edit(script) == expected


def test_quitting_warns_once_about_changes(here: Path) -> None:
    assert edit("1d\nq\nh\nq\nq\n1p\n") == "?\nWarning: buffer modified\n?\n"
    assert edit("1d\nq\nq\n1p\n") == "?\n"
    assert (here / "f").read_text() == TEXT


def test_long_lines_are_folded(here: Path) -> None:
    (here / "long").write_text("x" * 71 + "\té" + "y" * 70 + "\n")
    first, second, third = "x" * 71 + "\\t\\", "\\303\\251" + "y" * 64 + "\\", "y" * 6 + "$"
    assert edit("l\nq\n", "long") == f"145\n{first}\n{second}\n{third}\n"


def test_writing(here: Path) -> None:
    assert edit("1,2w out\nW out\n1d\nwq\n") == "17\n99\n93\n"
    assert (here / "out").read_text() == TEXT[:17] + TEXT
    assert (here / "f").read_text() == TEXT[6:]


def test_a_new_file_is_made(here: Path) -> None:
    assert edit("a\nhällo\n.\nw\nq\n", "new") == "new: No such file or directory\n?\n7\n"
    assert (here / "new").read_text() == "hällo\n"


def test_bytes_that_are_no_text_survive(here: Path) -> None:
    (here / "b").write_bytes(b"a\xff\x00b\nlast")
    assert edit("1l\nw\nq\n", "b") == "Newline appended\n10\na\\377\\000b$\n10\n"
    assert (here / "b").read_bytes() == b"a\xff\x00b\nlast\n"


def test_a_failed_write_changes_nothing(here: Path) -> None:
    assert edit("w /nowhere/f\nh\nQ\n") == "/nowhere/f: No such file or directory\n?\nCannot open output file\n"


def test_the_end_of_input_with_changes_is_a_failure() -> None:
    assert ed.Editor(io.StringIO("1d\n"), io.StringIO()).run("f") == 1
    assert ed.Editor(io.StringIO("1p\n"), io.StringIO()).run("f") == 0


@pytest.mark.parametrize(
    ("basic", "text", "found"),
    [
        ("a\\{2,3\\}", "caaaat", "aaa"),
        ("a*", "aab", "aa"),
        ("*a", "b*a", "*a"),
        ("\\(*a\\)", "b*a", "*a"),
        ("a+(b)|{c}", "a+(b)|{c}", "a+(b)|{c}"),
        ("a\\+\\(b\\|c\\)\\?", "aac", "aac"),
        ("[]^-]*", "x]-^", ""),
        ("[^]a]", "]ab", "b"),
        ("[a\\]", "\\", "\\"),
        ("a^b$c", "a^b$c", "a^b$c"),
        ("\\(a\\)\\1", "aba a aa", "aa"),
        ("\\<b", "ab b", "b"),
        ("a.c", "a\u00e9c", "a\u00e9c"),
        ("[[:digit:][:upper:]]\\+", "abC12d", "C12"),
    ],
)
def test_basic_regular_expressions(basic: str, text: str, found: str) -> None:
    import re

    match = re.search(ed.translate(basic), text)
    assert match is not None
    assert match[0] == found


@pytest.mark.parametrize("basic", ["[a", "a\\{2", "a\\{x\\}", "\\", "[[:nope:]]"])
def test_wrong_expressions_are_refused(basic: str) -> None:
    with pytest.raises(ed.EdError):
        ed.translate(basic)
