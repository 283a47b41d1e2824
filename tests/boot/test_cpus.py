"""Every CPU that the firmware names comes up and runs Python, whatever their number."""

from __future__ import annotations

import re
from typing import Unpack

import pytest

from harness import backports
from harness.machines import Machines, Options, Shape


@pytest.mark.parametrize("cpus", [1, 2, 3, 4, 8, 16, 64])
def test_every_cpu_runs_python(machines: Machines, cpus: int) -> None:
    with machines.guest(Shape(cpus=cpus)) as guest:
        identity = guest.call("machine.identity")
        assert identity["cpu_count"] == identity["process_cpu_count"] == cpus
        assert identity["affinity"] == list(range(cpus))
        seen = guest.call("machine.run_on_each_cpu", timeout=120)
        assert seen == {str(cpu): [cpu] for cpu in range(cpus)}
        assert f"SMP online {cpus}/{cpus}" in guest.console.text()


def run_with(machines: Machines, controller: str, cpus: int, **options: Unpack[Options]) -> None:
    """Checks that all CPUs of a machine run Python, and that the kernel drives this kind of interrupt controller."""
    with machines.guest(Shape(cpus=cpus), **options) as guest:
        found = re.findall(r"\] INFO kernel\.boot: (xAPIC|x2APIC|GICv2|GICv3)\b", guest.console.text())
        assert found == [controller]
        seen = guest.call("machine.run_on_each_cpu", timeout=120)
        assert seen == {str(cpu): [cpu] for cpu in range(cpus)}


@pytest.mark.architecture("arm64")
@pytest.mark.parametrize("cpus", [1, 2, 3, 4, 8])
def test_gicv2_starts_every_cpu(machines: Machines, cpus: int) -> None:
    run_with(machines, "GICv2", cpus, machine="virt,gic-version=2")


@pytest.mark.architecture("arm64")
@pytest.mark.parametrize("cpus", [1, 4, 64])
def test_gicv3_starts_every_cpu(machines: Machines, cpus: int) -> None:
    run_with(machines, "GICv3", cpus, machine="virt,gic-version=3")


@pytest.mark.architecture("arm64")
@pytest.mark.parametrize(("gic", "cpus"), [(2, 1), (2, 4), (3, 1), (3, 4)])
def test_a_machine_entered_at_el2_starts_every_cpu(machines: Machines, gic: int, cpus: int) -> None:
    run_with(machines, f"GICv{gic}", cpus, machine=f"virt,gic-version={gic},virtualization=on")


@pytest.mark.architecture("x86_64")
@pytest.mark.parametrize("cpus", [1, 4, 16])
def test_xapic_mode_starts_every_cpu(machines: Machines, cpus: int) -> None:
    run_with(machines, "xAPIC", cpus, cpu="max,-x2apic")


@pytest.fixture(scope="module")
def x2apic_qemu() -> list[str]:
    """The command of a QEMU that emulates x2APIC: 9.0 and later do."""
    command, reason = backports.x2apic_qemu()
    if not command:
        pytest.skip(reason)
    return command


@pytest.mark.architecture("x86_64")
@pytest.mark.parametrize("cpus", [1, 2, 4, 16, 64])
def test_x2apic_mode_starts_every_cpu(machines: Machines, x2apic_qemu: list[str], cpus: int) -> None:
    run_with(machines, "x2APIC", cpus, qemu=x2apic_qemu)


@pytest.mark.architecture("x86_64")
@pytest.mark.parametrize("cpus", [1, 4])
def test_xapic_mode_where_x2apic_could_be(machines: Machines, x2apic_qemu: list[str], cpus: int) -> None:
    run_with(machines, "xAPIC", cpus, qemu=x2apic_qemu, cpu="max,-x2apic")


@pytest.mark.parametrize("cpus", [1, 2, 4, 64])
def test_power_off_ends_qemu_with_status_0(machines: Machines, cpus: int) -> None:
    with machines.guest(Shape(cpus=cpus)) as guest:
        guest.post("power.off")
        assert guest.console.wait_for_exit(20) == 0
