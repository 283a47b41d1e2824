"""Tables of expectations whose entries differ by build."""

from __future__ import annotations

from dataclasses import replace

from harness import settings
from harness.expectations import of_build


def test_an_entry_holds_for_the_builds_that_it_names() -> None:
    both = {"same": 1, "each": {"free_threaded": 2, "gil": 0}, "one": {"gil": 3}, "other": {"free_threaded": "cause"}}
    build = settings.read({})
    assert of_build(both, replace(build, free_threading=True)) == {"same": 1, "each": 2, "other": "cause"}
    assert of_build(both, replace(build, free_threading=False)) == {"same": 1, "each": 0, "one": 3}
