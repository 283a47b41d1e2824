"""CPython's full-screen prompt, over the serial line of a terminal that can do it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from harness.machines import Machines, Shape
from harness.serial import Prompt

#: What a terminal sends in the application mode that the prompt asks it for.
UP, LEFT = b"\x1bOA", b"\x1bOD"


@pytest.fixture(scope="module")
def machine(machines: Machines) -> Iterator[Prompt]:
    """One machine at its prompt."""
    with machines.prompt(Shape(), terminal="xterm-256color") as running:
        yield running


@pytest.fixture
def prompt(machine: Prompt) -> Prompt:
    """The machine at a fresh line of its prompt, whatever the test before did."""
    machine.interrupt()
    return machine


def number() -> int:
    """Returns a number that no earlier output contains."""
    return secrets.randbelow(10**9) + 10**9


def test_prompt_and_keywords_are_coloured(prompt: Prompt) -> None:
    prompt.send("import os")
    prompt.expect(rb"\x1b\[1;35m>>> \x1b\[0m\x1b\[1;34mimport\x1b\[0m os", 10)
    prompt.send(b"\r")
    prompt.wait_for_prompt()


def test_errors_are_coloured(prompt: Prompt) -> None:
    prompt.type_line("1/0")
    prompt.expect(rb"\x1b\[1;35mZeroDivisionError\x1b\[0m", 10)
    prompt.wait_for_prompt()


def test_tab_completes_names(prompt: Prompt) -> None:
    a, b = number(), number()
    prompt.run(f"zebra_crossing = {a}")
    prompt.send(b"zebra_cr\t")
    prompt.expect("zebra_crossing", 10)
    prompt.send(f" * {b}\r")
    prompt.expect(rf"{a * b}\r?\n", 10)
    prompt.wait_for_prompt()


def test_tab_completes_attributes_and_modules(prompt: Prompt) -> None:
    prompt.send(b"import concurrent.fut\t\r")
    prompt.wait_for_prompt(20)
    assert prompt.evaluate("'concurrent.futures' in __import__('sys').modules") == "True"


def test_arrow_up_brings_back_the_last_line(prompt: Prompt) -> None:
    prompt.run("counter = 0")
    prompt.run("counter += 21")
    prompt.send(UP)
    prompt.expect(r"counter", 10)
    prompt.send(b"\r")
    prompt.wait_for_prompt()
    assert prompt.evaluate("counter") == "42"


def test_cursor_keys_edit_the_line(prompt: Prompt) -> None:
    a = number()
    prompt.send(f"print(7 * {a})".encode() + LEFT * (len(str(a)) + 4) + b"\x7f6\r")
    prompt.expect(rf"{6 * a}\r?\n", 20)
    prompt.wait_for_prompt()


def test_multi_line_blocks_are_indented_and_edited_as_one(prompt: Prompt) -> None:
    a = number()
    prompt.send("def triple(x):\r")
    prompt.expect(r"\.\.\. ", 10)
    prompt.send("return 3 * x\r\r")
    prompt.wait_for_prompt()
    assert prompt.evaluate(f"triple({a})") == str(3 * a)
    prompt.send(UP + UP)
    prompt.expect("triple", 10)
    prompt.send(b"\x03")
    prompt.wait_for_prompt()


def test_pasted_blocks_are_taken_whole(prompt: Prompt) -> None:
    a = number()
    text = f"for i in range(3):\n    if i == 2:\n        print(i * {a})\n"
    prompt.send(b"\x1b[200~" + text.encode() + b"\x1b[201~")
    prompt.expect(rf"{a}", 20)
    # One Enter for a new, indented line, one on that empty line to run the block; an Enter
    # that follows at once counts as a part of what was pasted.
    for _ in range(3):
        prompt.send(b"\r")
        if prompt.shows(rf"{2 * a}\r?\n", 2):
            break
    else:
        pytest.fail(f"the block did not run: {prompt.text()[-500:]!r}")
    prompt.wait_for_prompt()


def test_history_search_finds_an_earlier_line(prompt: Prompt) -> None:
    a, b = number(), number()
    prompt.run(f"searched = {a} * {b}")
    prompt.run("searched = 0")
    prompt.send(b"\x12" + str(a).encode())
    prompt.expect("search", 10)
    # One Enter ends the search, one runs the line that it found.
    prompt.send(b"\r")
    prompt.expect(rf">>> (.|\s)*?{a}", 20)
    prompt.send(b"\r")
    prompt.wait_for_prompt()
    assert prompt.evaluate("searched") == str(a * b)


def test_ctrl_d_starts_a_fresh_session_with_its_own_completion(prompt: Prompt) -> None:
    prompt.run("walrus_of_the_first = 1")
    prompt.send(b"\x04")
    prompt.expect("Helpers: sh", 20)
    prompt.wait_for_prompt()
    a, b = number(), number()
    prompt.run(f"walrus_of_the_second = {a}")
    # With the first session's names still there, the completion would stop at what both share.
    prompt.send(b"walrus_of\t")
    prompt.expect("walrus_of_the_second", 10)
    prompt.send(f" * {b}\r")
    prompt.expect(rf"{a * b}\r?\n", 10)
    prompt.wait_for_prompt()


@pytest.mark.parametrize("word", ["exit()", "exit", "quit()"])
def test_exit_asks_nothing(prompt: Prompt, word: str) -> None:
    prompt.type_line(word)
    prompt.expect("Helpers: sh", 20)
    prompt.wait_for_prompt()
    assert prompt.evaluate("2 * 3") == "6"
