"""The prompt on a terminal that can do nothing: TERM=dumb."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator

import pytest

from harness.machines import Machines, Shape
from harness.serial import Prompt


@pytest.fixture(scope="module")
def machine(machines: Machines) -> Iterator[Prompt]:
    """One machine at its prompt."""
    with machines.prompt(Shape()) as running:
        yield running


@pytest.fixture
def prompt(machine: Prompt) -> Prompt:
    """The machine at a fresh line of its prompt, whatever the test before did."""
    machine.interrupt()
    return machine


def test_banner_says_what_this_is(prompt: Prompt) -> None:
    assert "\nPythonOS kernel shell\nPython 3.14.7 " in prompt.text()
    assert re.search(r"INFO [\w.]+: event loop ready\n", prompt.text())
    assert re.search(r"INFO [\w.]+: shell spawned — system ready\n", prompt.text())


def test_what_is_typed_while_the_machine_starts_is_kept(machines: Machines) -> None:
    numbers = [secrets.randbelow(10**9) for _ in range(3)]
    lines = "".join(f"{number} ** 3\n" for number in numbers)
    with Prompt(machines.command(Shape(append=("env.TERM=dumb",)), ())) as prompt:
        # The emulator takes the first byte before the machine's first instruction.
        prompt.send(lines)
        for number in numbers:
            prompt.expect(f">>> {number**3}\r", 60)


def test_expressions_are_computed(prompt: Prompt) -> None:
    number = secrets.randbits(200)
    assert prompt.evaluate(f"{number}**3") == str(number**3)


def test_names_live_until_the_session_ends(prompt: Prompt) -> None:
    number = secrets.randbelow(10**6)
    prompt.run(f"kept = {number}")
    assert prompt.evaluate("kept + 1") == str(number + 1)
    start_afresh(prompt, "exit()\r")
    assert prompt.evaluate("'kept' in globals()") == "False"


def test_ctrl_d_starts_a_fresh_session(prompt: Prompt) -> None:
    prompt.run("kept = 1")
    start_afresh(prompt, "\x04")
    assert prompt.evaluate("'kept' in globals()") == "False"


def test_exit_prints_its_message(prompt: Prompt) -> None:
    a, b = secrets.randbelow(10**9), secrets.randbelow(10**9)
    prompt.type_line(f"exit(f'left with {{{a} * {b}}}')")
    prompt.expect(rf"left with {a * b}\r?\n", 10)
    prompt.wait_for_prompt()


def test_multi_line_blocks(prompt: Prompt) -> None:
    prompt.run("def triple(x):\r    return 3 * x\r")
    number = secrets.randbelow(10**9)
    assert prompt.evaluate(f"triple({number})") == str(3 * number)


def test_input_reads_a_line(prompt: Prompt) -> None:
    prompt.type_line("answer = input('your name? ' * 2)")
    prompt.expect(r"name\? your name\? ", 10)
    word = secrets.token_hex(8)
    prompt.run(word)
    assert prompt.evaluate("answer[::-1]") == repr(word[::-1])


def test_classes_of_the_session_can_be_pickled(prompt: Prompt) -> None:
    prompt.run("class Point: x = 5\r")
    assert prompt.evaluate("__import__('pickle').loads(__import__('pickle').dumps(Point)) is Point") == "True"


def test_backspace_edits_the_line(prompt: Prompt) -> None:
    prompt.send(b"print(6 * 8\x7f7)\r")
    prompt.expect(r"42\r?\n", 10)
    prompt.wait_for_prompt()


def test_errors_show_a_traceback(prompt: Prompt) -> None:
    a, b = secrets.randbelow(10**9), secrets.randbelow(10**9)
    prompt.type_line(f"raise LookupError({a} * {b})")
    prompt.expect(rf"Traceback \(most recent call last\):(.|\s)*LookupError: {a * b}\r?\n", 10)
    assert prompt.evaluate("1") == "1"


def test_help_explains(prompt: Prompt) -> None:
    prompt.type_line("help(len)")
    prompt.expect("Return the number of items in a container", 30)
    prompt.wait_for_prompt()
    assert prompt.evaluate("2") == "2"


def test_long_pasted_text_arrives_whole(prompt: Prompt) -> None:
    numbers = [secrets.randbelow(10**6) for _ in range(300)]
    prompt.run("total = 0")
    prompt.send("".join(f"total += {number}\r" for number in numbers))
    for _ in numbers:
        prompt.wait_for_prompt()
    assert prompt.evaluate("total", timeout=60) == str(sum(numbers))


def test_a_session_that_closes_its_terminal_is_followed_by_a_sound_one(prompt: Prompt) -> None:
    start_afresh(prompt, "import os; os.closerange(0, 100)\r")
    assert prompt.evaluate("6 * 7") == "42"


def test_threads_of_a_session_outlive_it(prompt: Prompt) -> None:
    prompt.run("import threading, time, builtins")
    prompt.run("threading.Thread(target=lambda: (time.sleep(1), setattr(builtins, 'left', 'behind'))).start()")
    start_afresh(prompt, "exit()\r")
    assert prompt.evaluate("__import__('time').sleep(2) or left") == "'behind'"


def start_afresh(prompt: Prompt, keys: str) -> None:
    """Leaves the session by `keys` and waits for the prompt of the next one."""
    prompt.send(keys)
    prompt.expect("Helpers: sh", 10)
    prompt.wait_for_prompt()
