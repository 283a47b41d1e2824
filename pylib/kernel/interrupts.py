"""Python functions as interrupt handlers.

    from kernel.interrupts import interrupt

    @interrupt(vector)
    def handler(event):
        print(event.vector, event.cpu, event.time_ns)

The kernel's own handler takes an interrupt, records it and wakes the interrupt thread, which hands
it to a thread of that vector; there the functions run, one after the other, in order of events. So
Python never runs inside an interrupt, and a slow function delays no other vector.

    CPU ──ring──► interrupt thread ──queue per vector──► thread of the vector ──► functions

What a ring or a queue has no room for is counted in `Statistics.lost`. An exception that a
function raises is logged with its traceback; the function stays registered. Threads may share
everything here.
"""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import _hal
from kernel import log
from kernel._reload import keep

__all__ = ["Interrupt", "Statistics", "Handler", "interrupt", "register", "unregister", "handlers", "statistics"]

#: Events that wait for the functions of one vector; what comes on top is lost, and counted.
QUEUE_EVENTS = 1 << 16


@dataclass(frozen=True, slots=True)
class Interrupt:
    """One interrupt that happened."""

    vector: int
    #: The CPU that took it.
    cpu: int
    #: When, in nanoseconds since power-on.
    time_ns: int
    #: Events of this vector that were lost since the one before.
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Statistics:
    """What became of one vector's interrupts."""

    vector: int
    name: str
    #: Interrupts taken, by CPU.
    per_cpu: tuple[int, ...]
    #: Events that no function saw for want of room.
    lost: int
    #: Events that the functions have seen.
    handled: int
    #: Exceptions that functions raised.
    errors: int


Handler: TypeAlias = Callable[[Interrupt], object]
_H = TypeVar("_H", bound=Handler)


class _Line:
    """The functions of one vector and the thread that runs them."""

    def __init__(self, vector: int) -> None:
        self.vector = vector
        #: Replaced, never changed, so that the thread may read it without a lock.
        self.handlers: tuple[Handler, ...] = ()
        # Written by the interrupt thread alone: events that the queue had no room for.
        self.lost = 0
        self._lost_unreported = 0
        # Written by the line's own thread alone.
        self.handled = 0
        self.errors = 0
        self._events: queue.SimpleQueue[Interrupt | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"irq/{vector}", daemon=True)
        self._thread.start()

    def deliver(self, cpu: int, time_ns: int, lost: int) -> None:
        """Queues an event; runs on the interrupt thread."""
        self._lost_unreported += lost
        if self._events.qsize() >= QUEUE_EVENTS:
            self.lost += 1
            self._lost_unreported += 1
            return
        event = Interrupt(self.vector, cpu, time_ns, self._lost_unreported)
        self._lost_unreported = 0
        self._events.put(event)

    def stop(self) -> None:
        """Ends the thread after what is queued; a function may do this to its own line."""
        self._events.put(None)

    def _run(self) -> None:
        while (event := self._events.get()) is not None:
            for handler in self.handlers:
                try:
                    handler(event)
                except Exception as error:
                    self.errors += 1
                    log.exception(error, "vector %d: %r raised", self.vector, handler)
            self.handled += 1
            # A line that is level-triggered was masked when it interrupted.
            _hal.irq_unmask(self.vector)


#: Both stay what they are when this module is reloaded: functions stay registered.
_lock: threading.Lock = globals().get("_lock") or threading.Lock()
_lines: dict[int, _Line] = globals().get("_lines", {})


def interrupt(vector: int) -> Callable[[_H], _H]:
    """Returns a decorator that registers a function for `vector`; see `register` for arguments and errors."""

    def decorate(handler: _H) -> _H:
        register(vector, handler)
        return handler

    return decorate


def register(vector: int, handler: Handler) -> None:
    """Has `handler(event)` called for each interrupt of `vector`, after those registered before.

    `vector` is a number that `statistics()` shows or that the machine gave out for a device.
    Raises `TypeError` if it is no integer or `handler` cannot be called, `ValueError` if it is negative, nothing
    interrupts by it, or the function is registered for it already.
    """
    if not isinstance(vector, int) or isinstance(vector, bool):
        raise TypeError(f"a vector is an integer, not {type(vector).__name__}")
    if vector < 0:
        raise ValueError(f"vector {vector} is negative")
    if not callable(handler):
        raise TypeError(f"a handler is a function, not {type(handler).__name__}")
    with _lock:
        line = _lines.get(vector)
        if line is not None and handler in line.handlers:
            raise ValueError(f"{handler!r} is registered for vector {vector} already")
        if line is None:
            _hal.interrupt_watch(vector, True)
            line = _Line(vector)
            _lines[vector] = line
        line.handlers = (*line.handlers, handler)
        if len(_lines) == 1:
            _hal.set_interrupt_router(_route)


def unregister(vector: int, handler: Handler) -> None:
    """Ends what `register` began. Raises `ValueError` if `handler` is not registered for `vector`."""
    with _lock:
        line = _lines.get(vector)
        if line is None or handler not in line.handlers:
            raise ValueError(f"{handler!r} is not registered for vector {vector}")
        line.handlers = tuple(other for other in line.handlers if other != handler)
        if not line.handlers:
            del _lines[vector]
            _hal.interrupt_watch(vector, False)
            line.stop()
        if not _lines:
            _hal.set_interrupt_router(None)


def handlers() -> dict[int, tuple[Handler, ...]]:
    """Returns the registered functions by vector."""
    with _lock:
        return {vector: line.handlers for vector, line in sorted(_lines.items())}


def statistics() -> list[Statistics]:
    """Returns a row for each vector that the machine or a function here uses, in order of vectors."""
    with _lock:
        lines = dict(_lines)
    found = []
    for vector, name, per_cpu, lost in _hal.interrupts():
        line = lines.pop(vector, None)
        found.append(_statistics(vector, name, tuple(per_cpu), lost, line))
    found += [_statistics(vector, "python", (), 0, line) for vector, line in lines.items()]
    return sorted(found, key=lambda row: row.vector)


def _statistics(vector: int, name: str, per_cpu: tuple[int, ...], lost: int, line: _Line | None) -> Statistics:
    if line is None:
        return Statistics(vector, name, per_cpu, lost, 0, 0)
    # The machine counts what its rings had no room for.
    return Statistics(vector, name, per_cpu, lost + line.lost, line.handled, line.errors)


def _route(vector: int, cpu: int, time_ns: int, count_lost: int) -> None:
    """Hands one event to its vector's thread; the interrupt thread calls it."""
    line = _lines.get(vector)
    if line is not None:
        line.deliver(cpu, time_ns, count_lost)


with _lock:
    for _line in _lines.values():
        keep(_line, _Line)
    if _lines:
        _hal.set_interrupt_router(_route)
