"""Puts the fake machine under package `kernel`; every test gets a new one."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import fake_hal
import pytest

sys.modules["_hal"] = fake_hal.hal  # type: ignore[assignment]


@pytest.fixture(name="hal", autouse=True)
def machine() -> Iterator[fake_hal.FakeHal]:
    """The machine, as new."""
    fake_hal.hal.reset()
    yield fake_hal.hal
