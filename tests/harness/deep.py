"""`make check-deep`: Miri on the crates that build on the host."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness import setup
from harness.paths import BUILD, LOGS, REPOSITORY
from harness.progress import Progress, jobs, run

STRICT = "-Zmiri-strict-provenance"
# Futexes reach the kernel as numbers, and the trees of intrusive-collections keep colours in their pointers.
PERMISSIVE = "-Zmiri-permissive-provenance"


@dataclass(frozen=True, slots=True)
class Crate:
    """The tests of one crate that Miri runs."""

    name: str
    #: How strict Miri is.
    flags: str
    #: Words that the names of the tests begin with; none: all tests.
    chosen: tuple[str, ...] = ()
    #: Parts of the names of tests that do not run, each with its reason.
    skipped: Mapping[str, str] | None = None




RANDOM = "hundreds of random cases, of which Miri takes up to seconds each"
LONG = "minutes under Miri"
CRATES = (
    Crate(
        "kernel",
        # The memory that the frames of a test lie in is never given back.
        f"{PERMISSIVE} -Zmiri-ignore-leaks",
        # Where there is unsafe code that a host can run, and what reads the firmware's tables.
        ("boot::", "fs::tmpfs::", "initial_stack::", "log_ring::", "memory::buddy::"),
        {
            "agrees_with_a_set_of_addresses": RANDOM,
            "content_is_what_a_vector_would_be": RANDOM,
            "shows_the_newest_lines": RANDOM,
            "blocks_are_apart_aligned_and_all_come_back": RANDOM,
        },
    ),
    Crate(
        "smp",
        # Threads that are spawned never return, and the end of a test does not wait for them.
        f"{PERMISSIVE} -Zmiri-ignore-leaks",
        skipped={
            "serves_by_class_then_age": RANDOM,
            "expires_in_order_what_was_not_removed": RANDOM,
            "scheduler::simulation::": LONG,
        },
    ),
    Crate(
        "mmap-shim",
        STRICT,
        skipped={
            "agrees_with_a_set_of_addresses": RANDOM,
            "each_page_is_what_the_calls_made_of_it": RANDOM,
            "reading_untouched_memory_costs_nothing": LONG,
            "there_is_a_limit_to_the_number_of_areas": LONG,
            "tests::memory::": LONG,
        },
    ),
    Crate("pthread-shim", PERMISSIVE, skipped={"_agrees_with_a_counter": RANDOM}),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one part ended."""

    name: str
    has_passed: bool
    told: str


def install(progress: Progress) -> None:
    """Installs what this check takes beyond the build: a nightly Rust with Miri."""
    setup.ensure("build", progress)
    if shutil.which("rustup") is None:
        raise setup.SetupMissing("missing: rustup (https://rustup.rs), which installs a nightly Rust")
    components = ("miri", "rust-src")
    listed = subprocess.run(
        ["rustup", "component", "list", "--toolchain", "nightly", "--installed"],
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        with progress.working(f"install a nightly Rust with {' and '.join(components)}"):
            words = [word for name in components for word in ("--component", name)]
            run(["rustup", "toolchain", "install", "nightly", "--profile", "minimal", *words], "deep")
    elif not all(re.search(rf"^{name}\b", listed.stdout, re.MULTILINE) for name in components):
        with progress.working(f"add {' and '.join(components)} to the nightly Rust"):
            run(["rustup", "component", "add", "--toolchain", "nightly", *components], "deep")


def log_of(name: str) -> Path:
    """Returns the file for all that a part prints, empty."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"deep-{name}.log"
    log.write_bytes(b"")
    return log


def miri(crate: Crate) -> Verdict:
    """Runs the tests of a crate under Miri."""
    skips = [word for name in crate.skipped or {} for word in ("--skip", name)]
    command = ["cargo", "+nightly", "miri", "test", "--package", crate.name, "--lib", "--tests"]
    # Tests look at the clock, and proptest at the folder.
    flags = f"{crate.flags} -Zmiri-disable-isolation"
    environment = {**os.environ, "MIRIFLAGS": flags, "CARGO_TARGET_DIR": str(BUILD / "miri")}
    log = log_of(f"miri-{crate.name}")
    start = time.monotonic()
    with log.open("wb") as output:
        code = subprocess.run(
            [*command, "--", *crate.chosen, *skips],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    text = log.read_text(errors="replace")
    passed = sum(map(int, re.findall(r"^test result: ok\. (\d+) passed", text, re.MULTILINE)))
    took = f"{time.monotonic() - start:.0f} s"
    name = f"miri {crate.name}"
    if code != 0:
        return Verdict(name, False, f"{first_error(text)}\n    all of it: {log}")
    # A filter that fits nothing must not look like success.
    return Verdict(name, passed > 0, f"{passed} tests in {took}")


def first_error(text: str) -> str:
    """Returns the line that says what went wrong."""
    found = re.search(r"^.*\berror: .*$|^.*panicked at.*\n.*$", text, re.MULTILINE)
    return found[0].strip() if found else "failed"


def check(progress: Progress) -> int:
    """Runs all of it; returns the exit code."""
    progress.next("set-up")
    install(progress)
    verdicts: list[Verdict] = []
    progress.next("Miri")
    with progress.working(", ".join(crate.name for crate in CRATES)):
        verdicts += tell(in_turn([partial(miri, crate) for crate in CRATES]))
    failed = sum(not verdict.has_passed for verdict in verdicts)
    print(f"check-deep: {len(verdicts) - failed} passed, {failed} failed")
    return 1 if failed else 0


def in_turn(parts: Sequence[Callable[[], Verdict]]) -> Iterator[Verdict]:
    """Runs the parts, one on each CPU at a time; returns how they ended, in their order."""
    with ThreadPoolExecutor(jobs()) as pool:
        for part in [pool.submit(part) for part in parts]:
            yield part.result()


def tell(verdicts: Iterator[Verdict]) -> list[Verdict]:
    """Prints how each ended, as soon as it has."""
    told = []
    for verdict in verdicts:
        print(f"{verdict.name}: {'' if verdict.has_passed else 'FAILED: '}{verdict.told}", flush=True)
        told.append(verdict)
    return told
