"""The commands of /bin, each with its exact output, in a directory of the host."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import commands
import pytest
from command_rows import ERRORS, NOT_THERE, OUTPUTS
from commands import Result, run
from fake_hal import FakeHal

from harness.paths import REPOSITORY
from kernel import log

BIN = REPOSITORY / "pylib" / "bin"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of the test's own, with a few files, that the command runs in."""
    monkeypatch.setattr(commands, "BIN", BIN)
    commands.make_files(tmp_path)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("name", "arguments", "expected"), OUTPUTS, ids=[" ".join([row[0], *row[1]]) for row in OUTPUTS])
def test_output(name: str, arguments: list[str], expected: str) -> None:
    result = run(name, *arguments)
    assert (result.out, result.err, result.status) == (expected, "", 0)


#: These the machine does.
HERE_ALONE: list[tuple[str, list[str], str]] = [
    ("poweroff", [], "poweroff: cannot switch off: this Python runs on Linux, not on PythonOS\n"),
    ("reboot", [], "reboot: cannot restart: this Python runs on Linux, not on PythonOS\n"),
]
FAILING = [*ERRORS, *HERE_ALONE]


@pytest.mark.parametrize(("name", "arguments", "expected"), FAILING, ids=[" ".join([row[0], *row[1]]) for row in FAILING])
def test_an_error_is_one_line(name: str, arguments: list[str], expected: str) -> None:
    result = run(name, *arguments)
    assert (result.err, result.status) == (expected, 1)


@pytest.mark.parametrize("name", sorted(path.stem for path in BIN.glob("*.py")))
def test_every_command_explains_itself(name: str) -> None:
    result = run(name, "--help")
    assert result.out.startswith(f"usage: {name}")
    assert (result.err, result.status) == ("", 0)
    assert run(name, "-h") == result


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
        "    ID NAME             STATE    CPU       TIME",
        "     1 python3          running    0      1.500",
        "     7 idle/1           waiting    1      0.000",
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
    assert re.fullmatch(r"Mem:( +[\d.]+[KMGT]?){4}", run("free", "-H").out.splitlines()[1])


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
    (here / "later.py").write_text("import asyncio\nawait asyncio.sleep(0)\nprint('waited', *argv[1:])\n")
    monkeypatch.setattr(commands, "BIN", here)
    assert run("later", "x").out == "waited x\n"
