"""A fault or a panic is reported in full, and the machine ends as its command line says."""

from __future__ import annotations

import re

import pytest

from harness.machines import Machines, Shape
from harness.serial import Guest

#: How a report names what happened, by what the test does to the machine.
PROTECTION = (
    "write text",
    "write read-only data",
    "call data",
    "read address 0",
    "write address 0",
    "call the first page",
)


def crash(machines: Machines, cpus: int, function: str, *arguments: object, append: tuple[str, ...] = ()) -> str:
    """Makes a machine crash; returns what it printed after that. It must leave QEMU with a non-zero status."""
    with machines.guest(Shape(cpus=cpus, append=append)) as guest:
        guest.console.skip()
        begin = len(guest.console.text())
        guest.post(function, *arguments)
        assert guest.console.wait_for_exit(30) != 0, guest.console.text()[begin:]
        return guest.console.text()[begin:]


def check_report(report: str, function: str, cpu: int | None = None) -> None:
    """Checks that a report names CPU, thread, registers, C symbols and the Python function that was running."""
    assert re.search(r"\bCPU ?%s\b" % (r"\d+" if cpu is None else cpu), report), report
    assert re.search(r"\bthread\b", report, re.IGNORECASE), report
    assert re.search(r"\b(rip|pc)\b[ =:]+(0x)?[0-9a-f]{4,}", report, re.IGNORECASE), report
    assert re.search(r"_PyEval_EvalFrameDefault\b", report), report
    assert re.search(rf'File "/tests/\w+\.py", line \d+,? in {function}\b', report), report


def test_segmentation_fault(machines: Machines) -> None:
    report = crash(machines, 2, "crash.segmentation_fault")
    check_report(report, "segmentation_fault")
    assert "faulthandler" in report


@pytest.mark.parametrize("cpu", [0, 1, 3])
def test_fault_on_each_cpu_in_a_secondary_thread(machines: Machines, cpu: int) -> None:
    report = crash(machines, 4, "crash.fault_on_cpu", cpu)
    check_report(report, "fault_here", cpu)
    assert "culprit" in report  # the thread's name
    # Where the other threads were, too.
    assert re.search(r'File "/tests/crash\.py", line \d+,? in fault_on_cpu\b', report), report


def test_c_stack_overflow(machines: Machines) -> None:
    report = crash(machines, 2, "crash.stack_overflow")
    assert re.search(r"stack overflow", report, re.IGNORECASE), report
    check_report(report, "stack_overflow")


@pytest.mark.parametrize("stack", ["kernel", "interrupt"])
@pytest.mark.parametrize("cpu", [0, 1])
def test_kernel_stack_overflow(machines: Machines, stack: str, cpu: int) -> None:
    report = crash(machines, 2, f"crash.{stack}_stack_overflow", cpu)
    first_line = r"FATAL kernel stack overflow: write at 0x([0-9a-f]+), the guard page of a stack\r?\n"
    found = re.search(first_line, report)
    assert found, report
    check_report(report, "dig", cpu)
    assert re.search(r'Thread: \d+ "digger"', report), report
    assert re.search(r"kernel::provoke::dig\+", report), report
    # The fault is the first touch of the page below the stack, not of what lies beyond it.
    sp = re.search(r"\bR?SP +0x([0-9a-f]+)", report)
    assert sp and abs(int(sp[1], 16) - int(found[1], 16)) <= 4096, report


@pytest.mark.parametrize("cpus", [1, 4])
def test_deliberate_panic(machines: Machines, cpus: int) -> None:
    report = crash(machines, cpus, "crash.panic")
    assert re.search(r"panic", report, re.IGNORECASE), report
    check_report(report, "panic")


@pytest.mark.parametrize(("cpus", "deaf"), [(2, 0), (2, 1), (4, 3)])
def test_panic_stops_a_cpu_that_has_interrupts_off(machines: Machines, cpus: int, deaf: int) -> None:
    report = crash(machines, cpus, "crash.panic_beside_deaf_cpu", deaf)
    check_report(report, "panic_beside_deaf_cpu")
    assert "did not stop" not in report, report
    found = re.search(rf'^CPU {deaf}:\r?\n  Thread: \d+ "deaf"\r?\n  #0 .*\r?\n', report, re.MULTILINE)
    assert found, report
    assert "spin_without_interrupts" in report[found.start() :].split("\nCPU ")[0], report


def test_abort(machines: Machines) -> None:
    check_report(crash(machines, 2, "crash.abort"), "abort")


@pytest.mark.parametrize("what", PROTECTION)
def test_forbidden_access_faults(machines: Machines, what: str) -> None:
    report = crash(machines, 2, "forgery.attempt", what)
    assert "nothing stopped" not in report
    check_report(report, "attempt")
    if syndrome := re.search(r"^ESR 0x[0-9a-f]+ \((.*?)\)", report, re.MULTILINE):
        # What aarch64 says of it, in words.
        access = {"write": "data abort, write", "read": "data abort, read", "call": "instruction abort, fetch"}
        why = "translation" if "address 0" in what or "first page" in what else "permission"
        assert re.fullmatch(rf"{access[what.split()[0]]}, {why} fault, level \d", syndrome[1]), report
    if what.endswith("address 0"):
        assert re.search(r"\b0x0+\b", report), report


def test_fault_handler_of_python_prints_every_thread(machines: Machines) -> None:
    report = crash(machines, 2, "crash.with_faulthandler")
    assert "Fatal Python error: Segmentation fault" in report
    assert re.search(r'File "/tests/crash\.py", line \d+ in with_faulthandler', report), report


def test_panic_restarts_the_machine_if_asked(machines: Machines) -> None:
    with machines.guest(Shape(append=("panic=reboot",)), restarts=True) as guest:
        guest.console.skip()
        guest.post("crash.panic")
        guest.console.expect(r"@ready (\d+)\r?\n", 60)
        assert guest.call("agent.echo", "again") == "again"


def test_panic_halts_the_machine_if_asked(machines: Machines) -> None:
    with machines.guest(Shape(append=("panic=halt",))) as guest:
        guest.console.skip()
        guest.post("crash.panic")
        guest.console.expect("(?i)panic", 20)
        guest.console.expect("(?i)halted", 20)
        assert guest.console.is_running()
        # Halted, not spinning.
        import time

        before = guest.console.cpu_seconds()
        time.sleep(3)
        assert guest.console.cpu_seconds() - before < 0.1


def test_a_handled_fault_ends_nothing(guest: Guest) -> None:
    assert guest.call("crash.handled_signals") == ["SIGINT", "SIGUSR1", "SIGALRM"]
