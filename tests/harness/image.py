"""Makes the initrd: cpio archives (newc) with the standard library, the kernel package, /bin, /examples.

Three archives, one after the other in one file, each ending on a page:
- the standard library without its tests, sources and `.pyc`;
- ours: pylib/ (kernel package, commands, examples, /etc) and what the harness runs in the guest;
- the standard library's tests. They are there when a machine has 512 MiB or more (`WITH_TESTS_MIB`),
  for they take some 100 MB of it, and wherever tests ask for them.

Everything is deterministic: sorted names, one time stamp, one owner. The data of a file of a page
or more starts on a page, by NULs that pad its name, so the kernel can map files in place.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import cpython
from harness.cpython import CPython
from harness.paths import REPOSITORY
from harness.progress import Progress, jobs, run
from harness.store import Inputs, build, expand

PAGE = 4096
WITH_TESTS_MIB = 512
# 2026-01-01: as good as any other, and the same on every machine.
TIME = 1767225600
COMPILER = Path(__file__).with_name("compile_pyc.py")
TEST_PACKAGES = ("test", "idlelib/idle_test")
PYLIB = REPOSITORY / "pylib"
GUEST_TESTS = REPOSITORY / "tests" / "guest"


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in an archive and what it holds: a file's path, a link's target, or nothing for a folder."""

    name: str
    mode: int
    source: Path | None = None
    target: str = ""


def write_cpio(entries: list[Entry], output: Path) -> None:
    """Writes a newc archive that ends on a page; parents come before what they hold."""
    with output.open("wb") as file:
        position = 0
        for number, entry in enumerate([*entries, Entry("TRAILER!!!", 0)], 1):
            data = entry.source.read_bytes() if entry.source else entry.target.encode()
            name = entry.name.encode() + b"\0"
            if entry.source and len(data) >= PAGE:
                name += b"\0" * (-(position + 110 + len(name)) % PAGE)
            fields = (
                0 if entry.name == "TRAILER!!!" else number, entry.mode, 0, 0, 1,
                TIME if entry.mode else 0, len(data), 0, 0, 0, 0, len(name), 0,
            )  # fmt: skip
            record = b"070701" + b"".join(b"%08X" % value for value in fields) + name
            record += b"\0" * (-len(record) % 4) + data + b"\0" * (-len(data) % 4)
            file.write(record)
            position += len(record)
        file.write(b"\0" * (-position % PAGE))


def read_cpio(data: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Yields name, mode and contents of what a newc archive holds."""
    position = 0
    while data[position : position + 6] == b"070701":
        fields = [int(data[position + 6 + 8 * i : position + 14 + 8 * i], 16) for i in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = data[position + 110 : position + 110 + name_size].rstrip(b"\0").decode()
        start = (position + 110 + name_size + 3) // 4 * 4
        if name == "TRAILER!!!":
            return
        yield name, mode, data[start : start + size]
        position = (start + size + 3) // 4 * 4


def tree(folder: Path, at: str, *, leave_out: tuple[str, ...] = ()) -> Iterator[Entry]:
    """Yields what lies below `folder` as it shall appear below `at`, in order."""
    for directory, folders, files in os.walk(folder):
        folders.sort()
        relative = Path(directory).relative_to(folder)
        if relative.as_posix() in leave_out:
            folders.clear()
            continue
        place = f"{at}/{relative.as_posix()}" if relative.parts else at
        yield Entry(place, stat.S_IFDIR | 0o755)
        for name in sorted(files):
            path = Path(directory) / name
            executable = bool(path.stat().st_mode & 0o100)
            yield Entry(f"{place}/{name}", stat.S_IFREG | (0o755 if executable else 0o644), path)


def parents(entries: list[Entry]) -> list[Entry]:
    """Returns `entries` with the folders that lead to them, each name once, parents first."""
    found: dict[str, Entry] = {}
    for entry in entries:
        parts = entry.name.split("/")
        for count in range(1, len(parts)):
            folder = "/".join(parts[:count])
            found.setdefault(folder, Entry(folder, stat.S_IFDIR | 0o755))
        found.setdefault(entry.name, entry)
    return list(found.values())


def library_name(python: CPython) -> str:
    """Returns CPython's own name for the folder of its library, without the leading slash."""
    return f"usr/lib/python{cpython.VERSION}{'t' if python.free_threading else ''}"


def compile_tree(host: Path, folder: Path, at: str, log: str, *, tolerant: bool, checked: bool) -> None:
    """Compiles the modules below `folder`, which the guest will see at `at`, to `.pyc` beside them.

    `checked` ones count only while they fit their source; the others spare each import to read it.
    """
    modes = ["tolerant" if tolerant else "strict", "checked" if checked else "unchecked"]
    run([*cpython.host_command(host), COMPILER, folder, f"/{at}", str(jobs()), *modes], log)


def build_library(python: CPython, host: Path, progress: Progress) -> Path:
    """Returns the folder with `library.cpio` and `library-tests.cpio`."""
    inputs = Inputs(
        texts={"python": python.folder.name, "host": host.name},
        files=[Path(__file__), Path(cpython.__file__), COMPILER],
    )

    def recipe(work: Path, output: Path) -> None:
        shutil.rmtree(work)
        work.mkdir()
        at = library_name(python)
        library, tests = work / "library", work / "tests"
        shutil.copytree(python.library, library)
        for package in TEST_PACKAGES:
            (tests / package).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(library / package, tests / package)
        # CPython looks for this folder to find out where it is installed.
        (library / "lib-dynload").mkdir()
        (library / "site-packages").mkdir(exist_ok=True)
        for path in [*python.folder.glob("_sysconfig*"), *python.folder.glob("build-details.json")]:
            shutil.copy(path, library)
        abi = "t" if python.free_threading else ""
        (config,) = (path.stem for path in python.folder.glob("_sysconfigdata_*.py"))
        triple = config.split("_linux_")[-1]
        makefile = library / f"config-{cpython.VERSION}{abi}-{triple}"
        makefile.mkdir()
        shutil.copy(python.folder / "Makefile", makefile)

        log = f"library-{'ft' if python.free_threading else 'gil'}"
        compile_tree(host, library, at, log, tolerant=False, checked=False)
        # CPython's tests bring files that are wrong on purpose.
        compile_tree(host, tests, at, log, tolerant=True, checked=False)

        entries = list(tree(library, at))
        if abi:
            # The name that users and scripts know.
            entries.append(Entry(f"usr/lib/python{cpython.VERSION}", stat.S_IFLNK | 0o777, target=Path(at).name))
        header = f"usr/include/python{cpython.VERSION}{abi}/pyconfig.h"
        # The library is where a prefix of its own puts it (with the prefix `/` CPython names its
        # folders `//lib/...`), and where users look for it too.
        entries += [Entry(name, stat.S_IFLNK | 0o777, target=f"usr/{name}") for name in ("include", "lib")]
        entries.append(Entry("bin/python3", stat.S_IFLNK | 0o777, target="../usr/bin/python3"))
        entries.append(Entry(header, stat.S_IFREG | 0o644, python.folder / "include" / "pyconfig.h"))
        write_cpio(parents(entries), output / "library.cpio")
        write_cpio(parents(list(tree(tests, at))), output / "library-tests.cpio")

    kind = "ft" if python.free_threading else "gil"
    return build(f"library-{kind}", inputs, progress, "compile the standard library", recipe)


def build_ours(python: CPython, host: Path, work: Path, output: Path) -> None:
    """Writes the archive of pylib/ and of what the harness runs in the guest."""
    site = f"{library_name(python)}/site-packages"
    places = {"kernel": f"{site}/kernel", "site": site, "bin": "bin", "examples": "examples", "etc": "etc"}
    shutil.rmtree(work, ignore_errors=True)
    entries: list[Entry] = []
    for name, at in places.items():
        folder = work / name
        if (PYLIB / name).is_dir():
            shutil.copytree(PYLIB / name, folder, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            folder.mkdir(parents=True)
        if name in ("kernel", "site"):
            # Users edit it in the running machine.
            compile_tree(host, folder, at, "ours", tolerant=False, checked=True)
        entries += tree(folder, at)
    if GUEST_TESTS.is_dir():
        shutil.copytree(GUEST_TESTS, work / "tests", ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        entries += tree(work / "tests", "tests")
    write_cpio(parents(entries), output)


def our_files() -> list[Path]:
    """Returns the files that `build_ours` reads, its recipe included."""
    folders = [PYLIB, GUEST_TESTS]
    return [*expand(folder for folder in folders if folder.is_dir()), Path(__file__), COMPILER]


def concatenate(parts: list[Path], output: Path) -> None:
    """Writes `parts` one after the other, atomically."""
    partial = output.with_suffix(".part")
    with partial.open("wb") as file:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, file, 1 << 20)
    os.replace(partial, output)
