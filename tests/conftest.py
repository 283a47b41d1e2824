"""What the tests share: one suite for every architecture, and machines to start."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from harness import settings
from harness.hosted import Hosted, build_hosted
from harness.machines import Machines, Shape
from harness.serial import Guest
from harness.settings import ARCHITECTURES, Settings


def pytest_configure() -> None:
    """Lets Ctrl-C reach what tests start: a shell's background job, as a CI may be, is started with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Makes a test that needs an image one test for each architecture, or for the one that it is about."""
    if "chosen" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("architecture")
    # The very strings of ARCHITECTURES: pytest keeps a fixture while its parameter is the same object.
    about = [arch for arch in ARCHITECTURES if marker is None or arch in marker.args]
    tested = {each.arch for each in settings.tested()}
    # Where none is left, the report says what was not run.
    other = pytest.mark.skip(reason=f"about {' and '.join(about)} alone")
    found = [arch for arch in about if arch in tested]
    metafunc.parametrize("chosen", found or [pytest.param(about[0], marks=other)], indirect=True, scope="session")


@pytest.fixture(scope="session")
def chosen(request: pytest.FixtureRequest) -> Settings:
    """The settings of the environment, for the architecture that is tested."""
    return settings.read({**os.environ, "TARGET_ARCH": request.param})


@pytest.fixture(scope="session")
def hosted(chosen: Settings) -> Hosted:
    """The programs of hosted mode, built from what the image is built from."""
    return build_hosted(chosen)


@pytest.fixture(scope="session")
def machines(chosen: Settings) -> Iterator[Machines]:
    """Starts machines of one build; ends them all."""
    started = Machines(chosen)
    yield started
    started.close()


@pytest.fixture
def guest(machines: Machines) -> Guest:
    """The machine of 2 CPUs and 1 GiB that most tests share."""
    return machines.shared(Shape())


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test that starts a machine; puts those without an image first, then one architecture after the other."""
    for item in items:
        if {"machines", "guest"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.boot)

    def place(item: pytest.Item) -> int:
        arch = item.callspec.params.get("chosen") if hasattr(item, "callspec") else None
        return ARCHITECTURES.index(arch) if arch else -1

    items.sort(key=place)
