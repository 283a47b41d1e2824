"""What the boot tests share: the settings, and machines to start."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from harness import settings
from harness.machines import TRANSCRIPTS, Machines, Shape
from harness.serial import Guest


@pytest.fixture(scope="session")
def machines() -> Iterator[Machines]:
    """Starts machines of the build that the environment chooses; ends them all."""
    shutil.rmtree(TRANSCRIPTS, ignore_errors=True)
    started = Machines(settings.read())
    yield started
    started.close()


@pytest.fixture
def guest(machines: Machines) -> Guest:
    """The machine of 2 CPUs and 1 GiB that most tests share."""
    return machines.shared(Shape())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test that starts a machine."""
    for item in items:
        if {"machines", "guest"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.boot)
