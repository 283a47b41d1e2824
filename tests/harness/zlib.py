"""Builds zlib for the image."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness import fetch, toolchain
from harness.progress import Progress, run
from harness.store import Inputs, build
from harness.toolchain import Target

# All of the library: wheels look its functions up by name later.
SOURCES = (
    "adler32", "compress", "crc32", "deflate", "gzclose", "gzlib", "gzread", "gzwrite",
    "infback", "inffast", "inflate", "inftrees", "trees", "uncompr", "zutil",
)  # fmt: skip


def build_zlib(target: Target, sysroot: Path, sysroot_key: str, progress: Progress) -> Path:
    """Returns the folder with `include/` and `lib/libz.a` for `target`."""
    source = fetch.sources()["zlib"]
    inputs = Inputs(
        texts={
            "source": source.version,
            "compiler": toolchain.version(toolchain.CLANG),
            "flags": " ".join(toolchain.c_flags(target)),
            "sysroot": sysroot_key,
        },
        files=[Path(__file__)],
    )

    def recipe(work: Path, output: Path) -> None:
        fetch.unpack(fetch.fetch(source, progress), work)
        folder = work / source.folder
        wrapper = toolchain.write_wrapper(work / "bin", target, sysroot)
        log = f"zlib-{target.name}"
        flags = [*toolchain.c_flags(target), "-O3", "-DHAVE_HIDDEN", "-DHAVE_UNISTD_H", "-DHAVE_STDARG_H"]
        for name in SOURCES:
            run([wrapper, *flags, "-c", f"{name}.c", "-o", f"{name}.o"], log, cwd=folder)
        for kind in ("include", "lib"):
            (output / kind).mkdir()
        for header in ("zlib.h", "zconf.h"):
            shutil.copy(folder / header, output / "include")
        run([toolchain.AR, "rcsD", output / "lib" / "libz.a", *(f"{name}.o" for name in SOURCES)], log, cwd=folder)

    return build(f"zlib-{target.name}", inputs, progress, f"compile zlib {source.version}", recipe)
