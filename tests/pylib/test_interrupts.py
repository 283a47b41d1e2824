"""`kernel.interrupts`: routing, slow and raising functions, what is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from fake_hal import FakeHal

from kernel import interrupts
from kernel.interrupts import Interrupt, interrupt, register, unregister


@pytest.fixture(autouse=True)
def nothing_stays_registered() -> Iterator[None]:
    """Ends what a test registered."""
    yield
    for vector, functions in interrupts.handlers().items():
        for function in functions:
            unregister(vector, function)


class Collector:
    """A handler that keeps its events; `wait` returns once it has so many."""

    def __init__(self) -> None:
        self.events: list[Interrupt] = []
        self._more = threading.Condition()

    def __call__(self, event: Interrupt) -> None:
        with self._more:
            self.events.append(event)
            self._more.notify_all()

    def wait(self, count: int) -> list[Interrupt]:
        with self._more:
            assert self._more.wait_for(lambda: len(self.events) >= count, timeout=10)
            return self.events


def fire(hal: FakeHal, vector: int, *, cpu: int = 0, time_ns: int = 0, lost: int = 0) -> None:
    """Does what the interrupt thread does."""
    assert hal.router is not None
    hal.router(vector, cpu, time_ns, lost)


def test_events_reach_the_function_in_order(hal: FakeHal) -> None:
    seen = Collector()
    register(33, seen)
    for n in range(100):
        fire(hal, 33, cpu=n % 2, time_ns=n)
    assert seen.wait(100) == [Interrupt(33, n % 2, n) for n in range(100)]


def test_the_decorator_returns_the_function(hal: FakeHal) -> None:
    seen = Collector()

    @interrupt(40)
    def handler(event: Interrupt) -> None:
        seen(event)

    assert interrupts.handlers() == {40: (handler,)}
    fire(hal, 40, time_ns=9)
    assert seen.wait(1)[0].time_ns == 9


def test_several_functions_of_one_vector_all_run(hal: FakeHal) -> None:
    first, second = Collector(), Collector()
    register(41, first)
    register(41, second)
    fire(hal, 41)
    assert len(first.wait(1)) == len(second.wait(1)) == 1


def test_a_function_that_raises_is_logged_and_stays(hal: FakeHal) -> None:
    seen = Collector()

    @interrupt(42)
    def broken(event: Interrupt) -> None:
        raise RuntimeError(f"event {event.time_ns}")

    register(42, seen)
    fire(hal, 42, time_ns=1)
    fire(hal, 42, time_ns=2)
    seen.wait(2)
    texts = [text for _, target, text in hal.lines if target == "kernel.interrupts"]
    assert [text for text in texts if text.startswith("RuntimeError")] == [
        "RuntimeError: event 1",
        "RuntimeError: event 2",
    ]
    assert any("in broken" in text for text in texts)
    assert broken in interrupts.handlers()[42]


def test_a_slow_function_delays_no_other_vector(hal: FakeHal) -> None:
    release, seen = threading.Event(), Collector()
    try:
        register(50, lambda event: release.wait(30))
        register(51, seen)
        fire(hal, 50)
        fire(hal, 51)
        seen.wait(1)
        assert not release.is_set()
    finally:
        release.set()


def test_what_finds_no_room_is_counted_and_told(hal: FakeHal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "QUEUE_EVENTS", 3)
    release, busy, seen = threading.Event(), threading.Event(), Collector()

    def slow(event: Interrupt) -> None:
        busy.set()
        release.wait(30)
        seen(event)

    register(60, slow)
    fire(hal, 60)
    assert busy.wait(10)
    for _ in range(5):
        fire(hal, 60, lost=1)
    hal.vectors = [(60, "timer", (7, 4), 5)]
    (row,) = interrupts.statistics()
    assert (row.vector, row.name, row.per_cpu, row.lost, row.handled) == (60, "timer", (7, 4), 5 + 2, 0)
    release.set()
    seen.wait(4)
    fire(hal, 60)
    # Two had no room, each of the five said that the ring lost one before it.
    assert [event.lost for event in seen.wait(5)] == [0, 1, 1, 1, 2 + 2]


def test_a_vector_is_watched_while_it_has_functions(hal: FakeHal) -> None:
    first, second = Collector(), Collector()
    register(71, first)
    register(71, second)
    unregister(71, first)
    assert hal.watched == {71}
    unregister(71, second)
    assert hal.watched == set()


def test_a_vector_without_a_function_is_nobodys(hal: FakeHal) -> None:
    seen = Collector()
    register(70, seen)
    fire(hal, 71)
    fire(hal, 70)
    assert [event.vector for event in seen.wait(1)] == [70]


def test_the_router_is_there_while_a_function_is(hal: FakeHal) -> None:
    seen = Collector()
    assert hal.router is None
    register(80, seen)
    register(81, seen)
    assert hal.router is not None
    unregister(80, seen)
    assert hal.router is not None
    unregister(81, seen)
    assert hal.router is None


@pytest.mark.parametrize(
    ("vector", "handler", "error"),
    [("33", print, TypeError), (True, print, TypeError), (-1, print, ValueError), (33, None, TypeError)],
)
def test_wrong_arguments_are_refused(hal: FakeHal, vector: object, handler: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        register(vector, handler)  # type: ignore[arg-type]
    assert interrupts.handlers() == {}


def test_a_function_is_registered_once(hal: FakeHal) -> None:
    seen = Collector()
    register(90, seen)
    with pytest.raises(ValueError, match="already"):
        register(90, seen)
    with pytest.raises(ValueError, match="not registered"):
        unregister(91, seen)
