"""Settings that mean nothing: refused on the host before anything is built, named in the machine's log."""

from __future__ import annotations

import os
import re
import subprocess
import time

import pytest

from harness.machines import Machines, Shape
from harness.paths import REPOSITORY


@pytest.mark.parametrize("value", ["0", "65", "abc", "-1", "1.5", "2 "])
def test_bad_number_of_cpus(value: str) -> None:
    began = time.monotonic()
    result = subprocess.run(
        ["make", "-s", "run"],
        cwd=REPOSITORY,
        env={**os.environ, "SMP_CPUS": value},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
    assert result.returncode != 0
    assert f"SMP_CPUS={value}: want a number from 1 to 64" in result.stderr
    assert "Traceback" not in result.stderr
    assert time.monotonic() - began < 10


def test_unknown_options_are_named_once(machines: Machines) -> None:
    options = ("apic=xapic", "trace=everything", "quiet", "console.size=80x25")
    with machines.guest(Shape(append=options)) as guest:
        log = guest.console.text()
    assert re.findall(r'unknown option "(.*)" on the command line', log) == list(options[:3])
