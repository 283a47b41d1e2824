"""A minute of `make stress`, and its watchdog."""

from __future__ import annotations

import re
import secrets

import pytest

from harness.machines import Machines, Shape

SECONDS = 60.0


def test_nothing_is_lost_for_a_minute(machines: Machines) -> None:
    seed = secrets.randbelow(1_000_000)
    with machines.guest(Shape(cpus=4)) as guest:
        parts = guest.call("stress.everything", SECONDS, seed, timeout=SECONDS + 600)
    for name, part in parts.items():
        assert part["error"] is None, f"{name}, seed {seed}: {part['error']}"
        assert part["rounds"] > 0 and part["checks"] > 0, name


@pytest.mark.parametrize(
    ("function", "patience", "reason"),
    [
        ("stuck", 4.0, r"round 0 of stuck is stuck for \d+ s"),
        ("deaf", 6.0, r"CPU 1 has run nobody for \d+ s"),
    ],
)
def test_the_watchdog_reports_who_is_stuck(machines: Machines, function: str, patience: float, reason: str) -> None:
    if function == "deaf" and not machines.settings.free_threading:
        pytest.skip("with the GIL nobody runs when it is the turn of a thread on the deaf CPU, not even the watchdog")
    with machines.guest(Shape(cpus=2)) as guest:
        guest.post(f"stress.{function}", patience)
        assert guest.console.wait_for_exit(patience + 60) != 0, guest.console.text()
        report = guest.console.text()
    assert re.search(reason, report), report
    # Every thread's state and stack: the driver's own, and the Python one of the thread that asked for it all.
    assert re.search(rf"^ +\d+ (waiting|running) .* {function}\r?$", report, re.MULTILINE), report
    assert re.search(r'File "/tests/stress\.py", line \d+,? in everything\b', report), report
    if function == "stuck":
        thread = r'Thread: \d+ "stuck"\r?\n +waiting, last on CPU \d: .*kernel::libc::futex::wait'
        assert re.search(thread, report), report
