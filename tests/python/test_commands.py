"""The commands of /bin print on the machine what they print on Linux, and what they say of the machine is true."""

from __future__ import annotations

import re
import secrets

from command_rows import ERRORS, OUTPUTS

from harness.machines import Machines
from harness.serial import Guest


def test_every_row_prints_what_it_prints_on_linux(guest: Guest) -> None:
    rows = [(row[0], row[1]) for row in (*OUTPUTS, *ERRORS)]
    expected = [[row[2], "", 0] for row in OUTPUTS] + [["", row[2], 1] for row in ERRORS]
    found = guest.call("commands.run_rows", rows)
    # Some print what they can before they say what they cannot.
    wrong = [
        (row, printed)
        for row, wanted, printed in zip(rows, expected, found, strict=True)
        if printed[1:] != wanted[1:] or (not wanted[1] and printed[0] != wanted[0])
    ]
    assert wrong == []


def test_sysinfo(guest: Guest, machines: Machines) -> None:
    out, err, status = guest.call("commands.run_one", "sysinfo")
    gil = "disabled" if machines.settings.free_threading else "enabled"
    assert (err, status) == ("", 0)
    assert re.fullmatch(
        rf"PythonOS\nCPUs: 2/2 online\nGIL: {gil}\nScheduler: \d+ tasks\nMemory: \d+ MiB free of \d+ MiB\n"
        r"Uptime: (\d+ days?, )?\d+:\d\d:\d\d\ncwd: /.*\n",
        out,
    )


def test_ps_shows_the_thread_that_runs_it(guest: Guest) -> None:
    out, err, _ = guest.call("commands.run_one", "ps")
    header, *rows = out.splitlines()
    assert (header, err) == ("    ID NAME             STATE    CPU       TIME", "")
    assert [row for row in rows if re.fullmatch(r" +1 python3 +running +[01] +\d+\.\d{3}", row)] != []


def test_free_and_df_and_uptime(guest: Guest) -> None:
    total, used, free, available = map(int, guest.call("commands.run_one", "free")[0].splitlines()[1].split()[1:])
    assert total == used + free
    assert 900_000 < total < 1_048_576
    assert available < total
    rows = guest.call("commands.run_one", "df")[0].splitlines()[1:]
    assert [row.split()[-1] for row in rows] == ["/", "/dev", "/proc", "/sys"]
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d up \d+:\d\d:\d\d, \d+ threads, load average: (\d+\.\d\d(, |\n)){3}",
        guest.call("commands.run_one", "uptime")[0],
    )


def test_dmesg_shows_the_log(guest: Guest) -> None:
    word = secrets.token_hex(8)
    lines = guest.call("commands.run_one", "dmesg")[0].splitlines()
    assert all(re.match(r"\[ *\d+\.\d{6}\] \[PythonOS\] (DEBUG|INFO|WARN|ERROR) [\w.]+: ", line) for line in lines)
    assert [line for line in lines if line.endswith("kernel.boot: SMP online 2/2")] != []
    guest.call("commands.log", word)
    assert guest.call("commands.run_one", "dmesg", "-n", "1")[0].endswith(f"[PythonOS] WARN tests: {word}\n")


def test_top_shows_cpus_and_threads(guest: Guest) -> None:
    lines = guest.call("commands.run_one", "top", "-b", "-n", "1", "-d", "0.1")[0].splitlines()
    assert re.fullmatch(r"up \d+:\d\d:\d\d, \d+ threads, \S+ of \S+ free", lines[0])
    for cpu in (0, 1):
        bar = rf"CPU{cpu}  \[[# ]{{30}}\] +\d+%  queue \d+  switches \d+  steals \d+  IPIs \d+"
        assert re.fullmatch(bar, lines[1 + cpu])
    assert lines[3] == "    ID  %CPU STATE    CPU       TIME NAME"


def test_ed_edits_a_file(guest: Guest) -> None:
    assert guest.call("commands.edit", "/tmp/edited", "2s/o/0/p\n1d\nw\nq\n") == ["8\ntw0\n4\n", "tw0\n"]


def test_kernel_threads_are_not_pythons_to_kill(guest: Guest) -> None:
    rows = guest.call("commands.run_one", "ps")[0].splitlines()
    (number,) = [row.split()[0] for row in rows if row.split()[1] == "network"]
    assert guest.call("commands.run_one", "kill", number) == ["", f"kill: {number}: Not a Python thread\n", 1]
    assert guest.call("commands.run_one", "kill", "1") == ["", "kill: 1: The main thread cannot be killed\n", 1]


def test_kill_ends_threads_whatever_they_do(guest: Guest) -> None:
    assert guest.call("commands.kill_what_runs") == [
        [name, "killed", ["", "", 0]] for name in ("compute", "wait", "sleep")
    ]
