"""The console session, on a pseudo-terminal of the host."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from harness.paths import REPOSITORY
from harness.serial import Prompt
from kernel.shell._input import TtyInput

# A process that has a terminal of its own and copies it to pipes, as QEMU does with a serial line.
RELAY = """
import os, pty, sys, threading
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.executable, [sys.executable, "-m", "kernel"])
def to_terminal():
    while data := os.read(0, 4096):
        os.write(fd, data)
threading.Thread(target=to_terminal, daemon=True).start()
try:
    while data := os.read(fd, 4096):
        os.write(1, data)
except OSError:
    pass
"""


@pytest.fixture
def prompt(monkeypatch: pytest.MonkeyPatch) -> Iterator[Prompt]:
    """A session at its first prompt, with the plain console."""
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY / "pylib"))
    with Prompt([sys.executable, "-c", RELAY]) as running:
        running.wait_for_prompt(20)
        yield running


def test_banner(prompt: Prompt) -> None:
    assert prompt.text() == (
        "PythonOS kernel shell\n"
        f"Python {sys.version}\n"
        "Type 'help' for help.\n"
        "Commands: ls ps pwd cd cat cp mv ftp ed sysinfo netstat ...\n"
        "Helpers: sh()  sh('cmd args')  run('/path')  clear()\n"
        ">>> "
    )


@pytest.mark.parametrize(
    "leave", ["exit()\r", "quit()\r", "\x04", "raise SystemExit\r"], ids=["exit", "quit", "ctrl-d", "raise"]
)
def test_every_way_to_leave_starts_a_fresh_session(prompt: Prompt, leave: str) -> None:
    for _ in range(2):
        assert prompt.evaluate("'kept' in globals()") == "False"
        prompt.run("kept = 1")
        assert prompt.evaluate("kept") == "1"
        prompt.send(leave)
        prompt.expect("Helpers: sh", 10)
        prompt.wait_for_prompt()
    assert prompt.evaluate("'kept' in globals()") == "False"


def test_main_module_is_the_session(prompt: Prompt) -> None:
    assert prompt.evaluate("__import__('sys').modules['__main__'].__dict__ is globals()") == "True"
    prompt.run("class Point: x = 5\r")
    assert prompt.evaluate("__import__('pickle').loads(__import__('pickle').dumps(Point)) is Point") == "True"
    assert prompt.evaluate("__import__('sys').argv") == "['']"


def test_a_session_that_breaks_its_streams_is_followed_by_a_sound_one(prompt: Prompt) -> None:
    for line in ("import sys, os", "sys.stdout = open(os.devnull, 'w')", "sys.stderr = None", "exit()"):
        prompt.type_line(line)
    prompt.expect("Helpers: sh", 10)
    prompt.wait_for_prompt()
    assert prompt.evaluate("6 * 7") == "42"


def test_closed_descriptors_cost_the_session_nothing(prompt: Prompt) -> None:
    prompt.run("import os; kept = 5; os.close(0); os.close(1); os.close(2)")
    assert prompt.evaluate("kept") == "5"


def test_a_program_that_closes_its_streams_loses_them_until_the_next_prompt(prompt: Prompt) -> None:
    prompt.run("import sys; kept = 5; sys.stdin.close(); sys.stdout.close()")
    assert prompt.evaluate("kept") == "5"
    prompt.type_line("answer = input('word? ')")
    prompt.expect("word\\? ", 10)
    prompt.run("tree")
    assert prompt.evaluate("answer") == "'tree'"


def test_ctrl_c_interrupts(prompt: Prompt) -> None:
    prompt.type_line("import time; print('under', 40 + 2); time.sleep(100)")
    prompt.expect("under 42", 10)
    prompt.send(b"\x03")
    prompt.expect("KeyboardInterrupt", 5)
    prompt.wait_for_prompt()
    assert prompt.evaluate("1 + 1") == "2"


def test_exit_with_a_message_prints_it(prompt: Prompt) -> None:
    prompt.type_line("exit('so ' + 'long')")
    prompt.expect(r"^so long\r?\n", 10)
    prompt.wait_for_prompt()


def test_piped_input_runs_to_its_end() -> None:
    import subprocess

    result = subprocess.run(
        [sys.executable, "-m", "kernel"],
        input="print(6 * 7)\nexit(3)\n",
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "pylib")},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert "42" in result.stdout
    assert result.returncode == 3


def test_a_session_outlives_a_reload_of_all_that_it_stands_on(prompt: Prompt) -> None:
    prompt.run("import importlib, sys; kept = 5")
    prompt.run("own = [name for name in sys.modules if name.startswith('kernel.') and name != 'kernel._errors']")
    assert int(prompt.evaluate("len(own)")) > 8
    prompt.run("for name in own: module = importlib.reload(sys.modules[name])\r")
    prompt.run("kept * 7")
    assert prompt.evaluate("_") == "35"
    assert prompt.evaluate("(sys.argv, sys.modules['__main__'].kept)") == "([''], 5)"
    prompt.run("word = input('say: ')\rit")
    assert prompt.evaluate("word") == "'it'"
    prompt.type_line("exit")
    prompt.expect("Helpers: sh", 10)
    prompt.wait_for_prompt()
    assert prompt.evaluate("'kept' in globals()") == "False"


def test_a_signal_that_comes_before_the_wait_for_a_line_ends_it() -> None:
    line, typed = os.pipe()
    signals, signalled = os.pipe()
    try:
        source = TtyInput(line)
        source.wake_for(signals)
        os.write(signalled, b"\x02")
        assert source.wait() is False
        assert source.is_ready() is False
        os.write(typed, b"text")
        assert source.wait() is True
        assert os.read(signals, 8) == b"\x02"
        assert source.wait() is True
    finally:
        for fd in (line, typed, signals, signalled):
            os.close(fd)


def test_a_signal_that_raises_nothing_leaves_a_program_its_line(prompt: Prompt) -> None:
    prompt.run("import os, signal, threading")
    prompt.run("seen = []; before = signal.signal(signal.SIGUSR1, lambda *_: seen.append(6 * 7))")
    prompt.run("timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1)); timer.start()")
    prompt.type_line("line = (print('seen', seen), input('say: '), timer.join(), input('more: '))[1::2]")
    prompt.expect("\nsay: ", 10)
    prompt.type_line("one")
    prompt.expect("more: ", 10)
    prompt.type_line("two")
    prompt.wait_for_prompt()
    assert prompt.evaluate("(line, seen)") == "(('one', 'two'), [42])"


def test_arguments_are_a_list(prompt: Prompt) -> None:
    prompt.run("import json, sys, types, colorsys")
    assert prompt.evaluate("(type(sys.argv), ['a'] + sys.argv)") == "(<class 'list'>, ['a', ''])"
    assert prompt.evaluate("json.dumps(sys.argv)") == "'[\"\"]'"
    prompt.run("sys.argv = ['program', 'x']")
    prompt.run("from sys import argv")
    assert prompt.evaluate("(sys.argv, argv is sys.argv)") == "(['program', 'x'], True)"
    # Modules are still made of the plain class.
    assert prompt.evaluate("(type(colorsys) is types.ModuleType, type(type(sys)('new')))") == "(True, <class 'module'>)"


def test_what_is_assigned_to_a_stream_may_write_to_the_one_before(prompt: Prompt) -> None:
    prompt.run("import contextlib, io, sys; text = io.StringIO(); before = sys.stdout")
    prompt.run("class Both:\r  def write(self, data): text.write(data); return before.write(data)\r  def flush(self): pass\r")
    prompt.run("sys.stdout = Both()")
    prompt.run("print('both', 6 * 7)")
    prompt.run("with contextlib.redirect_stdout(io.StringIO()) as inner: print('inside')\r")
    prompt.run("sys.stdout = before")
    assert prompt.evaluate("(text.getvalue(), inner.getvalue())") == "('both 42\\n', 'inside\\n')"
    assert "\nboth 42\n" in prompt.text()
    assert "\ninside" not in prompt.text()


def test_asyncio_run_says_what_to_type_instead(prompt: Prompt) -> None:
    prompt.run("import asyncio")
    prompt.type_line("asyncio.run(asyncio.sleep(0))")
    prompt.expect(
        r"RuntimeError: asyncio.run\(\) cannot be called from a running event loop\r*\n"
        r"At this prompt a loop runs already: `await main\(\)` does what `asyncio.run\(main\(\)\)` does in a program\.\r*\n"
        r"run\('/path/file.py'\) and sh\('file.py'\) start programs\.\r*\n",
        10,
    )
    prompt.wait_for_prompt()
    assert prompt.evaluate("await asyncio.sleep(0, 'slept')") == "'slept'"
