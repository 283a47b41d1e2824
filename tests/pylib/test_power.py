"""`kernel.poweroff` and `kernel.reboot`, against a kernel made for the test."""

from __future__ import annotations

import pytest

import kernel
from kernel import _power


class FakeMachine:
    """Records what it was asked for; ends the test as the machine would end the program."""

    class Ended(BaseException):
        """The machine is off."""

    def __init__(self, name: str = "PythonOS", error: OSError | None = None) -> None:
        self.requests: list[str] = []
        self._name = name
        self._error = error

    def name(self) -> str:
        return self._name

    def request(self, letter: str) -> None:
        self.requests.append(letter)
        if self._error is not None:
            raise self._error
        raise self.Ended


def test_poweroff_asks_for_it() -> None:
    machine = FakeMachine()
    with pytest.raises(FakeMachine.Ended):
        kernel.poweroff(machine)
    assert machine.requests == ["o"]


def test_reboot_asks_for_it() -> None:
    machine = FakeMachine()
    with pytest.raises(FakeMachine.Ended):
        kernel.reboot(machine)
    assert machine.requests == ["b"]


def test_no_other_system_is_ever_asked() -> None:
    machine = FakeMachine(name="Linux")
    with pytest.raises(kernel.PowerError, match="runs on Linux"):
        kernel.poweroff(machine)
    assert machine.requests == []


def test_a_refusal_says_why() -> None:
    with pytest.raises(kernel.PowerError, match=r"cannot restart: .*Permission denied"):
        kernel.reboot(FakeMachine(error=PermissionError(13, "Permission denied")))


def test_a_machine_that_goes_on_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf(FakeMachine):
        def request(self, letter: str) -> None:
            self.requests.append(letter)

    monkeypatch.setattr(_power, "_GRACE_S", 0.1)
    with pytest.raises(kernel.PowerError, match="still running"):
        kernel.poweroff(Deaf())


def test_public_names_are_those_of_the_modules() -> None:
    assert {name: getattr(kernel, name).__name__ for name in kernel.__all__} == {name: name for name in kernel.__all__}
