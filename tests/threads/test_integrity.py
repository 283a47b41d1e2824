"""Registers, memory and clocks keep their values while threads preempt each other on all CPUs; 4 of them: test_stress.py."""

from __future__ import annotations

import pytest

from harness.machines import Machines, Shape

SECONDS = 4.0
CPUS = pytest.mark.parametrize("cpus", [1, 2])


@CPUS
def test_floating_point_registers_survive_preemption(machines: Machines, cpus: int) -> None:
    result = machines.shared(Shape(cpus=cpus)).call("integrity.floating_point", 12, SECONDS)
    assert result["errors"] == []
    assert min(result["passes"]) > 0


@CPUS
def test_simd_registers_survive_preemption(machines: Machines, cpus: int) -> None:
    result = machines.shared(Shape(cpus=cpus)).call("integrity.byte_strings", 8, SECONDS)
    assert result["errors"] == []
    assert min(result["passes"]) > 0


@CPUS
def test_wide_registers_survive_preemption_and_signals(machines: Machines, cpus: int) -> None:
    result = machines.shared(Shape(cpus=cpus)).call("integrity.wide_registers", 8, SECONDS)
    assert result["errors"] == []
    assert min(result["passes"]) > 0
    assert result["handled"] > 0


@CPUS
def test_no_cpu_sees_stale_mappings(machines: Machines, cpus: int) -> None:
    result = machines.shared(Shape(cpus=cpus)).call("integrity.shared_mappings", 8, SECONDS)
    assert result["errors"] == []
    assert min(result["passes"]) > 0


@CPUS
def test_pipes_keep_order_and_count(machines: Machines, cpus: int) -> None:
    result = machines.shared(Shape(cpus=cpus)).call("integrity.pipes", 4, 2_000_000, timeout=120)
    assert result["errors"] == []


@CPUS
def test_the_clock_never_runs_backwards(machines: Machines, cpus: int) -> None:
    result = machines.shared(Shape(cpus=cpus)).call("integrity.monotonic_clock", 6, SECONDS)
    assert result["errors"] == []
    assert result["reads"] > 1000
