"""Builds CPython: first a small one for this machine, then, with it, the image's as a cross build.

The image's build gives one archive, `libpython.a`, with every static module, and two objects
with the table of built-in modules: `modules.o` for users, `modules-test.o` with the C test
modules of CPython's own tests as well. The linker takes from the archive what the table names.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness import fetch, toolchain
from harness.paths import REPOSITORY
from harness.progress import Progress, StepFailed, jobs, run
from harness.static_library import StaticLibrary
from harness.store import Inputs, build
from harness.toolchain import Target

RECIPE = REPOSITORY / "cpython"
VERSION = "3.14"
TEST_MODULES = re.compile(r"\b(_test\w+|_xxtestfuzz|xxsubtype)\b")
# Optional modules of the building machine's own interpreter that would need libraries.
HOST_WITHOUT = (
    "_bz2", "_ctypes", "_ctypes_test", "_curses", "_curses_panel", "_dbm", "_gdbm", "_hashlib", "_lzma", "_sqlite3",
    "_ssl", "_tkinter", "_uuid", "_zstd", "nis", "readline", "zlib",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CPython:
    """What a build of CPython for the image left behind."""

    folder: Path
    free_threading: bool

    @property
    def archive(self) -> Path:
        """The interpreter and all static modules, without a table of modules."""
        return self.folder / "libpython.a"

    @property
    def library(self) -> Path:
        """CPython's `Lib/`, complete, sources only."""
        return self.folder / "Lib"

    def modules(self, tests: bool) -> Path:
        """The table of built-in modules, with or without the C test modules."""
        return self.folder / ("modules-test.o" if tests else "modules.o")


def _patches() -> list[Path]:
    return sorted((RECIPE / "patches").glob("*.patch"))


def _unpack(work: Path, progress: Progress, log: str) -> Path:
    """Returns the source below `work`, unpacked and with our patches, if there are any."""
    source = fetch.sources()["cpython"]
    folder = work / "source"
    if not folder.is_dir():
        shutil.rmtree(work / "unpacked", ignore_errors=True)
        fetch.unpack(fetch.fetch(source, progress), work / "unpacked")
        for patch in _patches():
            run(["patch", "-p1", "-i", patch], log, cwd=work / "unpacked" / source.folder)
        (work / "unpacked" / source.folder).rename(folder)
    return folder


def _add_modules(work: Path) -> None:
    """Puts our own modules beside CPython's: Setup.local is its place for such."""
    shutil.copytree(RECIPE / "modules", work / "source" / "Modules", dirs_exist_ok=True)
    setup = work / "build" / "Modules" / "Setup.local"
    setup.parent.mkdir(exist_ok=True)
    shutil.copy(RECIPE / "modules" / setup.name, setup)


def _source_key() -> str:
    return fetch.sources()["cpython"].archives[0].sha256


def build_host_python(progress: Progress) -> Path:
    """Returns a CPython of the same version for this machine: it freezes modules and compiles .pyc files."""
    inputs = Inputs(
        texts={
            "source": _source_key(),
            "compiler": toolchain.version(toolchain.CLANG),
            "host": toolchain.host_architecture(),
            "without": " ".join(HOST_WITHOUT),
        },
        files=_patches(),
    )

    def recipe(work: Path, output: Path) -> None:
        log = "cpython-host"
        _unpack(work, progress, log)
        objects = work / "build"
        objects.mkdir(exist_ok=True)
        if not (objects / "Makefile").is_file():
            run(
                [
                    "bash", "../source/configure", f"CC={toolchain.CLANG}", "CFLAGS=-O1 -g0", "--disable-test-modules",
                    "--without-ensurepip", "--with-pkg-config=no", "--prefix=/nonexistent",
                    *(f"py_cv_module_{name}=n/a" for name in HOST_WITHOUT),
                ],
                log, cwd=objects, env={**os.environ, "MODULE_BUILDTYPE": "static"},
            )  # fmt: skip
        run(["make", f"-j{jobs()}", "python"], log, cwd=objects)
        shutil.copy(objects / "python", output / "python")
        # An interpreter that finds `Lib` through pyvenv-like landmarks needs no installation.
        shutil.copytree(
            work / "source" / "Lib",
            output / "lib" / f"python{VERSION}",
            ignore=shutil.ignore_patterns("test", "idlelib"),
        )
        (output / "lib" / f"python{VERSION}" / "lib-dynload").mkdir()

    return build("cpython-host", inputs, progress, "compile CPython for this machine (it compiles .pyc files)", recipe)


def host_command(host: Path) -> list[str]:
    """Returns the command that runs the interpreter of `build_host_python`, isolated from the user's settings."""
    return [str(host / "python"), "-I", "-S", "-B"]


def build_cpython(
    target: Target,
    free_threading: bool,
    sysroot: Path,
    sysroot_key: str,
    static: tuple[StaticLibrary, ...],
    host: Path,
    progress: Progress,
) -> CPython:
    """Returns CPython for the image, free-threaded or with the GIL."""
    kind = "ft" if free_threading else "gil"
    inputs = Inputs(
        texts={
            "source": _source_key(),
            "compiler": toolchain.version(toolchain.CLANG),
            "flags": " ".join(toolchain.c_flags(target)),
            "target": target.triple,
            "kind": kind,
            "sysroot": sysroot_key,
            "libraries": " ".join(library.folder.name for library in static),
            "host": host.name,
        },
        files=[RECIPE / "config.site", RECIPE / "modules", *_patches(), Path(__file__)],
    )
    log = f"cpython-{target.name}-{kind}"

    def recipe(work: Path, output: Path) -> None:
        _unpack(work, progress, log)
        objects = work / "build"
        objects.mkdir(exist_ok=True)
        toolchain.write_wrapper(work / "bin", target, sysroot)
        compiler = f"{target.triple}-clang"
        env = {
            "PATH": f"{work / 'bin'}:{os.environ['PATH']}",
            "HOME": str(work),
            "LC_ALL": "C",
            "CONFIG_SITE": str(RECIPE / "config.site"),
            "MODULE_BUILDTYPE": "static",
            # A build in the image's own clothes: no time stamp of its own.
            "SOURCE_DATE_EPOCH": "1767225600",
        }
        if not (objects / "Makefile").is_file():
            guess = subprocess.run(["sh", work / "source" / "config.guess"], capture_output=True, text=True, check=True)
            _add_modules(work)
            flags = [*toolchain.c_flags(target), "-O3", f"-ffile-prefix-map={work}=."]
            # With guard pages CPython's allocator asks before it uses again what it gave back (docs/memory-map.md).
            flags += ["-DMI_SECURE=1", *(f"-I{library.include}" for library in static)]
            search = [f"-L{library.archive.parent}" for library in static]
            run(
                [
                    "bash", "../source/configure", f"--host={target.triple}", f"--build={guess.stdout.strip()}",
                    f"--with-build-python={host / 'python'}", f"CC={compiler}", f"CPP={compiler} -E",
                    f"AR={toolchain.AR}", f"RANLIB={toolchain.RANLIB}", f"READELF={toolchain.READELF}",
                    f"CFLAGS={' '.join(flags)}", f"LDFLAGS=-static {' '.join(search)} -Wl,-z,stack-size=8388608",
                    "LINKFORSHARED= ", "--prefix=/usr", "--disable-shared", "--without-ensurepip",
                    "--with-pkg-config=no", "--with-tail-call-interp", "--enable-test-modules",
                    *(["--disable-gil"] if free_threading else []),
                ],
                log, cwd=objects, env=env,
            )  # fmt: skip
        run(["make", f"-j{jobs()}"], log, cwd=objects, env=env)
        _publish(target, work, output, log, env)

    folder = build(
        f"cpython-{target.name}-{kind}",
        inputs,
        progress,
        f"compile CPython {fetch.sources()['cpython'].version}{' without the GIL' if free_threading else ''}",
        recipe,
    )
    return CPython(folder, free_threading)


def _publish(target: Target, work: Path, output: Path, log: str, env: dict[str, str]) -> None:
    """Collects in `output` what the image and the tests need of a finished build."""
    objects = work / "build"
    archives = sorted(objects.glob("libpython3.*.a"))
    if len(archives) != 1:
        raise StepFailed(f"expected one libpython archive, found {archives}")
    # The archive that the image links: the interpreter, its modules and their private
    # libraries in one, without the table of modules (Modules/config.o).
    parts = sorted(objects.glob("Modules/**/*.a"))
    script = f"create {output / 'libpython.a'}\naddlib {archives[0]}\n"
    script += "".join(f"addlib {part}\n" for part in parts) + "save\nend\n"
    subprocess.run([toolchain.AR, "-M"], input=script, text=True, check=True)
    run([toolchain.AR, "dD", output / "libpython.a", "config.o"], log)
    run([toolchain.RANLIB, "-D", output / "libpython.a"], log)

    config = (objects / "Modules" / "config.c").read_text()
    tables = {
        "modules-test": config,
        "modules": "\n".join(line for line in config.splitlines() if not TEST_MODULES.search(line)) + "\n",
    }
    for name, text in tables.items():
        path = work / f"{name}.c"
        path.write_text(text)
        run(
            [
                f"{target.triple}-clang", *toolchain.c_flags(target), "-DPy_BUILD_CORE_BUILTIN", "-Isource/Include",
                "-Isource/Include/internal", "-Ibuild", "-c", path, "-o", output / f"{name}.o",
            ],
            log, cwd=work, env=env,
        )  # fmt: skip
    # Our reference: the same objects as a program for Linux, with musl's own threads.
    shutil.copy(objects / "python", output / "python-linux")

    shutil.copytree(work / "source" / "Lib", output / "Lib", ignore=shutil.ignore_patterns("__pycache__"))
    include = output / "include"
    shutil.copytree(work / "source" / "Include", include)
    shutil.copy(objects / "pyconfig.h", include)
    platform_folder = objects / (objects / "pybuilddir.txt").read_text().strip()
    for path in [*platform_folder.glob("_sysconfig*"), *platform_folder.glob("build-details.json")]:
        text = path.read_text()
        # Paths of the building machine mean nothing in the image.
        text = text.replace(str(objects), "/usr/src/python").replace(str(work), "/usr/src")
        text = re.sub(r"/[^\s'\"]*/pythonos/built/[^/\s'\"]+", "/usr/src/sysroot", text)
        (output / path.name).write_text(text)
    for name in ("Makefile",):
        text = (objects / name).read_text()
        text = text.replace(str(objects), "/usr/src/python").replace(str(work), "/usr/src")
        (output / name).write_text(re.sub(r"/[^\s'\"]*/pythonos/built/[^/\s'\"]+", "/usr/src/sysroot", text))
