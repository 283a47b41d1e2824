"""A timer that is started again just as it runs out still runs out."""

from __future__ import annotations

import pytest

from harness.machines import Machines, Shape

DELIVERIES = 60_000


@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_no_expiry_is_lost(machines: Machines, cpus: int) -> None:
    result = machines.shared(Shape(cpus=cpus)).call("timers.deliveries", DELIVERIES, 10.0, timeout=240)
    assert result == {"sent": DELIVERIES, "received": DELIVERIES, "lost": None}
