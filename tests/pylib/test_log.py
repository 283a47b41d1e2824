"""`kernel.log`, against the fake machine and records as the kernel writes them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_hal import FakeHal

from kernel import log


@pytest.mark.parametrize(
    ("function", "level"), [(log.debug, 0), (log.info, 1), (log.warn, 2), (log.error, 3)]
)
def test_each_function_has_its_level(hal: FakeHal, function: Callable[..., None], level: int) -> None:
    function("%s of %d", "disk", 3, target="drivers")
    assert hal.lines == [(level, "drivers", "disk of 3")]


def test_the_target_is_the_module_that_logs(hal: FakeHal) -> None:
    log.info("here")
    exec("from kernel import log\nlog.info('typed')", {"__name__": "__main__"})
    assert [target for _, target, _ in hal.lines] == [__name__, "user"]


def test_text_without_arguments_is_taken_as_it_is(hal: FakeHal) -> None:
    log.info("100%d")
    assert hal.lines[0][2] == "100%d"


def test_each_line_of_text_is_a_line_of_the_log(hal: FakeHal) -> None:
    log.warn("one\ntwo", target="t")
    log.warn("", target="t")
    assert hal.lines == [(2, "t", "one"), (2, "t", "two"), (2, "t", "")]


def test_an_exception_is_logged_with_its_traceback(hal: FakeHal) -> None:
    try:
        raise LookupError("no such thing")
    except LookupError as error:
        log.exception(error, "task %d failed", 4, target="t")
    texts = [text for _, _, text in hal.lines]
    assert texts[:2] == ["task 4 failed", "Traceback (most recent call last):"]
    assert texts[-1] == "LookupError: no such thing"
    assert {level for level, _, _ in hal.lines} == {log.ERROR}


def test_records_are_read_one_by_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    device = [
        b"6,0,12345,-;[PythonOS] INFO kernel.boot: SMP online 2/2\n",
        b"4,60,70000001,-;[PythonOS] WARN user: a;b\n KEY=value\n",
    ]

    def read(fd: int, size: int) -> bytes:
        if not device:
            raise BlockingIOError
        return device.pop(0)

    path = tmp_path / "kmsg"
    path.touch()
    monkeypatch.setattr(log, "_DEVICE", str(path))
    monkeypatch.setattr(os, "read", read)
    found = list(log.records())
    assert found == [
        log.Record(12345, 0, "[PythonOS] INFO kernel.boot: SMP online 2/2"),
        log.Record(70000001, 60, "[PythonOS] WARN user: a;b"),
    ]
    assert str(found[0]) == "[    0.012345] [PythonOS] INFO kernel.boot: SMP online 2/2"
    assert str(found[1]) == "[   70.000001] [PythonOS] WARN user: a;b"
