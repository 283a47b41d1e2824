"""Power off and restart, asked for at the prompt."""

from __future__ import annotations

from harness.machines import Machines, Shape


def test_poweroff_at_the_prompt(machines: Machines) -> None:
    with machines.prompt(Shape()) as prompt:
        prompt.type_line("poweroff")
        assert prompt.wait_for_exit(20) == 0


def test_reboot_at_the_prompt_starts_the_machine_again(machines: Machines) -> None:
    with machines.prompt(Shape(), restarts=True) as prompt:
        first = prompt.evaluate("__import__('os').urandom(16).hex()")
        prompt.run("reboot", 60)
        assert prompt.evaluate("__import__('time').clock_gettime(7) < 60") == "True"
        assert prompt.evaluate("__import__('os').urandom(16).hex()") != first
