"""Builds everything a machine boots, in order, and only what changed.

`build/<arch>-<ft|gil>/` holds, side by side for every configuration:
`pythonos.elf` (users' image), `pythonos-tests.elf` (with CPython's C test modules),
`initrd.img` (library and ours), `initrd-tests.img` (with CPython's tests), and links to
what the cache holds.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness import cpython, image, link, musl, static_library, toolchain
from harness.cpython import CPython
from harness.paths import BUILD, REPOSITORY, cache
from harness.progress import Progress, run
from harness.settings import Settings
from harness.static_library import StaticLibrary
from harness.toolchain import Target

STEPS = 8


@dataclass(frozen=True, slots=True)
class Images:
    """The finished files of one configuration."""

    folder: Path

    def kernel(self, tests: bool = False) -> Path:
        """The ELF image, for tests with CPython's C test modules."""
        return self.folder / ("pythonos-tests.elf" if tests else "pythonos.elf")

    def initrd(self, memory_mib: int, tests: bool = False) -> Path:
        """The archive that goes with a machine of so much memory: CPython's own tests want room."""
        full = tests or memory_mib >= image.WITH_TESTS_MIB
        return self.folder / ("initrd-tests.img" if full else "initrd.img")


@dataclass(frozen=True, slots=True)
class Libraries:
    """What the cache holds of the C half."""

    musl: Path
    static: tuple[StaticLibrary, ...]
    host: Path
    python: CPython
    library: Path


def images(settings: Settings) -> Images:
    """Returns where the images of a configuration are, built or not."""
    return Images(BUILD / settings.config)


def build_libraries(settings: Settings, progress: Progress) -> Libraries:
    """Builds the C half, or finds it in the cache."""
    target = toolchain.TARGETS[settings.arch]
    progress.next("musl")
    libc = musl.build_musl(target, progress)
    sysroot, key = libc / "sysroot", musl.sysroot_key(target)
    progress.next("libraries")
    static = static_library.build_all(target, sysroot, key, progress)
    progress.next("host python")
    host = cpython.build_host_python(progress)
    progress.next("CPython")
    python = cpython.build_cpython(target, settings.free_threading, sysroot, key, static, host, progress)
    progress.next("library")
    library = image.build_library(python, host, progress)
    return Libraries(libc, static, host, python, library)


def build_images(settings: Settings, *, tests: bool) -> Images:
    """Builds the images of a configuration, those for tests too if asked for."""
    progress = Progress(STEPS)
    result = images(settings)
    result.folder.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(result.folder):
        libraries = build_libraries(settings, progress)
        _links(result.folder, libraries)
        target = toolchain.TARGETS[settings.arch]
        progress.next("kernel")
        kernel = build_kernel(target, libraries, progress)
        progress.next("image")
        for for_tests in (False, True) if tests else (False,):
            parts = image_parts(libraries, target, kernel, for_tests)
            output = result.kernel(for_tests)
            _when_changed(
                output, parts.files(), progress, f"link {output.name}",
                lambda parts=parts, output=output: link.link(  # type: ignore[misc]
                    parts, target, result.folder / "link", output, f"link-{settings.config}"
                ),
            )  # fmt: skip
        progress.next("initrd")
        ours = result.folder / "ours.cpio"
        _when_changed(
            ours, [*image.our_files(), libraries.library / "library.cpio", libraries.host / "python"], progress, "pack ours",
            lambda: image.build_ours(libraries.python, libraries.host, result.folder / "ours", ours),
        )  # fmt: skip
        base = [libraries.library / "library.cpio", ours]
        for output, parts_of_it in (
            (result.folder / "initrd.img", base),
            (result.folder / "initrd-tests.img", [*base, libraries.library / "library-tests.cpio"]),
        ):
            _when_changed(
                output, parts_of_it, progress, f"write {output.name}",
                lambda parts_of_it=parts_of_it, output=output: image.concatenate(parts_of_it, output),  # type: ignore[misc]
            )  # fmt: skip
    return result


def image_parts(libraries: Libraries, target: Target, kernel: Path, tests: bool) -> link.Parts:
    """Returns what one image is linked from."""
    return link.Parts(
        kernel=kernel,
        python=libraries.python.archive,
        modules=libraries.python.modules(tests),
        libc=libraries.musl / "image" / "libc.a",
        static=tuple(library.archive for library in libraries.static),
        libgcc=libraries.musl / "sysroot" / "lib" / "libgcc.a",
        script=REPOSITORY / "kernel" / f"{target.name}.ld",
        headers=libraries.python.folder / "include",
        sysroot=libraries.musl / "sysroot",
    )


def build_kernel(target: Target, libraries: Libraries, progress: Progress) -> Path:
    """Has cargo build the Rust half; returns its archive.

    bindgen reads the headers of the CPython that the image links, so each configuration has a kernel of
    its own: that with the GIL in a target folder of its own.
    """
    folder = Path(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target")
    if not libraries.python.free_threading:
        folder /= "gil"
    archive = folder / target.rust / "release" / "libkernel.a"
    command: list[str | Path] = ["cargo", "build", "--package", "kernel", "--release", "--target", target.rust]
    command += ["--target-dir", folder]
    headers = {
        "PYTHONOS_CPYTHON": str(libraries.python.folder),
        "PYTHONOS_SYSROOT": str(libraries.musl / "sysroot"),
    }
    used = archive.with_suffix(".headers")
    before = archive.stat().st_mtime_ns if archive.is_file() else 0
    has_same_headers = used.is_file() and json.loads(used.read_text()) == headers
    if before and has_same_headers and not _newer_sources(before):
        return archive
    start = time.time_ns()
    with progress.working("compile the kernel"):
        run(command, f"kernel-{target.name}", cwd=REPOSITORY, env={**os.environ, **headers})
    # cargo leaves the archive alone when nothing that matters changed. What changed while it ran
    # counts as newer.
    os.utime(archive, ns=(start, start))
    used.write_text(json.dumps(headers))
    return archive


def _newer_sources(than_ns: int) -> bool:
    """Tells whether a file that cargo reads changed after a moment."""
    folders = ["kernel", "smp", "pthread-shim", "mmap-shim", "cpython/sys", ".cargo"]
    files: list[Path] = [REPOSITORY / name for name in ("Cargo.toml", "Cargo.lock", "rust-toolchain.toml")]
    for name in folders:
        # Folders count too: a file that is gone changes them.
        files += [REPOSITORY / name, *(REPOSITORY / name).rglob("*")]
    return any(path.stat().st_mtime_ns > than_ns for path in files if "target" not in path.parts[-2:])


def _links(folder: Path, libraries: Libraries) -> None:
    """Shows in `build/` what is used of the cache."""
    for name, path in (
        ("musl", libraries.musl),
        *((library.archive.stem, library.folder) for library in libraries.static),
        ("host-python", libraries.host),
        ("cpython", libraries.python.folder),
        ("library", libraries.library),
    ):
        place = folder / name
        if not place.is_symlink() or place.readlink() != path:
            place.unlink(missing_ok=True)
            place.symlink_to(path)


def _stamp(files: Iterable[Path]) -> dict[str, list[int]]:
    found = {}
    for path in files:
        status = path.stat()
        found[str(path)] = [status.st_mtime_ns, status.st_size]
    return found


def _when_changed(
    output: Path, inputs: Iterable[Path], progress: Progress, what: str, recipe: Callable[[], None]
) -> None:
    """Runs `recipe` unless `output` was made from these very inputs."""
    stamp_file = output.with_suffix(".inputs")
    stamp = _stamp(inputs)
    if output.is_file() and stamp_file.is_file() and json.loads(stamp_file.read_text()) == stamp:
        return
    stamp_file.unlink(missing_ok=True)
    with progress.working(what):
        recipe()
    stamp_file.write_text(json.dumps(stamp))


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def clean(*, everything: bool) -> None:
    """Removes what was built; with `everything` also the cache, downloads included."""
    for folder in [BUILD, REPOSITORY / "target", *([cache()] if everything else [])]:
        shutil.rmtree(folder, ignore_errors=True)
