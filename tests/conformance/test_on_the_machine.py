"""The same checks on the machine: what differs from hosted mode is the kernel's doing."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from harness import qemu
from harness.hosted import build_conformance_image
from harness.settings import Settings


@pytest.fixture(scope="session")
def image(chosen: Settings) -> Path:
    """The image that runs the checks and nothing else."""
    return build_conformance_image(chosen)


@pytest.mark.boot
@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_every_interface_does_what_posix_says(chosen: Settings, image: Path, cpus: int) -> None:
    command = qemu.command(chosen, cpus=cpus, append=["panic=exit"], python_argv=["all"])
    command[command.index("-kernel") + 1] = str(qemu.boot_file(chosen, image))
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=300, check=False
    )
    summary = re.search(r"^(\d+) checks, 0 failed\r?$", result.stdout, re.M)
    assert summary, result.stdout[-4000:]
    assert int(summary[1]) > 6000
