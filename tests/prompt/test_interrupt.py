"""Ctrl-C on the serial line: KeyboardInterrupt within a second, and the prompt lives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.machines import HostWaits, Machines, Shape
from harness.serial import Prompt


@pytest.fixture(scope="module", params=[(1, "dumb"), (2, "dumb"), (2, "xterm-256color")], ids=str)
def machine(machines: Machines, request: pytest.FixtureRequest) -> Iterator[Prompt]:
    """One machine at its prompt."""
    cpus, terminal = request.param
    with machines.prompt(Shape(cpus=cpus), terminal=terminal) as running:
        running.run("import _thread, threading, time, select, os, queue")
        # Says, from a thread, that the rest of the line that called it is under way. A bare thread
        # does: a `threading.Timer` that ends runs finalizers in the main thread, where they
        # could swallow the KeyboardInterrupt.
        running.run("def announced(): print('under', 40 + 2)\r")
        running.run("def announce(): _thread.start_new_thread(lambda: (time.sleep(0.7), announced()), ())\r")
        yield running


@pytest.fixture
def prompt(machine: Prompt) -> Prompt:
    """The machine at a fresh line of its prompt, whatever the test before did."""
    machine.interrupt()
    return machine


@pytest.mark.parametrize(
    "statement",
    [
        "exec('while True: pass')",
        "time.sleep(100)",
        "lock.acquire()",
        "lock.acquire(timeout=100)",
        "threading.Event().wait()",
        "queue.Queue().get()",
        "queue.SimpleQueue().get()",
        "select.select([], [], [], 100)",
        "os.read(os.pipe()[0], 1)",
        "thread.join()",
    ],
)
def test_ctrl_c_interrupts(prompt: Prompt, statement: str) -> None:
    prompt.run("lock = threading.Lock(); _ = lock.acquire()")
    prompt.run("thread = threading.Thread(target=time.sleep, args=(4,)); thread.start()")
    # On one line, so that the time counts from where the line runs, however long it took to type.
    prompt.type_line("announce(); " + statement)
    prompt.expect("under 42\r?\n", 20)
    interrupt(prompt)


def test_ctrl_c_interrupts_input(prompt: Prompt) -> None:
    prompt.type_line("input('waiting ' + str(40 + 2))")
    prompt.expect("waiting 42", 10)
    interrupt(prompt)


def test_ctrl_c_drops_a_half_typed_line(prompt: Prompt) -> None:
    prompt.send("half = 5")
    prompt.expect("5", 10)
    interrupt(prompt)
    assert prompt.evaluate("'half' in globals()") == "False"


def test_ctrl_backslash_shows_what_runs(prompt: Prompt) -> None:
    # Not in a call of the kernel: CPython's handler has it restarted (SA_RESTART), so a Ctrl-C
    # that comes while the traceback is still being printed would not end it.
    prompt.type_line("announce(); exec('while True: pass')")
    prompt.expect("under 42\r?\n", 20)
    prompt.send(b"\x1c")
    prompt.expect(r'most recent call first\):\r?\n(.*\n)*?  File "<(stdin|python-input-\d+)>", line 1 in <module>', 10)
    interrupt(prompt)


def test_ctrl_backslash_at_the_prompt_ends_nothing(prompt: Prompt) -> None:
    prompt.send(b"\x1c")
    prompt.expect("in main\r?\n", 10)
    assert prompt.evaluate("3 * 5") == "15"


def interrupt(prompt: Prompt) -> None:
    """Types Ctrl-C and checks that it works within a second, and that the prompt lives after it.

    What the host let the machine wait for its own CPUs does not count: from the serial line to
    the interrupted thread and back it goes through several threads of QEMU.
    """
    host = HostWaits(prompt.pid)
    seconds = prompt.interrupt()
    assert seconds - host.total() < 1.0
    assert prompt.evaluate("1 + 1") == "2"
