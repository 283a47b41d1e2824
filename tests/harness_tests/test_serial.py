"""The harness itself, against an ordinary Python process in place of a machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.serial import Console, ConsoleError, Guest, GuestError

GUEST = Path(__file__).parents[1] / "guest"


def python(code: str) -> Console:
    """Returns a console whose machine is a Python program."""
    return Console([sys.executable, "-c", code])


@pytest.fixture
def guest() -> Iterator[Guest]:
    """Yields the agent, run on the host."""
    with Guest([sys.executable, str(GUEST / "agent.py")]) as running:
        yield running


def test_expect_passes_over_what_comes_before_and_keeps_what_follows() -> None:
    with python("print('noise one two')") as console:
        console.expect("one")
        assert console.expect("(t.o)\n")[1] == b"two"


def test_expect_matches_text_that_arrives_in_pieces() -> None:
    with python(
        "import time,sys\nfor c in 'abc\\n': sys.stdout.write(c); sys.stdout.flush(); time.sleep(.02)"
    ) as console:
        console.expect("abc\n", timeout=5)


def test_expect_fails_at_its_deadline_with_the_tail_of_the_console() -> None:
    with python("import time; print('the last words', flush=True); time.sleep(60)") as console:
        began = time.monotonic()
        with pytest.raises(ConsoleError, match=r"(?s)within 1 s; the machine is still running.*the last words"):
            console.expect("never", timeout=1)
        assert 1 <= time.monotonic() - began < 5


def test_expect_fails_at_once_when_the_machine_ends() -> None:
    with python("import sys; sys.stderr.write('no such disk'); sys.exit(3)") as console:
        console.wait_for_exit()
        with pytest.raises(ConsoleError, match=r"(?s)ended with status 3.*no such disk"):
            console.expect("never", timeout=60)


def test_leaving_the_context_ends_the_machine() -> None:
    with python("import time; time.sleep(600)") as console:
        pass
    assert not console.is_running()


def test_call_returns_what_the_function_returned(guest: Guest) -> None:
    assert guest.call("agent.echo", {"a": [1, None, "ä"]}) == {"a": [1, None, "ä"]}


def test_call_reports_the_guests_traceback(guest: Guest) -> None:
    with pytest.raises(GuestError, match="ModuleNotFoundError"):
        guest.call("no_such_module.function")
    assert guest.call("agent.echo", 1) == 1


def test_an_echo_of_the_request_is_no_reply() -> None:
    echo = "print('@ready 1', flush=True)\nimport sys\nfor line in sys.stdin: print(line, end='', flush=True)"
    with Guest([sys.executable, "-c", echo]) as guest, pytest.raises(ConsoleError, match="did not appear"):
        guest.call("agent.echo", 1, timeout=1)


def test_a_reply_to_another_call_is_refused(guest: Guest) -> None:
    guest.post("agent.echo", "first")
    with pytest.raises(ConsoleError, match="not computed for this call"):
        guest.call("agent.echo", "second")
