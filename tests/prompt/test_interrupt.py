"""Ctrl-C on the serial line: KeyboardInterrupt within a second, and the prompt lives."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from harness.machines import Machines, Shape
from harness.serial import Prompt

TERMINALS = ("dumb", "xterm-256color")


@pytest.fixture(scope="module", params=[(1, "dumb"), (2, "dumb"), (2, "xterm-256color")], ids=str)
def prompt(machines: Machines, request: pytest.FixtureRequest) -> Iterator[Prompt]:
    """One machine at its prompt; each test leaves it at a prompt."""
    cpus, terminal = request.param
    with machines.prompt(Shape(cpus=cpus), terminal=terminal) as running:
        running.type_line("import threading, time, select, os, queue")
        running.wait_for_prompt()
        yield running


@pytest.mark.parametrize(
    "statement",
    [
        "while True: pass\r",
        "time.sleep(100)",
        "lock = threading.Lock(); lock.acquire(); lock.acquire()",
        "lock = threading.Lock(); lock.acquire(); lock.acquire(timeout=100)",
        "threading.Event().wait()",
        "queue.Queue().get()",
        "queue.SimpleQueue().get()",
        "select.select([], [], [], 100)",
        "os.read(os.pipe()[0], 1)",
        "sorted(range(10**7), key=lambda x: -x)",
        "t = threading.Thread(target=time.sleep, args=(3,)); t.start(); t.join()",
    ],
)
def test_ctrl_c_interrupts(prompt: Prompt, statement: str) -> None:
    # The statement is under way once the guest has printed the sum.
    prompt.type_line(f"print('under', 40 + 2); {statement}" if not statement.startswith("while") else statement)
    if statement.startswith("while"):
        time.sleep(1.0)
    else:
        prompt.expect("under 42\r?\n", 10)
        time.sleep(0.3)
    interrupt(prompt)


def test_ctrl_c_interrupts_input(prompt: Prompt) -> None:
    prompt.type_line("input('waiting ' + str(40 + 2))")
    prompt.expect("waiting 42", 10)
    interrupt(prompt)


def test_ctrl_c_drops_a_half_typed_line(prompt: Prompt) -> None:
    prompt.send("half = 'typed")
    prompt.expect("typed", 10)
    interrupt(prompt)
    assert prompt.evaluate("'half' in globals()") == "False"


def interrupt(prompt: Prompt) -> None:
    """Types Ctrl-C and checks that it works within a second, and that the prompt lives after it."""
    prompt.skip()
    typed = time.monotonic()
    prompt.send(b"\x03")
    seen = prompt.expect("KeyboardInterrupt", 10)
    taken = prompt.seconds_until(seen) + prompt.started - typed
    assert taken < 1.0
    prompt.wait_for_prompt(10)
    assert prompt.evaluate("1 + 1") == "2"
