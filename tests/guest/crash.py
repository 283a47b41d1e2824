"""Ways to end a machine badly, each in a function whose name the report must show."""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
import time


def segmentation_fault() -> None:
    """Dereferences a bad pointer, in C."""
    faulthandler._sigsegv()  # type: ignore[attr-defined]


def stack_overflow() -> None:
    """Recurses in C until the stack's guard page."""
    faulthandler._stack_overflow()  # type: ignore[attr-defined]


def abort() -> None:
    """Calls abort(3)."""
    os.abort()


def ask_for(letter: str) -> None:
    """Asks the kernel for one of the crashes it has on offer."""
    with open("/proc/sysrq-trigger", "w", encoding="ascii") as trigger:
        trigger.write(letter)


def panic() -> None:
    """Asks the kernel to panic."""
    ask_for("c")


def kernel_stack_overflow(cpu: int) -> None:
    """Overflows the kernel stack of a thread on CPU `cpu`."""
    on_cpu(cpu, "x")


def interrupt_stack_overflow(cpu: int) -> None:
    """Overflows the interrupt stack of CPU `cpu`."""
    on_cpu(cpu, "y")


def panic_beside_deaf_cpu(cpu: int) -> None:
    """Panics while CPU `cpu`, not the one that this runs on, has its interrupts off for good."""
    os.sched_setaffinity(0, set(range(os.cpu_count() or 1)) - {cpu})

    def turn_deaf() -> None:
        os.sched_setaffinity(0, {cpu})
        gone.set()
        ask_for("z")

    gone = threading.Event()
    threading.Thread(target=turn_deaf, name="deaf").start()
    gone.wait()
    # Nobody can tell when it has got there: it answers nothing any more.
    time.sleep(0.5)
    panic()


def on_cpu(cpu: int, letter: str) -> None:
    """Crashes in a second thread, on CPU `cpu`."""

    def dig() -> None:
        os.sched_setaffinity(0, {cpu})
        ask_for(letter)

    digger = threading.Thread(target=dig, name="digger")
    digger.start()
    digger.join()


def fault_here(cpu: int) -> None:
    """Faults on one CPU."""
    os.sched_setaffinity(0, {cpu})
    time.sleep(0.01)
    faulthandler._sigsegv()  # type: ignore[attr-defined]


def fault_on_cpu(cpu: int) -> None:
    """Faults in a second thread, on CPU `cpu`, while others are busy or asleep."""
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            pass

    for _ in range(2):
        threading.Thread(target=busy, daemon=True).start()
    culprit = threading.Thread(target=fault_here, args=(cpu,), name="culprit")
    culprit.start()
    culprit.join()


def with_faulthandler() -> None:
    """Faults with Python's own fault handler enabled."""
    faulthandler.enable(all_threads=True)
    faulthandler._sigsegv()  # type: ignore[attr-defined]


def handled_signals() -> list[str]:
    """Sends this process signals that have handlers; returns their names in the order of arrival."""
    seen: list[str] = []

    def handler(number: int, _frame: object) -> None:
        seen.append(signal.Signals(number).name)

    numbers = (signal.SIGINT, signal.SIGUSR1, signal.SIGALRM)
    before = [signal.signal(number, handler) for number in numbers]
    os.kill(os.getpid(), signal.SIGINT)
    signal.raise_signal(signal.SIGUSR1)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    time.sleep(0.5)
    for number, old in zip(numbers, before, strict=True):
        signal.signal(number, old)
    return seen
