"""Builds the C libraries that CPython's modules need: zlib, libzstd and libuuid."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from harness import fetch, toolchain
from harness.progress import Progress, StepFailed, run
from harness.store import Inputs, build
from harness.toolchain import Target


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is compiled of one pinned source, and how."""

    #: Its name in cpython/sources.toml.
    source: str
    #: The archive's name, as the linker's -l has it.
    name: str
    #: Files below the source's folder, as patterns.
    sources: tuple[str, ...]
    flags: tuple[str, ...]
    #: Files below the source's folder, and the folder below include/ that they belong in.
    headers: tuple[str, ...]
    headers_at: str = ""


RECIPES = (
    # All of the library: wheels look its functions up by name later.
    Recipe(
        source="zlib",
        name="z",
        sources=(
            "adler32.c", "compress.c", "crc32.c", "deflate.c", "gzclose.c", "gzlib.c", "gzread.c", "gzwrite.c",
            "infback.c", "inffast.c", "inflate.c", "inftrees.c", "trees.c", "uncompr.c", "zutil.c",
        ),
        flags=("-DHAVE_HIDDEN", "-DHAVE_UNISTD_H", "-DHAVE_STDARG_H"),
        headers=("zlib.h", "zconf.h"),
    ),
    # Without the formats from before version 0.8, as upstream's default is, and without the
    # assembly, which has no counterpart on other architectures.
    Recipe(
        source="zstd",
        name="zstd",
        sources=("lib/common/*.c", "lib/compress/*.c", "lib/decompress/*.c", "lib/dictBuilder/*.c"),
        flags=("-DZSTD_MULTITHREAD", "-DZSTD_LEGACY_SUPPORT=0", "-DZSTD_DISABLE_ASM", "-DZSTD_TRACE=0"),
        headers=("lib/zstd.h", "lib/zdict.h", "lib/zstd_errors.h"),
    ),
    # The answers are those of its configure for musl, as far as libuuid asks; HAVE_UUIDD is
    # missing, for there is no daemon to ask.
    Recipe(
        source="util-linux",
        name="uuid",
        sources=(
            "libuuid/src/clear.c", "libuuid/src/compare.c", "libuuid/src/copy.c", "libuuid/src/gen_uuid.c",
            "libuuid/src/isnull.c", "libuuid/src/pack.c", "libuuid/src/parse.c", "libuuid/src/predefined.c",
            "libuuid/src/unpack.c", "libuuid/src/unparse.c", "libuuid/src/uuid_time.c",
            "lib/md5.c", "lib/randutils.c", "lib/sha1.c",
        ),
        flags=(
            "-D_GNU_SOURCE", '-D_PATH_LOCALSTATEDIR="/var"', "-Iinclude", "-Ilibuuid/src",
            *(
                f"-DHAVE_{answer}"
                for answer in (
                    "ERR", "ERR_H", "GETRANDOM", "JRAND48", "LIBPTHREAD", "LOFF_T", "NANOSLEEP", "NETINET_IN_H",
                    "NET_IF_H", "PROGRAM_INVOCATION_SHORT_NAME", "REALLOCARRAY", "STDLIB_H", "STRNDUP", "STRNLEN",
                    "STRSEP", "SYS_FILE_H", "SYS_IOCTL_H", "SYS_SOCKET_H", "SYS_SYSCALL_H", "SYS_TIME_H", "SYS_UN_H",
                    "TLS", "UNISTD_H", "USLEEP",
                )
            ),
        ),
        headers=("libuuid/src/uuid.h",),
        headers_at="uuid",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StaticLibrary:
    """A finished library: its key in the cache is the name of its folder."""

    name: str
    folder: Path

    @property
    def include(self) -> Path:
        """The folder of its headers."""
        return self.folder / "include"

    @property
    def archive(self) -> Path:
        """What the image links."""
        return self.folder / "lib" / f"lib{self.name}.a"


def build_all(target: Target, sysroot: Path, sysroot_key: str, progress: Progress) -> tuple[StaticLibrary, ...]:
    """Returns every library of `RECIPES` for `target`."""
    return tuple(_build(recipe, target, sysroot, sysroot_key, progress) for recipe in RECIPES)


def _build(recipe: Recipe, target: Target, sysroot: Path, sysroot_key: str, progress: Progress) -> StaticLibrary:
    source = fetch.sources()[recipe.source]
    inputs = Inputs(
        texts={
            "source": source.version,
            "recipe": repr(recipe),
            "compiler": toolchain.version(toolchain.CLANG),
            "flags": " ".join(toolchain.c_flags(target)),
            "sysroot": sysroot_key,
        },
        files=[Path(__file__)],
    )

    def make(work: Path, output: Path) -> None:
        fetch.unpack(fetch.fetch(source, progress), work)
        folder = work / source.folder
        wrapper = toolchain.write_wrapper(work / "bin", target, sysroot)
        log = f"{recipe.source}-{target.name}"
        flags = [*toolchain.c_flags(target), "-O3", *recipe.flags]
        objects = []
        for pattern in recipe.sources:
            found = sorted(folder.glob(pattern))
            if not found:
                raise StepFailed(f"{source.name} {source.version} has no {pattern}")
            for path in found:
                run([wrapper, *flags, "-c", path.relative_to(folder), "-o", f"{path.stem}.o"], log, cwd=folder)
                objects.append(f"{path.stem}.o")
        library = StaticLibrary(recipe.name, output)
        place = library.include / recipe.headers_at
        place.mkdir(parents=True)
        for header in recipe.headers:
            shutil.copy(folder / header, place)
        library.archive.parent.mkdir()
        run([toolchain.AR, "rcsD", library.archive, *objects], log, cwd=folder)

    name = f"{recipe.source}-{target.name}"
    return StaticLibrary(
        recipe.name, build(name, inputs, progress, f"compile {source.name} {source.version}", make)
    )
