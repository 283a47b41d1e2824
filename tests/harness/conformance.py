"""`make test-cpython`: CPython's regression tests as our conformance suite.

Every module of `Lib/test` that can apply to a machine without processes runs in a machine of
its own, as `python -m test -j` gives each a process of its own, and once on this Linux, by the
same interpreter (the image's objects linked with stock musl) and the same runner
(tests/guest/regression.py). What is left out, and every failure and every skip that is
expected, is named with its cause in tests/cpython/conformance.toml.

Results go to `build/conformance/<configuration>/results.json` as they come; a run that was cut
off goes on from there. `results.md` shows them as tables.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import queue
import re
import shutil
import stat
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import image, images, qemu, settings
from harness.expectations import of_build
from harness.images import Images
from harness.machines import AGENT
from harness.paths import BUILD, REPOSITORY
from harness.serial import ConsoleError, Guest, GuestError, MachineEnded
from harness.settings import Settings
from harness.toolchain import host_architecture

CPYTHON_TESTS = REPOSITORY / "tests" / "cpython"
GUEST = REPOSITORY / "tests" / "guest"
#: Packages whose modules count each for itself: those that regrtest splits, and the other long ones.
SPLIT = (
    "test_asyncio",
    "test_capi",
    "test_concurrent_futures",
    "test_free_threading",
    "test_future_stmt",
    "test_inspect",
    "test_interpreters",
    "test_pathlib",
    "test_pydoc",
    "test_string",
)
MEMORY = "2G"
CPUS = (2, 4)
#: How a module ended that did not end by itself.
DIED = "ended the machine"
HUNG = "went past the time limit"
OUTSIDE = "failed outside of its tests"
#: Seconds between the limit, when a machine shows every thread's stack, and its end.
GRACE = 20.0


@dataclass(frozen=True, slots=True)
class Expectations:
    """What conformance.toml and expected.toml say of the suite."""

    excluded: dict[str, str]
    limits: dict[str, float]
    failures: dict[str, dict[str, str]]
    skips: list[tuple[re.Pattern[str], str]]

    def cause_of_skip(self, reason: str) -> str | None:
        """Returns the cause of a skip with this reason, if one is listed."""
        return next((cause for pattern, cause in self.skips if pattern.fullmatch(reason)), None)


@dataclass(frozen=True, slots=True)
class System:
    """One place where modules run: a kind of machine, or this Linux."""

    name: str
    start: Callable[[], AbstractContextManager[Guest]]
    #: What tells one build from another.
    digest: str
    #: Seconds that a module may take unless [limits] says more.
    limit: float


def expectations(chosen: Settings) -> Expectations:
    """Reads what is left out and what is expected of a build."""
    ours = tomllib.loads((CPYTHON_TESTS / "conformance.toml").read_text())
    both = tomllib.loads((CPYTHON_TESTS / "expected.toml").read_text())
    reasons = of_build(ours["skips"] | both["skips"], chosen)
    skips = [(re.compile(pattern, re.DOTALL), cause) for pattern, cause in reasons.items()]
    excluded = {name: reason for reason, names in ours["excluded"].items() for name in names}
    failures = {name: of_build(causes, chosen) for name, causes in ours["failures"].items()}
    return Expectations(excluded, ours["limits"], failures, skips)


def modules(folder: Path) -> list[str]:
    """Returns the test modules below `folder`, CPython's `Lib/test`, as regrtest finds them."""
    found = []
    for path in folder.glob("test_*"):
        if path.name in SPLIT:
            found += [f"{path.name}.{each.stem}" for each in path.glob("test_*") if _is_module(each)]
        elif _is_module(path):
            found.append(path.stem)
    return sorted(found)


def _is_module(path: Path) -> bool:
    return path.suffix == ".py" or (path / "__init__.py").is_file()


def choose(names: Iterable[str], wanted: Sequence[str]) -> list[str]:
    """Returns the modules that `--only` asks for: by name, or all of a package; raises `BadSetting` for others."""
    names = list(names)
    chosen = [name for name in names if any(name == each or name.startswith(f"{each}.") for each in wanted)]
    for each in wanted:
        if not any(name == each or name.startswith(f"{each}.") for name in names):
            raise settings.BadSetting(f"--only {each}: no such module, or one that conformance.toml leaves out")
    return chosen


def main(chosen: Settings, arguments: Sequence[str]) -> int:
    """Runs the suite and shows the tables; returns 0 if each failure and each skip is expected."""
    cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(prog="make test-cpython", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--only", nargs="+", metavar="MODULE", help="these modules, or all of a package")
    parser.add_argument("--cpus", type=int, nargs="*", default=list(CPUS), help="machines of so many CPUs: 2 4")
    parser.add_argument("--jobs", type=int, default=max(1, cores // 2), help="machines at a time")
    parser.add_argument("--no-linux", action="store_true", help="leave the reference out")
    parser.add_argument("--again", action="store_true", help="run modules that have a result of this build too")
    options = parser.parse_args(arguments)
    found = images.build_images(chosen, tests=True)
    expected = expectations(chosen)
    folder = BUILD / "conformance" / chosen.config
    names = modules(found.folder / "cpython" / "Lib" / "test")
    unknown = sorted({*expected.excluded, *expected.limits, *expected.failures} - set(names))
    if unknown:
        raise settings.BadSetting(f"conformance.toml names modules that CPython does not have: {', '.join(unknown)}")
    names = [name for name in names if name not in expected.excluded]
    if options.only:
        names = choose(names, options.only)
    systems = [_machine(chosen, found, cpus) for cpus in options.cpus]
    if chosen.arch == host_architecture() and sys.platform == "linux" and not options.no_linux:
        systems.append(_linux(found, folder / "linux"))
    runner = Runner(systems, expected, folder, again=options.again)
    runner.run(names, options.jobs)
    text, unexplained = report(runner.results, names, [system.name for system in systems], expected)
    about = f"{chosen.config}, {runner.commit}, {time.strftime('%Y-%m-%d', time.gmtime())}"
    (folder / "results.md").write_text(f"{about}\n\n{text}")
    print(text)
    for line in unexplained:
        print(f"unexplained: {line}")
    print(f"{about}: {len(names)} modules, {'all as expected' if not unexplained else f'{len(unexplained)} unexplained'}")
    return 1 if unexplained else 0


def _machine(chosen: Settings, found: Images, cpus: int) -> System:
    command = qemu.command(chosen, cpus=cpus, memory=MEMORY, append=["panic=exit"], python_argv=AGENT)
    digest = _digest(found.kernel(tests=True), found.folder / "initrd-tests.img")
    return System(f"{cpus} CPUs", lambda: Guest(command, boot_timeout=120), digest, 900.0)


def _linux(found: Images, folder: Path) -> System:
    """Returns this Linux as a system: the image's library unpacked, and the interpreter of the same objects."""
    library = found.folder / "library"
    python = found.folder / "cpython" / "python-linux"
    digest = _digest(python, GUEST / "regression.py", library / "library.cpio", library / "library-tests.cpio")
    stamp = folder / "stamp"
    if not stamp.is_file() or stamp.read_text() != digest:
        shutil.rmtree(folder, ignore_errors=True)
        for archive in ("library.cpio", "library-tests.cpio"):
            for name, mode, data in image.read_cpio((library / archive).read_bytes()):
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                if stat.S_ISREG(mode):
                    path.write_bytes(data)
                    path.chmod(stat.S_IMODE(mode))
                elif stat.S_ISDIR(mode):
                    path.mkdir(exist_ok=True)
                elif stat.S_ISLNK(mode):
                    path.symlink_to(os.fsdecode(data))
        (folder / "usr" / "bin").mkdir(exist_ok=True)
        shutil.copy(python, folder / "usr" / "bin" / "python3")
        stamp.write_text(digest)
    scratch = folder / "tmp"
    scratch.mkdir(exist_ok=True)
    # Nothing of the caller's environment: the machine has none of it either.
    variables = {
        "PATH": "/bin:/usr/bin", "HOME": str(scratch), "TMPDIR": str(scratch), "TERM": "dumb", "LC_ALL": "C.UTF-8",
        "PYTHONHOME": str(folder / "usr"),
    }  # fmt: skip
    # A job in a shell's background inherits that SIGINT is ignored, and Python then sets no handler.
    command = ["env", "-i", "--default-signal=INT", "-C", str(scratch)]
    command += [f"{key}={value}" for key, value in variables.items()]
    command += [str(folder / "usr" / "bin" / "python3"), str(GUEST / "agent.py")]
    return System("Linux", lambda: Guest(with_errors(command), boot_timeout=60), digest, 300.0)


def with_errors(command: Sequence[str]) -> list[str]:
    """Returns the command with its errors in its output, as a machine's console has them."""
    return ["sh", "-c", 'exec "$@" 2>&1', "sh", *command]


def _digest(*paths: Path) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class Runner:
    """Runs modules on systems, several at a time, and keeps their results in a file."""

    def __init__(self, systems: list[System], expected: Expectations, folder: Path, *, again: bool) -> None:
        self._systems = systems
        self._expected = expected
        self._folder = folder
        self._again = again
        self._file = folder / "results.json"
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._began = time.monotonic()
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        self.commit = described.stdout.strip() or "no commit"
        folder.mkdir(parents=True, exist_ok=True)
        #: Outcomes by module and system.
        self.results: dict[str, dict[str, Any]] = {}
        if self._file.is_file():
            self.results = json.loads(self._file.read_text())

    def run(self, names: list[str], jobs: int) -> None:
        """Runs what has no result of this build yet, `jobs` at a time."""
        waiting: queue.SimpleQueue[tuple[str, System]] = queue.SimpleQueue()
        for name in names:
            for system in self._systems:
                before = self.results.get(name, {}).get(system.name, {})
                if self._again or before.get("digest") != system.digest:
                    waiting.put((name, system))
        self._left = waiting.qsize()
        threads = [threading.Thread(target=self._work, args=(waiting,), daemon=True) for _ in range(jobs)]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        finally:
            # After Ctrl-C the machines end too: that is no result.
            self._stopped.set()

    def _work(self, waiting: queue.SimpleQueue[tuple[str, System]]) -> None:
        with suppress(queue.Empty):
            while not self._stopped.is_set():
                name, system = waiting.get_nowait()
                outcome = self._run_one(name, system)
                if not self._stopped.is_set():
                    self._keep(name, system, outcome)

    def _run_one(self, name: str, system: System) -> dict[str, Any]:
        limit = max(system.limit, self._expected.limits.get(name, 0))
        began = time.monotonic()
        outcome: dict[str, Any] = {"ran": 0, "passed": 0, "skips": [], "broken": []}
        try:
            with system.start() as guest:
                try:
                    # The machine shows every thread's stack at the limit; its console comes with the failure.
                    outcome = guest.call("regression.conform", name, limit, timeout=limit + GRACE)
                except GuestError as error:
                    outcome["broken"] = [(OUTSIDE, str(error))]
                except ConsoleError as error:
                    text = guest.console.text()
                    why, end = str(error).splitlines()[0], text[-8000:]
                    kind = DIED if isinstance(error, MachineEnded) else HUNG
                    outcome["broken"] = [(kind, f"{why}\n{end}")]
                    outcome["last"] = re.findall(r"^\[(test\S+)\]$", text, re.MULTILINE)[-1:]
        except ConsoleError as error:
            outcome["broken"] = [("did not start", str(error))]
        outcome["wall"] = round(time.monotonic() - began, 1)
        return outcome

    def _keep(self, name: str, system: System, outcome: dict[str, Any]) -> None:
        outcome |= {"digest": system.digest, "commit": self.commit, "when": int(time.time())}
        with self._lock:
            self.results.setdefault(name, {})[system.name] = outcome
            partial = self._file.with_suffix(".part")
            partial.write_text(json.dumps(self.results, indent=1, sort_keys=True))
            os.replace(partial, self._file)
            self._left -= 1
            print(
                f"[{time.monotonic() - self._began:6.0f} s, {self._left} left] {name} on {system.name}:"
                f" {verdict(outcome)}, {outcome['wall']:g} s",
                file=sys.stderr, flush=True,
            )  # fmt: skip


def verdict(outcome: dict[str, Any]) -> str:
    """Returns one line on what a module did on one system."""
    broken = ", ".join(test for test, _ in outcome["broken"])
    last = f" in {outcome['last'][0]}" if outcome.get("last") else ""
    numbers = f"{outcome['ran']} run, {outcome['passed']} passed, {len(outcome['skips'])} skipped"
    return numbers + (f", FAILED {broken}{last}" if broken else "")


def report(
    results: dict[str, dict[str, Any]], names: list[str], systems: list[str], expected: Expectations
) -> tuple[str, list[str]]:
    """Returns the tables in Markdown, and what of the results is not explained."""
    unexplained: list[str] = []
    skipped: dict[str, dict[str, int]] = {}
    failed: dict[tuple[str, str, str], list[str]] = {}
    rows = []
    clean = dict.fromkeys(systems, 0)
    empty = dict.fromkeys(systems, 0)
    for name in names:
        cells = []
        causes = expected.failures.get(name, {})
        broken_in_machines: set[str] = set()
        has_machine = False
        for system in systems:
            outcome = results.get(name, {}).get(system)
            if outcome is None:
                unexplained.append(f"{name} has no result on {system}")
                cells.append("not run")
                continue
            tests = sorted({test for test, _ in outcome["broken"]})
            cells.append(f"{outcome['ran']} / {outcome['passed']} / {len(outcome['skips'])} / {len(tests)}")
            clean[system] += bool(outcome["passed"] and not tests)
            empty[system] += not outcome["passed"] and not tests
            for test in tests:
                cause = causes.get(test, "")
                failed.setdefault((name, test, cause), []).append(system)
                # Linux is what we are compared with: what fails there alone is its own affair.
                if not cause and system != "Linux":
                    unexplained.append(f"{name} on {system}: {test} failed")
            if system == "Linux":
                continue
            has_machine = True
            broken_in_machines |= set(tests)
            for test, reason in outcome["skips"]:
                known = expected.cause_of_skip(reason)
                if known is None:
                    unexplained.append(f"{name} on {system}: {test} skipped: {reason}")
                counts = skipped.setdefault(known or f"unexplained: {reason}", {})
                counts[system] = counts.get(system, 0) + 1
        if has_machine:
            unexplained += [
                f"{name}: {test} is listed as failing, but passes" for test in sorted(set(causes) - broken_in_machines)
            ]
        rows.append([name, *cells])
    parts = [
        _table(["", *systems], [
            ["modules", *(str(len(names)) for _ in systems)],
            ["with tests that passed and none that failed", *(str(clean[system]) for system in systems)],
            ["skipped as a whole", *(str(empty[system]) for system in systems)],
        ]),
        "Failed tests:\n\n" + _table(
            ["module", "test", "where", "cause"],
            [[name, test, ", ".join(where), cause or "-"] for (name, test, cause), where in sorted(failed.items())],
        ),
        "Skipped tests by cause:\n\n" + _table(
            ["cause", *(system for system in systems if system != "Linux")],
            [
                [cause, *(str(counts.get(system, 0)) for system in systems if system != "Linux")]
                for cause, counts in sorted(skipped.items(), key=lambda item: -max(item[1].values()))
            ],
        ),
        "Tests run / passed / skipped / failed, by module:\n\n" + _table(["module", *systems], rows),
    ]  # fmt: skip
    return "\n".join(parts), unexplained


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def row(cells: Sequence[str]) -> str:
        shown = (cell.replace("|", "\\|").replace("\n", " ") for cell in cells)
        return f"| {' | '.join(shown)} |\n"

    return row(head) + f"|{'---|' * len(head)}\n" + "".join(row(each) for each in rows)
