"""/examples/thread_demo.py, as a program and at the prompt."""

from __future__ import annotations

import re

import pytest

from harness.machines import Machines, Shape
from harness.serial import Console


def check(text: str, cpus: int) -> None:
    """Checks the words and their order."""
    workers = max(2, min(cpus, 16))
    expected = [
        "thread demo",
        *(f"worker {i} done: True" for i in range(workers)),
        "timeout phase: True",
        "delayed phase: True",
        "worker ident: True",
        "worker done: True",
        "delayed ident: True",
        f"workers: {workers}",
        f"values: {list(range(workers))}",
        "timeout expired: True",
        "delayed acquire: True",
    ]
    lines = text.splitlines()
    begin = lines.index("thread demo")
    assert lines[begin : begin + len(expected)] == expected
    rest = lines[begin + len(expected) :]
    used = [re.fullmatch(rf"worker {i} cpu: ([\d, ]+)", rest[i]) for i in range(workers)]
    assert all(used), rest
    assert all(int(cpu) < cpus for match in used if match for cpu in match[1].split(", "))
    overlap = re.fullmatch(r"overlap: (\d+)%", rest[workers])
    assert overlap is not None, rest
    assert int(overlap[1]) >= 50
    assert re.fullmatch(rf"speed-up: [\d.]+ with {workers} workers over one", rest[workers + 1])


@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_as_a_program(machines: Machines, cpus: int) -> None:
    with Console(machines.command(Shape(cpus=cpus), ["/examples/thread_demo.py"])) as console:
        console.expect(r"speed-up: [^\n]*\n", 60)
        check(console.text(), cpus)
        assert console.wait_for_exit(20) == 0


def test_at_the_prompt(machines: Machines) -> None:
    with machines.prompt(Shape()) as prompt:
        prompt.type_line("import runpy; d = runpy.run_path('/examples/thread_demo.py')")
        prompt.expect(r"speed-up: [^\n]*\n", 60)
        prompt.wait_for_prompt()
        check(prompt.text(), 2)


def test_primes(machines: Machines) -> None:
    with Console(machines.command(Shape(), ["/examples/primes.py", "30"])) as console:
        console.expect(r"^2 3 5 7 11 13 17 19 23 29\r?\n10 primes up to 30\r?\n", 60)
        assert console.wait_for_exit(20) == 0
