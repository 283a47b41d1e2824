"""A machine at its prompt leaves the host alone."""

from __future__ import annotations

import time

import pytest

from harness.machines import Machines, Shape


@pytest.mark.timing
@pytest.mark.parametrize("cpus", [1, 4])
def test_idle_prompt_uses_less_than_1_percent_of_a_host_core(machines: Machines, cpus: int) -> None:
    with machines.prompt(Shape(cpus=cpus), terminal="xterm-256color") as prompt:
        time.sleep(2)  # what start-up left to do ends here
        before = prompt.cpu_seconds()
        time.sleep(10)
        assert prompt.cpu_seconds() - before < 0.1
        # It is idle, not dead.
        assert prompt.evaluate("1 + 1") == "2"
