"""The runner of `make test-cpython`, with ordinary Python processes in place of machines."""

from __future__ import annotations

import json
import re
import shutil
import sys
import unittest
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import regression

from harness import conformance, settings
from harness.conformance import Expectations, Runner, System
from harness.serial import Guest
from harness.settings import BadSetting

GUEST = Path(__file__).parents[1] / "guest"
#: What the agent imports here as tests/guest/regression.py.
FAKE = """
import os, time

def conform(name, limit):
    if name == "test_dies":
        os.write(2, b"[test.test_dies.Case.test_it]\\n")
        os._exit(3)
    if name == "test_hangs":
        time.sleep(600)
    if name == "test_raises":
        raise ImportError("no such module")
    broken = [("test.test_fails.Case.test_it", "Traceback")] if name == "test_fails" else []
    skips = [("test.test_good.Case.test_other", "no moon")]
    return {"ran": 3, "passed": 2 - len(broken), "skips": skips, "broken": broken}
"""


@pytest.fixture
def system(tmp_path: Path) -> System:
    """A system whose machines are Python processes of this host."""
    shutil.copy(GUEST / "agent.py", tmp_path)
    (tmp_path / "regression.py").write_text(FAKE)
    command = conformance.with_errors([sys.executable, str(tmp_path / "agent.py")])
    return System("2 CPUs", lambda: Guest(command), "digest", 0.5)


def expect(failures: dict[str, dict[str, str]] | None = None) -> Expectations:
    """Returns expectations with these failures, and with time for all but the module that hangs."""
    limits = dict.fromkeys(("test_dies", "test_raises", "test_good", "test_fails"), 60.0)
    return Expectations({}, limits, failures or {}, [(re.compile("no (moon|sun)"), "it is day")])


def run(system: System, folder: Path, names: list[str], **options: bool) -> dict[str, dict[str, Any]]:
    """Runs modules, at most two at a time, and returns what the file of results holds."""
    Runner([system], expect(), folder, again=options.get("again", False)).run(names, jobs=2)
    results: dict[str, dict[str, Any]] = json.loads((folder / "results.json").read_text())
    return results


def test_a_module_that_ends_its_machine_costs_no_other(
    system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conformance, "GRACE", 0.0)
    names = ["test_dies", "test_hangs", "test_raises", "test_good"]
    results = run(system, tmp_path / "out", names)
    (dead,), (hung,), (raised,) = (results[name]["2 CPUs"]["broken"] for name in names[:3])
    assert dead[0] == conformance.DIED
    assert results["test_dies"]["2 CPUs"]["last"] == ["test.test_dies.Case.test_it"]
    assert hung[0] == conformance.HUNG
    assert "@ready" in hung[1]
    assert raised[0] == conformance.OUTSIDE
    assert "no such module" in raised[1]
    assert results["test_good"]["2 CPUs"]["passed"] == 2


def test_a_later_run_keeps_results_of_the_same_build_alone(system: System, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(system, out, ["test_good"])
    results = json.loads((out / "results.json").read_text())
    results["test_good"]["2 CPUs"]["passed"] = 77
    (out / "results.json").write_text(json.dumps(results))
    assert run(system, out, ["test_good"])["test_good"]["2 CPUs"]["passed"] == 77
    other = System(system.name, system.start, "another digest", system.limit)
    assert run(other, out, ["test_good"])["test_good"]["2 CPUs"]["passed"] == 2


@pytest.mark.parametrize(
    ("name", "failures", "complaint"),
    [
        ("test_good", {}, None),
        ("test_fails", {}, "test.test_fails.Case.test_it failed"),
        ("test_fails", {"test_fails": {"test.test_fails.Case.test_it": "a known gap"}}, None),
        ("test_good", {"test_good": {"test.test_good.Case.test_it": "a known gap"}}, "listed as failing, but passes"),
    ],
)
def test_what_is_not_listed_is_reported(
    system: System, tmp_path: Path, name: str, failures: dict[str, dict[str, str]], complaint: str | None
) -> None:
    results = run(system, tmp_path / "out", [name])
    text, unexplained = conformance.report(results, [name], [system.name], expect(failures))
    assert f"| {name} | 3 / " in text
    assert "| it is day | 1 |" in text
    assert [line for line in unexplained if complaint is None or complaint not in line] == []
    assert len(unexplained) == (complaint is not None)


def test_a_skip_without_a_cause_and_a_module_without_a_result_are_reported(system: System, tmp_path: Path) -> None:
    results = run(system, tmp_path / "out", ["test_good"])
    results["test_good"]["2 CPUs"]["skips"].append(("test.test_good.Case.test_more", "felt like it"))
    _, unexplained = conformance.report(results, ["test_good", "test_new"], [system.name], expect())
    assert [re.sub(r".*(skipped: .*|no result).*", r"\1", line) for line in unexplained] == [
        "skipped: felt like it",
        "no result",
    ]


def test_packages_count_by_module_where_regrtest_splits_them(tmp_path: Path) -> None:
    for path in ("test_a.py", "helper.py", "test_json/__init__.py", "test_json/test_b.py", "test_asyncio/__init__.py",
                 "test_asyncio/test_c.py", "test_asyncio/utils.py"):  # fmt: skip
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    assert conformance.modules(tmp_path) == ["test_a", "test_asyncio.test_c", "test_json"]


def test_a_test_may_put_something_else_in_the_place_of_its_id() -> None:
    class Hides(unittest.TestCase):
        """One of CPython's does as well."""

        def test_it(self) -> None:
            self.id = 7

        def test_skip(self) -> None:
            self.id = 8
            self.skipTest("no moon")

    result = regression.Result()
    unittest.defaultTestLoader.loadTestsFromTestCase(Hides).run(result)
    assert (result.passed, result.broken) == (1, [])
    assert result.skips == [(f"{Hides.__module__}.{Hides.__qualname__}.test_skip", "no moon")]


def test_only_takes_modules_and_packages_and_refuses_what_is_not_there() -> None:
    names = ["test_a", "test_asyncio.test_c", "test_asyncio.test_d", "test_b"]
    assert conformance.choose(names, ["test_asyncio", "test_b"]) == names[1:]
    with pytest.raises(BadSetting, match="test_x"):
        conformance.choose(names, ["test_a", "test_x"])


@pytest.mark.parametrize("free_threading", [True, False])
def test_the_list_of_expectations_is_well_formed(free_threading: bool) -> None:
    expected = conformance.expectations(replace(settings.read({}), free_threading=free_threading))
    assert not set(expected.excluded) & {*expected.limits, *expected.failures}
    assert all(cause for causes in expected.failures.values() for cause in causes.values())
    assert expected.cause_of_skip("no processes on PythonOS")
    assert bool(expected.cause_of_skip("GIL disabled")) is free_threading
