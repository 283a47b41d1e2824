"""Reads tables of expectations whose entries may differ by build, such as `tests/cpython/expected.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.settings import Settings


def of_build(table: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Returns the entries of a table that hold for a build, each with its value there.

    A value that is itself a table says what each build has, `{ free_threaded = ..., gil = ... }`;
    without one of the two the entry is not there for that build.
    """
    build = "free_threaded" if settings.free_threading else "gil"
    values = {key: value.get(build) if isinstance(value, dict) else value for key, value in table.items()}
    return {key: value for key, value in values.items() if value is not None}
