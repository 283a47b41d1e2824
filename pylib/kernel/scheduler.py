"""Threads, asyncio tasks and CPUs, as the kernel's scheduler sees them.

    from kernel.scheduler import scheduler

    task = scheduler.spawn(work, 1, 2, name="worker")   # a thread of its own
    task = scheduler.spawn(fetch())                      # a coroutine
    scheduler.ps(); scheduler.kill(task.id); scheduler.reap()

Times are in nanoseconds unless a name says otherwise. Threads may share everything here.
"""

import asyncio
import inspect
import itertools
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

import _hal
from kernel._reload import keep

__all__ = ["CpuInfo", "ProcessEntry", "Scheduler", "Task", "ThreadInfo", "scheduler"]


@dataclass(frozen=True, slots=True)
class ThreadInfo:
    """One kernel thread at this moment."""

    tid: int
    name: str
    #: running, ready, waiting or ended.
    state: str
    #: The CPU it runs on, or ran on last.
    cpu: int
    cpu_time_ns: int


@dataclass(frozen=True, slots=True)
class CpuInfo:
    """One CPU, counted since power-on."""

    index: int
    is_online: bool
    busy_ns: int
    idle_ns: int
    #: Threads that are ready and wait for this CPU.
    run_queue: int
    context_switches: int
    #: Threads that it took from other CPUs' run queues.
    steals: int
    ipis: int
    interrupts: int

    def load_since(self, before: "CpuInfo") -> float:
        """Returns the part of the time since `before`, 0 to 1, in which it was busy."""
        # The two are not read at the very same moment, so on an idle CPU busy time may seem to shrink a little.
        busy, idle = max(self.busy_ns - before.busy_ns, 0), self.idle_ns - before.idle_ns
        return busy / (busy + idle) if busy + idle > 0 else 0.0


@dataclass(frozen=True, slots=True)
class ProcessEntry:
    """A line of `ps`: a kernel thread or an asyncio task."""

    #: A thread's number, or `a` and a task's number.
    id: str
    name: str
    state: str
    #: None for a task: it runs on its loop's thread.
    cpu: int | None
    cpu_time_ns: int | None


class Task:
    """Something that `spawn` started: a function in a thread of its own, or a coroutine."""

    def __init__(self, name: str) -> None:
        """Describes what has not begun yet."""
        self.name = name
        self.id = ""
        self._ended = threading.Event()
        self._result: Any = None
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._future: asyncio.Task[Any] | None = None

    @property
    def state(self) -> str:
        """`running`, `ended`, `failed` or `killed`."""
        if not self._ended.is_set():
            return "running"
        if isinstance(self._error, SystemExit | asyncio.CancelledError):
            return "killed"
        return "failed" if self._error is not None else "ended"

    def done(self) -> bool:
        """Tells whether it has ended, in whatever way."""
        return self._ended.is_set()

    def join(self, timeout: float | None = None) -> bool:
        """Waits until it has ended, at most `timeout` seconds; returns whether it has."""
        return self._ended.wait(timeout)

    def result(self, timeout: float | None = None) -> Any:
        """Waits as `join` does and returns what it returned.

        Raises `TimeoutError` if it goes on after `timeout` seconds, or the exception that ended it.
        """
        if not self.join(timeout):
            raise TimeoutError(f"{self.name} is still running")
        if self._error is not None:
            raise self._error
        return self._result

    def exception(self) -> BaseException | None:
        """Returns the exception that ended it, if one did; None while it runs."""
        return self._error

    def _finish(self, result: Any, error: BaseException | None) -> None:
        if not self._ended.is_set():
            self._result, self._error = result, error
            self._ended.set()

    def __repr__(self) -> str:
        """Shows id, name and state."""
        return f"<task {self.id} {self.name}: {self.state}>"


class Scheduler:
    """What runs on this machine, and ways to start and end it."""

    def __init__(self) -> None:
        """Knows of no tasks yet."""
        self._lock = threading.Lock()
        self._spawned: dict[str, Task] = {}
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, str] = weakref.WeakKeyDictionary()
        self._numbers: weakref.WeakKeyDictionary[asyncio.Task[Any], str] = weakref.WeakKeyDictionary()
        self._next_number = itertools.count(1)

    def spawn(
        self, work: Callable[..., Any] | Coroutine[Any, Any, Any], *args: Any, name: str | None = None, **kwargs: Any
    ) -> Task:
        """Starts `work` and returns at once.

        `work` is a function, which gets `args` and `kwargs` and a thread of its own, or a coroutine (or a function
        that makes one), which runs on the event loop of the calling thread; where none is running it gets a thread
        with a loop of its own. `name` is what `ps` shows. Raises `TypeError` if it is neither, `RuntimeError` if no
        thread can be started.
        """
        if inspect.iscoroutinefunction(work):
            name = name or work.__name__
            work = work(*args, **kwargs)
            args, kwargs = (), {}
        if inspect.iscoroutine(work):
            if args or kwargs:
                raise TypeError("a coroutine has its arguments already")
            return self._spawn_coroutine(work, name or work.__name__)
        if not callable(work):
            raise TypeError(f"cannot run {type(work).__name__}: it is neither a function nor a coroutine")
        return self._spawn_thread(partial(work, *args, **kwargs), name or str(getattr(work, "__name__", "task")))

    def _spawn_coroutine(self, work: Coroutine[Any, Any, Any], name: str) -> Task:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return self._spawn_thread(lambda: asyncio.run(self._run_watched(work, name)), name)
        task = Task(name)
        future = loop.create_task(work, name=name)
        task._future = future
        with self._lock:
            task.id = self._number(future)
            self._loops.setdefault(loop, threading.current_thread().name)
            self._spawned[task.id] = task

        def finish(ended: asyncio.Task[Any]) -> None:
            if ended.cancelled():
                task._finish(None, asyncio.CancelledError())
            else:
                error = ended.exception()
                task._finish(None if error else ended.result(), error)

        future.add_done_callback(finish)
        return task

    async def _run_watched(self, work: Coroutine[Any, Any, Any], name: str) -> Any:
        """Runs a coroutine as the main task of a loop of its own, which `ps` shows."""
        self.watch(asyncio.get_running_loop(), name)
        return await work

    def _spawn_thread(self, run: Callable[[], Any], name: str) -> Task:
        task = Task(name)
        has_id = threading.Event()

        def body() -> None:
            has_id.wait()
            try:
                task._finish(run(), None)
            except SystemExit as error:
                # Nobody asked for a traceback; `kill` ends threads this way.
                task._finish(None, error)
            except BaseException as error:
                task._finish(None, error)
                threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, thread)))

        thread = threading.Thread(target=body, name=name, daemon=True)
        task._thread = thread
        thread.start()
        task.id = str(thread.native_id)
        with self._lock:
            self._spawned[task.id] = task
        has_id.set()
        return task

    def watch(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        """Has `ps` show the tasks of an event loop, until the loop is gone. `name` says whose it is."""
        with self._lock:
            self._loops[loop] = name

    def _number(self, task: asyncio.Task[Any]) -> str:
        """Returns the id of an asyncio task; under the lock."""
        found = self._numbers.get(task)
        if found is None:
            found = f"a{next(self._next_number)}"
            self._numbers[task] = found
        return found

    def _collect_tasks(self) -> list[tuple[str, asyncio.Task[Any]]]:
        """Returns the unfinished asyncio tasks of all watched loops by id."""
        with self._lock:
            loops = [loop for loop in self._loops if not loop.is_closed()]
        tasks = [task for loop in loops for task in asyncio.all_tasks(loop)]
        with self._lock:
            numbered = [(self._number(task), task) for task in tasks]
        return sorted(numbered, key=lambda row: int(row[0][1:]))

    def threads(self) -> list[ThreadInfo]:
        """Returns all kernel threads in order of their numbers."""
        return sorted((ThreadInfo(*row) for row in _hal.threads()), key=lambda thread: thread.tid)

    def ps(self) -> list[ProcessEntry]:
        """Returns all threads, then all asyncio tasks, then what was spawned, has ended and was not reaped."""
        entries = [
            ProcessEntry(str(thread.tid), thread.name, thread.state, thread.cpu, thread.cpu_time_ns)
            for thread in self.threads()
        ]
        for number, task in self._collect_tasks():
            entries.append(ProcessEntry(number, task.get_name(), "waiting", None, None))
        alive = {entry.id for entry in entries}
        with self._lock:
            ended = [task for task in self._spawned.values() if task.done() and task.id not in alive]
        return entries + [ProcessEntry(task.id, task.name, task.state, None, None) for task in ended]

    def kill(self, id: int | str) -> None:
        """Ends a Python thread, by `SystemExit` raised in it, or cancels an asyncio task.

        It ends when it next runs Python code; code that catches everything goes on, as it may. Raises
        `ProcessLookupError` if there is no such thread or task, `PermissionError` for threads that do not run Python
        and for the main thread.
        """
        key = str(id)
        if key.startswith("a"):
            for number, asyncio_task in self._collect_tasks():
                if number == key:
                    asyncio_task.get_loop().call_soon_threadsafe(asyncio_task.cancel)
                    return
            raise ProcessLookupError(3, "No such task", key)
        thread = next((one for one in threading.enumerate() if str(one.native_id) == key), None)
        if thread is None or thread.ident is None:
            if any(str(info.tid) == key for info in self.threads()):
                raise PermissionError(1, "Not a Python thread", key)
            raise ProcessLookupError(3, "No such thread", key)
        if thread is threading.main_thread():
            raise PermissionError(1, "The main thread cannot be killed", key)
        try:
            _hal.thread_raise(thread.ident, SystemExit)
        except LookupError:
            # It ended while we looked.
            raise ProcessLookupError(3, "No such thread", key) from None

    def reap(self) -> list[Task]:
        """Forgets what was spawned and has ended; returns it."""
        with self._lock:
            ended = [task for task in self._spawned.values() if task.done()]
            for task in ended:
                del self._spawned[task.id]
        return ended

    def uptime_ms(self) -> int:
        """Returns the milliseconds since power-on."""
        return time.monotonic_ns() // 1_000_000

    def cpus(self) -> list[CpuInfo]:
        """Returns all CPUs in order."""
        return [CpuInfo(*row) for row in _hal.cpus()]

    def __repr__(self) -> str:
        """Shows how much there is."""
        return f"<scheduler: {len(self.cpus())} CPUs, {len(self.ps())} threads and tasks>"


scheduler = keep(globals().get("scheduler"), Scheduler)
