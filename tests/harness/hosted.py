"""Links programs for Linux from the image's own parts: hosted mode.

musl, libpython and pthread-shim are the ones of the image. In place of the kernel comes
`tests/hosted`, which asks Linux. What such a program does wrong, the threads or the C
library do wrong, not the machine.

`build/<arch>-<ft|gil>/hosted/` holds `bin/python`, which finds its library beside it, and
the checks of tests/conformance twice: `bin/conformance` with pthread-shim and, so that the
checks are checked themselves, `bin/conformance-musl` with musl's own threads.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import images, link, toolchain
from harness.images import Libraries
from harness.paths import REPOSITORY
from harness.progress import Progress, run
from harness.settings import Settings
from harness.toolchain import Target

CONFORMANCE = REPOSITORY / "tests" / "conformance"
NO_PYTHON = REPOSITORY / "tests" / "hosted" / "no_python.c"
#: Where Linux returns to from signal handlers: the image has no use for these.
SIGNAL_RETURN = ("__restore", "__restore_rt")
STEPS = 7


@dataclass(frozen=True, slots=True)
class Hosted:
    """The programs of one configuration."""

    folder: Path
    musl: Path

    @property
    def python(self) -> Path:
        """CPython as the image has it, with its C test modules."""
        return self.folder / "bin" / "python"

    @property
    def conformance(self) -> Path:
        """The checks of threads, semaphores, mappings and clocks, with pthread-shim."""
        return self.folder / "bin" / "conformance"

    @property
    def reference(self) -> Path:
        """The same checks with musl's own threads."""
        return self.folder / "bin" / "conformance-musl"

    @property
    def shim(self) -> Path:
        """pthread-shim, with the names that it gives C."""
        return self.folder / "shim.o"

    def link_map(self, program: Path) -> Path:
        """Returns what the linker wrote about `program`."""
        return program.with_suffix(".map")

    def environment(self) -> dict[str, str]:
        """Returns an environment that keeps the user's settings and the cache out of it."""
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(self.folder),
            "LC_ALL": "C.UTF-8",
            "PYTHONPYCACHEPREFIX": str(self.folder / "pycache"),
        }

    def run_python(self, arguments: Sequence[str], timeout: float) -> subprocess.CompletedProcess[str]:
        """Runs the interpreter to its end; its errors come with its output."""
        return subprocess.run(
            [self.python, *arguments], env=self.environment(), cwd=self.folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=timeout, check=False,
        )  # fmt: skip


def build_hosted(settings: Settings) -> Hosted:
    """Builds what is missing and returns the programs."""
    progress = Progress(STEPS)
    folder = images.images(settings).folder / "hosted"
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    libraries = images.build_libraries(settings, progress)
    target = toolchain.TARGETS[settings.arch]
    progress.next("threads")
    log = f"hosted-{settings.config}"
    shim = _build_shim(target, folder, log, progress)
    progress.next("programs")
    python, hosted = libraries.python, Hosted(folder, libraries.musl)
    with progress.working("link the programs"):
        _link(
            hosted.python,
            [python.modules(tests=True), shim, python.archive, *(library.archive for library in libraries.static)],
            libraries, log, ["--defsym=main=Py_BytesMain"],
        )  # fmt: skip
        _link(hosted.conformance, [*_compile_conformance(target, folder, libraries, log), shim], libraries, log, [])
        objects = _compile_conformance(target, folder, libraries, log, "REFERENCE")
        _link(hosted.reference, objects, libraries, log, [], archive=libraries.musl / "sysroot" / "lib" / "libc.a")
    _furnish(folder, libraries)
    return hosted


def build_conformance_image(settings: Settings) -> Path:
    """Returns an image in which the conformance test takes the place of CPython."""
    progress = Progress(STEPS)
    folder = images.images(settings).folder / "conformance"
    folder.mkdir(parents=True, exist_ok=True)
    libraries = images.build_libraries(settings, progress)
    target = toolchain.TARGETS[settings.arch]
    progress.next("kernel")
    kernel = images.build_kernel(target, libraries, progress)
    progress.next("image")
    log, output = f"conformance-{settings.config}", folder / "conformance.elf"
    with progress.working("link the conformance test"):
        parts = images.image_parts(libraries, target, kernel, tests=False)
        objects = _compile_conformance(target, folder, libraries, log, "MACHINE")
        objects += _compile_c([NO_PYTHON], target, folder, libraries, log)
        isolated = link.isolate_kernel(parts, folder, log)
        run(
            [
                # Where there is no CPython, no session has a thread to interrupt.
                *link.linker(parts.script), "--defsym=Py_BytesMain=main", "--defsym=pythonos_interrupt_thread=main",
                *_no_python(isolated), isolated, *objects, parts.libc, parts.libgcc, "-o", output,
            ],
            log,
        )  # fmt: skip
        link.flatten(output, target, log)
    return output


def _no_python(kernel: Path) -> list[str]:
    """Returns the linker's words that put nothing in the place of what the kernel's `_hal` takes from CPython.

    `PyImport_AppendInittab` is not among it: the kernel calls it before `main` (tests/hosted/no_python.c).
    """
    wanted = subprocess.run([toolchain.NM, "-u", kernel], capture_output=True, text=True, check=True).stdout.split()
    calls = ("Py_BytesMain", "PyImport_AppendInittab")
    return [f"--defsym={name}=0" for name in wanted if name.startswith("Py") and name not in calls]


def _compile_conformance(target: Target, folder: Path, libraries: Libraries, log: str, kind: str = "") -> list[Path]:
    """Compiles the checks; `kind` is a macro of tests/conformance/conformance.h that says where they will run."""
    objects = folder / f"conformance-{kind.lower() or 'hosted'}"
    shutil.rmtree(objects, ignore_errors=True)
    objects.mkdir()
    options = [f"-D{kind}=1"] if kind else []
    return _compile_c(sorted(CONFORMANCE.glob("*.c")), target, objects, libraries, log, options)


def _compile_c(
    sources: Sequence[Path], target: Target, folder: Path, libraries: Libraries, log: str, options: Sequence[str] = ()
) -> list[Path]:
    sysroot = libraries.musl / "sysroot"
    run(
        [
            toolchain.CLANG, f"--target={target.triple}", "-nostdlibinc", f"-isystem{sysroot}/include-pythonos",
            f"-isystem{sysroot}/include", "-std=c11", "-Wall", "-Wextra", "-Werror",
            *toolchain.c_flags(target), *options, "-c", *sources,
        ],
        log, cwd=folder,
    )  # fmt: skip
    return [folder / f"{source.stem}.o" for source in sources]


def _build_shim(target: Target, folder: Path, log: str, progress: Progress) -> Path:
    """Returns pthread-shim over Linux as one object that shows C what the image's kernel shows it."""
    output = Path(os.environ.get("CARGO_TARGET_DIR") or REPOSITORY / "target")
    archive = output / target.rust / "release" / "libhosted.a"
    whole, isolated, keep = folder / "shim-whole.o", folder / "shim.o", folder / "exports"
    keep.write_text("\n".join([*link.names(link.EXPORTS), *SIGNAL_RETURN]) + "\n")
    with progress.working("compile pthread-shim for hosted mode"):
        run(["cargo", "build", "--package", "hosted", "--release", "--target", target.rust], log, cwd=REPOSITORY)
        run([toolchain.LINKER, "-r", "--whole-archive", archive, "-o", whole], log)
        # Rust's soft-float mathematics must not meet C's, nor its memcpy.
        run([toolchain.OBJCOPY, f"--keep-global-symbols={keep}", whole, isolated], log)
    whole.unlink()
    return isolated


def _link(
    output: Path,
    parts: Sequence[Path],
    libraries: Libraries,
    log: str,
    options: Sequence[str],
    archive: Path | None = None,
) -> None:
    """Links a static program, with the image's musl if not another; the map goes beside it."""
    archive = archive or libraries.musl / "image" / "libc.a"
    start = libraries.musl / "sysroot" / "lib"
    run(
        [
            toolchain.LINKER, "-static", "--gc-sections", "-z", "noexecstack", *options, f"-Map={output}.map",
            start / "crt1.o", start / "crti.o", *parts, archive, start / "libgcc.a",
            start / "crtn.o", "-o", output,
        ],
        log,
    )  # fmt: skip


def _furnish(folder: Path, libraries: Libraries) -> None:
    """Lays out CPython's library where the interpreter in `bin/` looks for it."""
    python = libraries.python
    library = folder / "lib" / f"python3.14{'t' if python.free_threading else ''}"
    (library / "lib-dynload").mkdir(parents=True, exist_ok=True)
    for source in [*python.library.iterdir(), *python.folder.glob("_sysconfig*")]:
        place = library / source.name
        if not place.is_symlink() or place.readlink() != source:
            place.unlink(missing_ok=True)
            place.symlink_to(source)
