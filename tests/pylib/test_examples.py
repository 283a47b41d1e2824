"""The examples run on any Python, so here they run on the host's."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys

import pytest

from harness.paths import REPOSITORY

EXAMPLES = REPOSITORY / "pylib" / "examples"


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs an example as a program."""
    return subprocess.run([sys.executable, EXAMPLES / name, *arguments], capture_output=True, text=True, timeout=60)


def test_primes_up_to_30_are_10() -> None:
    assert run("primes.py", "30").stdout == "2 3 5 7 11 13 17 19 23 29\n10 primes up to 30\n"


@pytest.mark.parametrize(("limit", "found"), [("0", 0), ("1", 0), ("2", 1), ("3", 2), ("4", 2), ("1000", 168)])
def test_number_of_primes(limit: str, found: int) -> None:
    assert run("primes.py", limit).stdout.splitlines()[-1] == f"{found} primes up to {limit}"


def test_primes_refuses_what_is_no_limit() -> None:
    result = run("primes.py", "x")
    assert (result.returncode, result.stderr) == (2, "primes: x: not a whole number of at least 0\n")


def test_thread_demo_prints_its_lines_in_order() -> None:
    lines = run("thread_demo.py").stdout.splitlines()
    workers = max(2, min(len(os.sched_getaffinity(0)), 16))
    assert lines[:1] == ["thread demo"]
    assert lines[1 : workers + 1] == [f"worker {i} done: True" for i in range(workers)]
    assert [line.partition(":")[0] for line in lines[workers + 1 : workers + 10]] == [
        "timeout phase",
        "delayed phase",
        "worker ident",
        "worker done",
        "delayed ident",
        "workers",
        "values",
        "timeout expired",
        "delayed acquire",
    ]


def test_examples_run_by_path_at_the_prompt(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = sys.argv
    sys.argv = ["primes.py", "10"]
    try:
        runpy.run_path(str(EXAMPLES / "primes.py"))
    finally:
        sys.argv = arguments
    assert capsys.readouterr().out == "2 3 5 7\n4 primes up to 10\n"


def test_readme_names_every_example() -> None:
    text = (EXAMPLES / "README.txt").read_text()
    assert [path.name for path in EXAMPLES.glob("*.py") if path.name not in text] == []
