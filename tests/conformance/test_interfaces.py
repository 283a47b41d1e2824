"""Every function that pthread-shim and mmap-shim show C has its file of checks, which musl's own code passes too."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from harness import link, toolchain
from harness.hosted import CONFORMANCE, Hosted
from harness.toolchain import host_architecture

#: Sources of musl that call mmap-shim and the kernel's clocks and scheduler, and those of named semaphores.
MUSL = re.compile(
    r"src/(mman/\w+|sched/\w+|thread/sem_\w+|time/(clock\w*|timer_\w+|nanosleep|time|gettimeofday|timespec_get))"
)
#: What only musl's own code calls, and the interface whose checks lead through it.
BENEATH = {
    "__clone": "posix_spawn",
    "__default_stacksize": "pthread_getattr_default_np",
    "__lock": "__lock",
    "__set_thread_area": "__set_thread_area",
    "__synccall": "__synccall",
    "__syscall_cp": "pthread_cancel",
    "__unlock": "__lock",
}
#: Where musl itself differs from POSIX, and why.
DEVIATIONS = dict.fromkeys(
    ("sched_getparam", "sched_getscheduler", "sched_setparam", "sched_setscheduler"),
    "ENOSYS always: POSIX means processes, Linux's calls mean threads, so musl does not offer them",
)

pytestmark = [
    pytest.mark.architecture(host_architecture()),
    pytest.mark.skipif(host_architecture() != "x86_64", reason="hosted mode knows Linux's calls on x86_64 alone"),
]


def run(program: Path) -> tuple[str, set[str]]:
    """Returns what the checks printed, and the interfaces of those that failed."""
    result = subprocess.run([program, "interfaces"], capture_output=True, text=True, timeout=200, check=False)
    summary = re.search(r"^(\d+) checks, (\d+) failed$", result.stdout, re.M)
    assert summary and int(summary[1]) > 6000, result.stdout + result.stderr
    failed = re.findall(r"^\w+\.c:\d+: (\w+), ", result.stdout, re.M)
    assert len(failed) == int(summary[2]), result.stdout
    return result.stdout, set(failed)


@pytest.fixture(scope="module")
def with_shim(hosted: Hosted) -> tuple[str, set[str]]:
    """A run with pthread-shim, on Linux."""
    return run(hosted.conformance)


def test_checks_hold_with_musls_own_threads(hosted: Hosted) -> None:
    report, failed = run(hosted.reference)
    assert failed == set(DEVIATIONS), report


def test_checks_hold_with_pthread_shim_on_linux(with_shim: tuple[str, set[str]]) -> None:
    report, failed = with_shim
    assert not failed, report


def defined(*arguments: str | Path) -> list[list[str]]:
    """Returns the lines of `nm` about global names, as words."""
    command = [toolchain.NM, "--defined-only", "--extern-only", *arguments]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line.split() for line in listing.splitlines() if len(line.split()) >= 3]


def exported(hosted: Hosted) -> set[str]:
    """Returns what C programs may call of all this."""
    shim = {words[-1] for words in defined(hosted.shim)} & set(link.names(link.EXPORTS))
    # What musl alone calls is among it if musl does; `kernel_syscall` is the way to all else.
    used = set(link.names(link.IMPORTS)) | {"_pthread_cleanup_push", "_pthread_cleanup_pop"}
    names = {name for name in shim if not name.startswith("_") or name in used} - {"kernel_syscall"}
    sources: dict[str, list[str]] = json.loads((hosted.musl / "image" / "members.json").read_text())
    for words in defined("-A", hosted.musl / "image" / "libc.a"):
        member = words[0].split(":")[1]
        if not words[-1].startswith("__") and any(MUSL.fullmatch(source) for source in sources[member]):
            names.add(words[-1])
    # <pthread.h> has macros of these names over the functions.
    return {name.removeprefix("_") if name.startswith("_pthread") else name for name in names}


def table() -> dict[str, str]:
    """Returns the file of each interface, by interfaces.txt."""
    text = re.sub(r"^#.*\n", "", (CONFORMANCE / "interfaces.txt").read_text(), flags=re.M)
    files: dict[str, str] = {}
    for file, names in re.findall(r"^(\w+\.c): ((?:.+\n)(?:    .+\n)*)", text, re.M):
        for name in names.split():
            assert name not in files, f"{name} twice"
            files[name] = file
    return files


def test_every_exported_function_has_its_file_of_checks(hosted: Hosted, with_shim: tuple[str, set[str]]) -> None:
    names, files = exported(hosted), table()
    assert names - set(files) - set(BENEATH) == set(), "without a file"
    assert (set(files) | set(BENEATH)) - names == set(), "no longer exported"
    checked = set(re.findall(r"^interface (\w+) (\w+\.c) [1-9]\d*$", with_shim[0], re.M))
    assert {item for item in files.items() if item not in checked} == set(), "without a check in its file"
    assert {public for public in BENEATH.values() if public not in {name for name, _ in checked}} == set()
