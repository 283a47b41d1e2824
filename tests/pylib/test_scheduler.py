"""`kernel.scheduler`: threads, tasks and CPUs."""

from __future__ import annotations

import asyncio
import threading

import pytest
from fake_hal import FakeHal

from kernel.scheduler import ProcessEntry, Scheduler, Task


@pytest.fixture
def scheduler() -> Scheduler:
    """One that has spawned nothing."""
    return Scheduler()


def test_a_function_runs_in_a_thread_of_its_own(scheduler: Scheduler) -> None:
    task = scheduler.spawn(lambda a, b: (a * b, threading.current_thread().name), 6, b=7, name="worker")
    assert task.result(10) == (42, "worker")
    assert task.state == "ended"
    assert task.done()


def test_an_exception_is_kept(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_type))

    def fail() -> None:
        raise LookupError("gone")

    task = scheduler.spawn(fail)
    with pytest.raises(LookupError, match="gone"):
        task.result(10)
    assert task.state == "failed"
    assert reported == [LookupError]


def test_a_coroutine_runs_on_the_callers_loop(scheduler: Scheduler) -> None:
    async def double(x: int) -> tuple[int, threading.Thread]:
        await asyncio.sleep(0)
        return 2 * x, threading.current_thread()

    async def main() -> Task:
        task = scheduler.spawn(double, 21)
        assert [entry.id for entry in scheduler.ps() if entry.name == "double"] == [task.id]
        await asyncio.sleep(0.01)
        return task

    task = asyncio.run(main())
    assert task.result(0) == (42, threading.main_thread())


def test_a_coroutine_without_a_loop_gets_a_thread(scheduler: Scheduler) -> None:
    async def where() -> str:
        return threading.current_thread().name

    assert scheduler.spawn(where()).result(10) == "where"


def test_what_cannot_run_is_refused(scheduler: Scheduler) -> None:
    with pytest.raises(TypeError, match="neither"):
        scheduler.spawn(5)  # type: ignore[arg-type]


def test_ps_shows_threads_and_tasks(hal: FakeHal, scheduler: Scheduler) -> None:
    async def main() -> list[ProcessEntry]:
        scheduler.watch(asyncio.get_running_loop(), "session")
        sleeper = asyncio.get_running_loop().create_task(asyncio.sleep(10), name="sleeper")
        await asyncio.sleep(0)
        try:
            return [entry for entry in scheduler.ps() if not entry.name.startswith("Task-")]
        finally:
            sleeper.cancel()

    rows = asyncio.run(main())
    assert rows[:2] == [
        ProcessEntry("1", "python3", "running", 0, 1_500_000_000),
        ProcessEntry("7", "idle/1", "waiting", 1, 0),
    ]
    assert [(row.name, row.state, row.cpu) for row in rows[2:]] == [("sleeper", "waiting", None)]


def test_a_task_is_killed_by_its_id(scheduler: Scheduler) -> None:
    async def main() -> Task:
        task = scheduler.spawn(asyncio.sleep(100), name="sleeper")
        await asyncio.sleep(0)
        scheduler.kill(task.id)
        await asyncio.sleep(0.05)
        return task

    task = asyncio.run(main())
    assert task.state == "killed"
    with pytest.raises(asyncio.CancelledError):
        task.result(0)


def test_a_thread_is_killed_by_its_number(hal: FakeHal, scheduler: Scheduler) -> None:
    release = threading.Event()
    task = scheduler.spawn(release.wait, 30)
    try:
        scheduler.kill(task.id)
        (row,) = hal.raised
        assert row == (task._thread.ident if task._thread else None, SystemExit)
    finally:
        release.set()
    assert task.join(10)


def test_a_thread_that_ends_meanwhile_is_not_there(
    hal: FakeHal, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(ident: int, exception: type[BaseException]) -> None:
        raise LookupError("no such thread")

    monkeypatch.setattr(hal, "thread_raise", gone)
    release = threading.Event()
    task = scheduler.spawn(release.wait, 30)
    try:
        with pytest.raises(ProcessLookupError):
            scheduler.kill(task.id)
    finally:
        release.set()
    assert task.join(10)


def test_who_cannot_be_killed_says_why(hal: FakeHal, scheduler: Scheduler) -> None:
    hal.thread_rows.append((999_999_999, "idle/0", "running", 0, 0))
    with pytest.raises(PermissionError, match="Not a Python thread"):
        scheduler.kill(999_999_999)
    with pytest.raises(PermissionError, match="main thread"):
        scheduler.kill(threading.main_thread().native_id or 0)
    with pytest.raises(ProcessLookupError):
        scheduler.kill(999_999_998)
    with pytest.raises(ProcessLookupError):
        scheduler.kill("a12345")


def test_what_ended_is_shown_until_it_is_reaped(scheduler: Scheduler) -> None:
    task = scheduler.spawn(lambda: None, name="short")
    assert task.join(10)
    assert [(row.id, row.state) for row in scheduler.ps() if row.name == "short"] == [(task.id, "ended")]
    assert scheduler.reap() == [task]
    assert [row for row in scheduler.ps() if row.name == "short"] == []
    assert scheduler.reap() == []


def test_cpus_and_their_load(hal: FakeHal, scheduler: Scheduler) -> None:
    before = scheduler.cpus()
    assert [(cpu.index, cpu.is_online, cpu.run_queue, cpu.context_switches) for cpu in before] == [
        (0, True, 1, 10),
        (1, True, 0, 20),
    ]
    hal.cpu_rows[0] = (0, True, 3_750_000_000, 1_250_000_000, 1, 10, 2, 3, 40)
    after = scheduler.cpus()
    assert [cpu.load_since(old) for cpu, old in zip(after, before, strict=True)] == [0.75, 0.0]


def test_an_idle_cpu_is_not_less_than_idle(hal: FakeHal, scheduler: Scheduler) -> None:
    before = scheduler.cpus()[1]
    hal.cpu_rows[1] = (1, True, 999_999_990, 4_000_000_000, 0, 20, 4, 5, 60)
    assert scheduler.cpus()[1].load_since(before) == 0.0


def test_uptime_grows(scheduler: Scheduler) -> None:
    first = scheduler.uptime_ms()
    assert 0 < first <= scheduler.uptime_ms()
