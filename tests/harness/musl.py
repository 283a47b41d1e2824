"""Builds musl with its system calls turned into calls of `kernel_syscall`.

Two archives come of one compilation:
- `sysroot/`: headers, Linux's own among them, and the complete libc with a `kernel_syscall` that asks
  Linux. configure's link tests run against it, and so does the reference interpreter.
- `image/libc.a`: what the kernel image links: without the objects of cpython/musl/excluded.txt,
  with those of cpython/musl/replacements/.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

from harness import fetch, toolchain, uapi
from harness.paths import REPOSITORY
from harness.progress import Progress, StepFailed, jobs, run
from harness.store import Inputs, build
from harness.toolchain import Target

RECIPE = REPOSITORY / "cpython" / "musl"
EXCLUDED = RECIPE / "excluded.txt"
# The provider that excluded.txt names for a source that stays although its folder goes.
KEPT = "musl"
# The pure-C helpers of src/thread that may be in the image.
HELPERS = RECIPE / "thread-helpers.txt"


def excluded() -> dict[str, tuple[str, str]]:
    """Returns the sources left out of the image: path without extension -> (provider, reason)."""
    result = {}
    for number, line in enumerate(EXCLUDED.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split(maxsplit=2)
        if len(words) != 3:
            raise StepFailed(f"{EXCLUDED}:{number}: want `source provider reason`, found {line!r}")
        result[words[0]] = (words[1], words[2])
    return result


def is_excluded(source: str) -> bool:
    """Tells whether `source` (as `src/thread/x86_64/clone` or `src/thread/clone`) is left out.

    A line for the source itself counts before one for its folder.
    """
    parts = source.split("/")
    neutral = "/".join([*parts[:-2], parts[-1]]) if len(parts) == 4 else source
    names = excluded()
    for name in (source, neutral):
        if name in names:
            return names[name][0] != KEPT
    return any(name.endswith("/") and source.startswith(name) for name in names)


def _compile(target: Target, work: Path, log: str, progress: Progress) -> Path:
    """Compiles all of musl in `work`; returns the folder that holds `obj/` and `lib/`."""
    source = fetch.sources()["musl"]
    archive = fetch.fetch(source, progress)
    folder = work / source.folder
    if not folder.is_dir():
        fetch.unpack(archive, work / "unpacked")
        (work / "unpacked" / source.folder).rename(folder)
    objects = work / "build"
    objects.mkdir(exist_ok=True)
    if not (objects / "config.mak").is_file():
        # A -I inside CC comes before the -I of arch/, one in CFLAGS would come after.
        run(
            [
                "sh", f"../{source.folder}/configure", f"--target={target.triple}", "--prefix=/", "--disable-shared",
                "--disable-wrapper",
                f"CC={toolchain.CLANG} --target={target.triple} -I{RECIPE / 'overlay'}",
                f"CFLAGS={' '.join(toolchain.c_flags(target))} -ffile-prefix-map={work}=.",
                f"AR={toolchain.AR}", f"RANLIB={toolchain.RANLIB}", "CROSS_COMPILE=",
            ],
            log, cwd=objects,
        )  # fmt: skip
    run(["make", f"-j{jobs()}"], log, cwd=objects)
    return objects


def _objects(folder: Path) -> dict[str, Path]:
    """Returns the objects of libc by source name, as `src/thread/x86_64/clone`."""
    found: dict[str, Path] = {}
    for path in sorted((folder / "obj").rglob("*.o")):
        relative = path.relative_to(folder / "obj").with_suffix("")
        if relative.parts[0] in ("src", "compat"):
            found[str(relative)] = path
    return found


def _members(archive: Path) -> list[str]:
    listing = subprocess.run([toolchain.AR, "t", archive], capture_output=True, text=True, check=True)
    return sorted(listing.stdout.split())


def _compile_c(target: Target, sources: list[Path], sysroot: Path, output: Path, log: str) -> list[Path]:
    results = []
    for source in sources:
        result = output / f"{source.stem}.o"
        run(
            [
                toolchain.CLANG, f"--target={target.triple}", "-nostdlibinc", f"-isystem{sysroot}/include-pythonos",
                f"-isystem{sysroot}/include", "-std=c11", "-Wall", "-Wextra", "-Werror", "-ffreestanding",
                *toolchain.c_flags(target), "-c", source.relative_to(REPOSITORY), "-o", result,
            ],
            log, cwd=REPOSITORY,
        )  # fmt: skip
        results.append(result)
    return results


def sysroot_key(target: Target) -> str:
    """Returns a hash of what decides the sysroot: other builds depend on it, not on what the image leaves out."""
    return _sysroot_inputs(target, [RECIPE / "include", RECIPE / "linux", RECIPE / "overlay"]).digest()


def _sysroot_inputs(target: Target, files: list[Path]) -> Inputs:
    return Inputs(
        texts={
            "source": fetch.sources()["musl"].archives[0].sha256,
            "compiler": toolchain.version(toolchain.CLANG),
            "flags": " ".join(toolchain.c_flags(target)),
            "target": target.triple,
            "uapi": uapi.digest(target),
        },
        files=files,
    )


def build_musl(target: Target, progress: Progress) -> Path:
    """Returns the folder with `sysroot/` and `image/libc.a` for `target`."""
    source = fetch.sources()["musl"]
    inputs = _sysroot_inputs(target, [RECIPE, Path(__file__), Path(toolchain.__file__), Path(uapi.__file__)])

    def recipe(work: Path, output: Path) -> None:
        log = f"musl-{target.name}"
        folder = _compile(target, work, log, progress)
        sysroot = output / "sysroot"
        run(["make", "install", f"DESTDIR={sysroot}"], log, cwd=folder)
        shutil.copytree(RECIPE / "include", sysroot / "include-pythonos")
        uapi.install(target, sysroot / "include")
        (sysroot / "usr").symlink_to(".")
        for name in ("crtbegin.o", "crtbeginT.o", "crtend.o", "libgcc.a", "libgcc_eh.a"):
            shutil.copy(toolchain.libgcc_folder(target) / name, sysroot / "lib" / name)
        extra = work / "extra"
        extra.mkdir(exist_ok=True)
        linux = _compile_c(target, sorted((RECIPE / "linux").glob("*.c")), sysroot, extra, log)
        run([toolchain.AR, "rcsD", sysroot / "lib" / "libc.a", *linux], log)

        # `obj/` holds what make compiled: the architecture's own files in place of the
        # general ones. Names of members are not unique (clone.o, free.o), paths are.
        objects = _objects(folder)
        members = _members(folder / "lib" / "libc.a")
        if sorted(path.name for path in objects.values()) != members:
            raise StepFailed("the objects below obj/ are not the members of musl's libc.a")
        kept = [path for name, path in objects.items() if not is_excluded(name)]
        sources: dict[str, list[str]] = {}
        for name, path in objects.items():
            if not is_excluded(name):
                sources.setdefault(path.name, []).append(name)
        replacements = sorted((RECIPE / "replacements").glob("*.c"))
        replacements += sorted((RECIPE / "replacements" / target.name).glob("*.c"))
        image = output / "image"
        image.mkdir()
        compiled = _compile_c(target, replacements, sysroot, extra, log)
        run([toolchain.AR, "rcsD", image / "libc.a", *sorted(kept), *compiled], log)
        for path in compiled:
            sources.setdefault(path.name, []).append(f"replacements/{path.stem}")
        # Which sources a member of the archive may be: a link map has members only.
        (image / "members.json").write_text(json.dumps(sources, indent=1, sort_keys=True))

    return build(f"musl-{target.name}", inputs, progress, f"compile musl {source.version}", recipe)


def thread_objects_in(link_map: Path, built: Path) -> list[str]:
    """Returns the sources of musl's src/thread that an image holds and that are not on the list of helpers.

    `link_map` is what the linker wrote of the image, `built` the folder of `build_musl`.
    """
    sources: dict[str, list[str]] = json.loads((built / "image" / "members.json").read_text())
    helpers = {line.split("#")[0].strip() for line in HELPERS.read_text().splitlines()}
    found: set[str] = set()
    for member in re.findall(r"libc\.a\(([^)]+)\)", link_map.read_text()):
        found.update(name for name in sources[member] if name.startswith("src/thread/") and name not in helpers)
    return sorted(found)
