"""Interrupts into Python: the timer's, the console's, a PCI device's."""

from __future__ import annotations

from harness.machines import Machines, Shape
from harness.serial import Guest
from harness.settings import Settings

#: An interrupt that another CPU takes at the very moment when the watch begins or ends counts for one or the other.
CPUS = 2


def test_timer_interrupts_reach_python_while_threads_compute(guest: Guest) -> None:
    seen, told, least, most, lost, names = guest.call("hal.timer_events", 100_000, timeout=400)
    assert names == ["interrupts"]
    assert seen + told >= 100_000 and told <= lost
    assert least - CPUS <= seen + lost <= most, (seen, told, least, most, lost)


def test_events_that_nobody_takes_are_counted_as_lost(guest: Guest) -> None:
    least, most, drained, lost, told = guest.call("hal.undrained", timeout=60)
    assert drained > 1000 and lost > 0 and told == lost
    assert least - CPUS <= drained + lost <= most, (least, most, drained, lost)


def test_a_router_that_raises_stays(guest: Guest) -> None:
    assert guest.call("hal.failing_router") == [["KeyError"], True]


def test_the_console_interrupts(guest: Guest) -> None:
    guest.call("hal.watch_console")
    found = guest.call("hal.console_events")
    assert found and all(found)


def test_a_pci_device_interrupts(machines: Machines, chosen: Settings) -> None:
    # On arm64 by its line: the virt machine gives slot n, pin A, the shared interrupt 3 + n % 4.
    line = 3 if chosen.arch == "arm64" else None
    with machines.guest(Shape(), devices=("edu",)) as guest:
        wrong, right, name, second = guest.call("hal.edu_interrupts", 200, line, timeout=60)
    assert wrong == [] and len(right) == 200 and all(right)
    assert name == ["free"]
    assert second == "ValueError: msi_alloc and irq_route did not give this vector"


def test_vectors_of_the_kernel_stay_its_own(guest: Guest, chosen: Settings) -> None:
    console = guest.call("hal.constants")["VECTOR_CONSOLE"]
    not_given = "ValueError: msi_alloc and irq_route did not give this vector"
    assert guest.call("hal.outcome", "vector_free", console) == not_given
    assert guest.call("hal.outcome", "interrupt_watch", 200) == "ValueError: nothing interrupts by this vector"
    if chosen.arch == "x86_64":
        taken = "OSError: [Errno 16] the interrupt has a handler already"
        assert guest.call("hal.outcome", "irq_route", "isa", 4) == taken


def test_an_exception_in_another_thread(guest: Guest) -> None:
    assert guest.call("hal.raised_in_a_thread") == [
        ["KeyError"], True, "LookupError: no Python thread has this ident",
        "TypeError: the exception is a class of exceptions",
    ]  # fmt: skip


def test_proc_threads(guest: Guest) -> None:
    assert guest.call("hal.proc_threads") == ["running", "python3"]
