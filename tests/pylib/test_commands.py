"""The commands of /bin, each with its exact output, in a directory of the host."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
from commands import BIN, Result, run
from fake_hal import FakeHal

from kernel import log

NOT_THERE = "No such file or directory"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of the test's own, with a few files, that the command runs in."""
    (tmp_path / "b").write_text("one\ntwo\nthree\n")
    (tmp_path / "a").write_text("x" * 2000)
    (tmp_path / ".hidden").touch()
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "f").write_text("two\n")
    (tmp_path / "link").symlink_to("b")
    for name in ("a", "b", "d"):
        (tmp_path / name).chmod(0o755 if name == "d" else 0o644)
        os.utime(tmp_path / name, (0, 1_000_000_000))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.chdir(tmp_path)
    return tmp_path


OUTPUTS: list[tuple[str, list[str], str]] = [
    ("ls", [], "d/\na\nb\nlink\n"),
    ("ls", ["-r"], "link\nb\na\nd/\n"),
    ("ls", ["-a"], "d/\n.hidden\na\nb\nlink\n"),
    ("ls", ["d"], "e/\nf\n"),
    ("ls", ["-d", "d"], "d/\n"),
    ("ls", ["b"], "b\n"),
    ("ls", ["b", "d"], "b\n\nd:\ne/\nf\n"),
    ("ls", ["-l", "a", "b"], "-rw-r--r-- 2000 2001-09-09 01:46 a\n-rw-r--r-- 14 2001-09-09 01:46 b\n"),
    ("ls", ["-lh", "a"], "-rw-r--r-- 2.0K 2001-09-09 01:46 a\n"),
    ("cat", ["b"], "one\ntwo\nthree\n"),
    ("cat", ["-n", "b", "d/f"], "     1\tone\n     2\ttwo\n     3\tthree\n     4\ttwo\n"),
    ("head", ["-n", "2", "b"], "one\ntwo\n"),
    ("head", ["-1", "b", "d/f"], "==> b <==\none\n\n==> d/f <==\ntwo\n"),
    ("head", ["-c", "5", "b"], "one\nt"),
    ("tail", ["-n1", "b"], "three\n"),
    ("tail", ["-2", "b"], "two\nthree\n"),
    ("tail", ["-n", "+3", "b"], "three\n"),
    ("tail", ["-c", "4", "b"], "ree\n"),
    ("tail", ["-n0", "b"], ""),
    ("grep", ["t", "b"], "two\nthree\n"),
    ("grep", ["-n", "^t.o$", "b", "d/f"], "b:2:two\nd/f:1:two\n"),
    ("grep", ["-vi", "T", "b"], "one\n"),
    ("grep", ["-c", "e", "b"], "2\n"),
    ("grep", ["-rl", "two", "."], "./b\n./link\n./d/f\n"),
    ("find", [], ".\n./.hidden\n./a\n./b\n./d\n./d/e\n./d/f\n./link\n"),
    ("find", ["d", "-type", "f"], "d/f\n"),
    ("find", [".", "-name", "?", "-maxdepth", "1"], ".\n./a\n./b\n./d\n"),
    ("find", ["-type", "l"], "./link\n"),
    ("wc", ["b"], "      3       3      14 b\n"),
    ("wc", ["-l", "b", "d/f"], "      3 b\n      1 d/f\n      4 total\n"),
    ("echo", ["a  b", "c"], "a  b c\n"),
    ("echo", ["-n", "a"], "a"),
    ("date", ["+%%"], "%\n"),
    ("sleep", ["0"], ""),
]


@pytest.mark.parametrize(("name", "arguments", "expected"), OUTPUTS, ids=[" ".join([row[0], *row[1]]) for row in OUTPUTS])
def test_output(name: str, arguments: list[str], expected: str) -> None:
    result = run(name, *arguments)
    assert (result.out, result.err, result.status) == (expected, "", 0)


ERRORS: list[tuple[str, list[str], str]] = [
    ("ls", ["nope"], f"ls: nope: {NOT_THERE}\n"),
    ("cd", ["nope"], f"cd: nope: {NOT_THERE}\n"),
    ("cd", ["b"], "cd: b: Not a directory\n"),
    ("cat", ["d"], "cat: d: Is a directory\n"),
    ("cp", ["nope", "x"], f"cp: nope: {NOT_THERE}\n"),
    ("cp", ["d", "x"], "cp: d: Is a directory (cp -r copies it)\n"),
    ("cp", ["b", "b"], "cp: b: is the same file as b\n"),
    ("cp", ["a", "b", "x"], "cp: x: Not a directory\n"),
    ("cp", ["-r", "d", "d/e"], "cp: d: cannot be copied into itself, d/e/d\n"),
    ("cp", ["b"], "cp: an argument is missing; usage: cp [-r] SOURCE... TARGET\n"),
    ("mv", ["nope", "x"], f"mv: nope: {NOT_THERE}\n"),
    ("mv", ["d", "d/e"], "mv: d: cannot be moved into itself, d/e/d\n"),
    ("mv", ["b", "b"], "mv: b: is the same file as b\n"),
    ("rm", ["nope"], f"rm: nope: {NOT_THERE}\n"),
    ("rm", ["d"], "rm: d: Is a directory\n"),
    ("rm", ["-r", "/"], "rm: /: everything is there\n"),
    ("rm", [], "rm: an argument is missing; usage: rm [-fr] PATH...\n"),
    ("mkdir", ["d"], "mkdir: d: File exists\n"),
    ("mkdir", ["x/y"], f"mkdir: x/y: {NOT_THERE}\n"),
    ("rmdir", ["d"], "rmdir: d: Directory not empty\n"),
    ("rmdir", ["b"], "rmdir: b: Not a directory\n"),
    ("touch", ["x/y"], f"touch: x/y: {NOT_THERE}\n"),
    ("head", ["-n", "x", "b"], "head: x: not a whole number\n"),
    ("tail", ["nope"], f"tail: nope: {NOT_THERE}\n"),
    ("grep", ["[", "b"], "grep: [: unterminated character set at position 0\n"),
    ("find", ["nope"], f"find: nope: {NOT_THERE}\n"),
    ("find", ["-size", "3"], "find: -size: no such test (try `find --help`)\n"),
    ("find", ["-type", "x"], "find: -type: x: no such value\n"),
    ("date", ["today"], "date: today: a format begins with +; the clock cannot be set\n"),
    ("sleep", ["long"], "sleep: long: not a time in seconds\n"),
    ("sleep", ["nan"], "sleep: nan: not a time in seconds\n"),
    ("kill", ["999999999"], "kill: 999999999: No such thread\n"),
    ("kill", ["a99"], "kill: a99: No such task\n"),
    ("top", ["-d", "0"], "top: 0: not a time in seconds\n"),
    ("pwd", ["x"], "pwd: x: one argument too many; usage: pwd\n"),
    ("ls", ["-Z"], "ls: option -Z not recognized (try `ls --help`)\n"),
    ("poweroff", [], "poweroff: cannot switch off: this Python runs on Linux, not on PythonOS\n"),
    ("reboot", [], "reboot: cannot restart: this Python runs on Linux, not on PythonOS\n"),
    ("df", ["nope"], f"df: nope: {NOT_THERE}\n"),
]


@pytest.mark.parametrize(("name", "arguments", "expected"), ERRORS, ids=[" ".join([row[0], *row[1]]) for row in ERRORS])
def test_an_error_is_one_line(name: str, arguments: list[str], expected: str) -> None:
    result = run(name, *arguments)
    assert (result.err, result.status) == (expected, 1)


@pytest.mark.parametrize("name", sorted(path.stem for path in BIN.glob("*.py")))
def test_every_command_explains_itself(name: str) -> None:
    result = run(name, "--help")
    assert result.out.startswith(f"usage: {name}")
    assert (result.err, result.status) == ("", 0)
    if name not in ("df", "echo", "free", "ls"):
        assert run(name, "-h") == result, "where -h has no other meaning it explains too"


def test_one_failure_does_not_stop_the_rest() -> None:
    assert run("cat", "d/f", "nope", "d/f") == Result("two\ntwo\n", f"cat: nope: {NOT_THERE}\n", 1, str(Path.cwd()))


def test_a_session_moves_and_stays() -> None:
    start = str(Path.cwd())
    assert run("pwd") == Result(f"{start}\n", "", 0, start)
    assert run("cd", "d/e").cwd == f"{start}/d/e"
    assert run("pwd").out == f"{start}/d/e\n"
    assert run("cd", "nope").cwd == f"{start}/d/e"
    assert run("cd").cwd == "/"


def test_copies(here: Path) -> None:
    assert run("cp", "b", "new") == run("cp", "b", "d") == Result("", "", 0, str(here))
    assert (here / "new").read_text() == (here / "d" / "b").read_text() == "one\ntwo\nthree\n"
    assert run("cp", "-r", "d", "copy").status == 0
    assert sorted(path.name for path in (here / "copy").iterdir()) == ["b", "e", "f"]
    assert run("cp", "-r", "d", "copy").status == 0
    assert (here / "copy" / "d" / "f").read_text() == "two\n"
    assert run("cp", "/dev/null", "b").status == 0
    assert (here / "b").read_text() == ""


def test_moves(here: Path) -> None:
    assert run("mv", "a", "b", "d").status == 0
    assert run("mv", "d", "g").status == 0
    assert sorted(path.name for path in (here / "g").iterdir()) == ["a", "b", "e", "f"]
    assert run("mv", "g/a", "g/b").status == 0
    assert (here / "g" / "b").stat().st_size == 2000


def test_removes(here: Path) -> None:
    assert run("rm", "b", "link").status == 0
    assert run("rm", "-f", "b").err == ""
    assert run("rm", "-r", "d", "a").status == 0
    assert [path.name for path in here.iterdir()] == [".hidden"]


def test_makes_directories(here: Path) -> None:
    assert run("mkdir", "-p", "x/y/z", "d").status == 0
    assert run("rmdir", "x/y/z", "x/y").status == 0
    assert (here / "x").is_dir()
    assert not (here / "x" / "y").exists()


def test_touch(here: Path) -> None:
    before = time.time() - 2
    assert run("touch", "b", "new").status == run("touch", "-c", "none").status == 0
    assert (here / "b").stat().st_mtime > before
    assert (here / "b").stat().st_size == 14
    assert (here / "new").read_bytes() == b""
    assert not (here / "none").exists()


def test_standard_input_is_a_file_like_others() -> None:
    data = bytes(range(256)) * 10 + b"\nend\n"
    assert run("cat", stdin=data) == run("cat", "-", stdin=data)
    assert run("cat", stdin=b"a\nb").out == "a\nb"
    assert run("tail", "-1", stdin=data).out == "end\n"
    assert run("grep", "-c", "end", stdin=data).out == "1\n"
    assert run("head", "-n1", stdin=b"x\ny\n").out == "x\n"
    assert run("wc", "-l", stdin=b"x\ny\n").out == "      2\n"


def test_grep_without_a_match_has_status_1() -> None:
    assert run("grep", "zzz", "b") == Result("", "", 1, str(Path.cwd()))
    assert run("grep", "-q", "two", "b") == Result("", "", 0, str(Path.cwd()))


def test_long_listing_of_a_directory() -> None:
    lines = run("ls", "-l").out.splitlines()
    assert lines[0].startswith("drwxr-xr-x ")
    assert lines[0].endswith(" 2001-09-09 01:46 d/")
    assert lines[-1].endswith(" link -> b")


def test_ps() -> None:
    lines = run("ps").out.splitlines()
    assert lines[:3] == [
        "    ID STATE    CPU       TIME NAME",
        "     1 running    0      1.500 python3",
        "     7 waiting    1      0.000 idle/1",
    ]


def test_sysinfo(hal: FakeHal, here: Path) -> None:
    hal.cpu_rows.append((2, False, 0, 0, 0, 0, 0, 0, 0))
    text = run("sysinfo").out
    assert re.fullmatch(
        r"PythonOS\nCPUs: 2/3 online\nGIL: enabled\nScheduler: \d+ tasks\nMemory: 4 MiB free of 4 MiB\n"
        rf"Uptime: (\d+ days?, )?\d+:\d\d:\d\d\ncwd: {re.escape(str(here))}\n",
        text,
    )


def test_uptime(hal: FakeHal) -> None:
    number = r"\d+\.\d\d"
    assert re.fullmatch(
        rf"\d\d:\d\d:\d\d up (\d+ days?, )?\d+:\d\d:\d\d, 2 threads, load average: {number}, {number}, {number}\n",
        run("uptime").out,
    )


def test_date() -> None:
    before = int(time.time())
    printed = run("date", "-u", "+%s %Z").out.split()
    assert printed[1] in ("UTC", "GMT")
    assert before <= int(printed[0]) <= time.time()
    assert time.strptime(run("date").out.strip(), "%a %b %d %H:%M:%S %Z %Y")


def test_free() -> None:
    header, row = run("free").out.splitlines()
    assert header.split() == ["total", "used", "free", "available"]
    total, used, free, available = map(int, row.removeprefix("Mem:").split())
    assert total == used + free
    assert 0 < available <= total
    assert re.fullmatch(r"Mem:( +[\d.]+[KMGT]?){4}", run("free", "-h").out.splitlines()[1])


def test_df(here: Path) -> None:
    header, *rows = run("df").out.splitlines()
    assert header.split() == ["TYPE", "1K-BLOCKS", "USED", "FREE", "USE%", "MOUNTED", "ON"]
    assert [row.split()[0] for row in rows if row.endswith(" /proc")] == ["proc"]
    numbers = os.statvfs(here)
    (row,) = run("df", ".").out.splitlines()[1:]
    assert int(row.split()[1]) == numbers.f_blocks * numbers.f_frsize >> 10


def test_dmesg(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [log.Record(n * 1000, n, f"[PythonOS] INFO t: line {n}") for n in range(4)]
    monkeypatch.setattr(log, "records", lambda: iter(lines))
    assert run("dmesg", "-n", "2").out == "".join(f"[    0.00{n}000] [PythonOS] INFO t: line {n}\n" for n in (2, 3))
    assert len(run("dmesg").out.splitlines()) == 4
    assert run("dmesg", "-n", "0").out == ""


def test_clear() -> None:
    assert run("clear").out == "\x1b[H\x1b[2J\x1b[3J"


def test_top_shows_what_happened_between_two_samples(hal: FakeHal, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(seconds: float) -> None:
        """What the machine does while `top` waits: CPU 0 is busy for 3 of 4 seconds, thread 7 for 1."""
        hal.cpu_rows[0] = (0, True, 6_000_000_000, 2_000_000_000, 2, 15, 3, 5, 40)
        hal.thread_rows[1] = (7, "worker", "ready", 1, 1_000_000_000)

    monkeypatch.setattr(time, "sleep", work)
    times = iter([10_000_000_000, 14_000_000_000])
    monkeypatch.setattr(time, "monotonic_ns", lambda: next(times))
    assert run("top", "-b", "-n1", "-d", "4").out.splitlines() == [
        "up 0:00:14, 2 threads, 4.0M of 4.0M free",
        f"CPU0  [{'#' * 22:30}]  75%  queue 2  switches 5  steals 1  IPIs 2",
        f"CPU1  [{'':30}]   0%  queue 0  switches 0  steals 0  IPIs 0",
        "    ID  %CPU STATE    CPU       TIME NAME",
        "     7  25.0 ready      1      1.000 worker",
        "     1   0.0 running    0      1.500 python3",
    ]


def test_ed_edits_a_file(here: Path) -> None:
    result = run("ed", "-p", ":", "b", stdin=b"2d\nw\nq\n")
    assert (result.out, result.status) == ("14\n::10\n:", 0)
    assert (here / "b").read_text() == "one\nthree\n"


def test_commands_may_wait(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import commands

    (here / "later.py").write_text("import asyncio\nawait asyncio.sleep(0)\nprint('waited', *argv[1:])\n")
    monkeypatch.setattr(commands, "BIN", here)
    assert run("later", "x").out == "waited x\n"
