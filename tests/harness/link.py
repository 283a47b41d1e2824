"""Links the image: the kernel's Rust, CPython, musl and the C libraries in one static ELF.

1. The kernel's archive becomes one object, in which all but the names of cpython/exports.txt are
   local: Rust's memcpy stays with Rust, C gets musl's.
2. A first link fixes every address. `.ksyms` comes last in the image, so a second link with the
   table of the first one's symbols moves nothing; it is checked that it did not.
"""

from __future__ import annotations

import re
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness import toolchain
from harness.paths import REPOSITORY
from harness.progress import StepFailed, run
from harness.toolchain import Target

EXPORTS = REPOSITORY / "cpython" / "exports.txt"
EMBEDDING = REPOSITORY / "cpython" / "embedding"
#: Calls of C functions between CPython's objects that go to `__wrap_NAME` of cpython/embedding.
WRAPPED = ("PyErr_CheckSignals", "Py_MakePendingCalls")
IMPORTS = REPOSITORY / "cpython" / "imports.txt"


@dataclass(frozen=True, slots=True)
class Parts:
    """What goes into one image."""

    kernel: Path
    python: Path
    modules: Path
    libc: Path
    static: tuple[Path, ...]
    libgcc: Path
    script: Path
    headers: Path
    sysroot: Path

    def files(self) -> list[Path]:
        """Returns everything whose change means another link."""
        return [
            self.kernel, self.python, self.modules, self.libc, *self.static, self.libgcc, self.script, EXPORTS,
            *embedding_sources(), Path(__file__),
        ]  # fmt: skip


def embedding_sources() -> list[Path]:
    """Returns the C files that join CPython and the kernel."""
    return sorted(EMBEDDING.glob("*.c"))


def compile_embedding(parts: Parts, target: Target, work: Path, log: str) -> list[Path]:
    """Compiles them with the headers that CPython was built with; returns the objects."""
    compiler = toolchain.write_wrapper(work / "bin", target, parts.sysroot)
    objects = []
    for source in embedding_sources():
        output = work / f"{source.stem}.o"
        run(
            [
                compiler, *toolchain.c_flags(target), "-Wall", "-Wextra", "-Werror", f"-isystem{parts.headers}",
                f"-isystem{parts.headers / 'internal'}", "-c", source, "-o", output,
            ],
            log,
        )  # fmt: skip
        objects.append(output)
    return objects


def names(path: Path) -> list[str]:
    """Returns the names in one of the lists below cpython/, one a line, `#` starts a comment."""
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]


def _entry(script: Path) -> str:
    match = re.search(r"ENTRY\((\w+)\)", script.read_text())
    if not match:
        raise StepFailed(f"{script} names no ENTRY")
    return match[1]


def isolate_kernel(parts: Parts, work: Path, log: str) -> Path:
    """Returns the kernel as one object that shows C nothing but its exports."""
    whole, isolated, keep = work / "kernel-whole.o", work / "kernel.o", work / "exports"
    keep.write_text("\n".join([*names(EXPORTS), _entry(parts.script)]) + "\n")
    run([toolchain.LINKER, "-r", "--whole-archive", parts.kernel, "-o", whole], log)
    run([toolchain.OBJCOPY, f"--keep-global-symbols={keep}", "--strip-debug", whole, isolated], log)
    whole.unlink()
    return isolated


def linker(script: Path) -> list[str | Path]:
    """Returns the linker's command for an image, but for what goes into it."""
    return [
        toolchain.LINKER, "-static", "--gc-sections", "--strip-debug", "--build-id=none", "-z", "noexecstack",
        "-z", "max-page-size=4096", "--no-rosegment", *(f"--wrap={name}" for name in WRAPPED), "-T", script,
    ]  # fmt: skip


def link(parts: Parts, target: Target, work: Path, output: Path, log: str) -> None:
    """Writes the image to `output`, its flat form beside it where boot loaders want that, and the map of the link.

    The map is `<output>.map`.
    """
    work.mkdir(parents=True, exist_ok=True)
    kernel = isolate_kernel(parts, work, log)
    embedding = compile_embedding(parts, target, work, log)
    inputs: list[str | Path] = [kernel, *embedding, parts.modules, parts.python, parts.libc, *parts.static, parts.libgcc]
    # CPython and musl need no group: a linker of this kind remembers what archives hold.
    command = linker(parts.script)
    first, table, second = work / "first.elf", work / "ksyms.o", work / "second.elf"
    run([*command, *inputs, "-o", first], log)
    before = symbols(first)
    blob = work / "ksyms.bin"
    blob.write_bytes(symbol_table(before))
    run(
        [
            toolchain.OBJCOPY, "-I", "binary", "-O", f"elf64-{target.name.replace('_', '-')}",
            "--rename-section", ".data=.ksyms,alloc,load,readonly,data,contents", blob, table,
        ],
        log,
    )  # fmt: skip
    run([*command, f"-Map={output}.map", *inputs, table, "-o", second], log)
    moved = sorted(_code(before) - _code(symbols(second)))
    if moved:
        raise StepFailed(
            f"the second link moved {len(moved)} functions, as {moved[0]}: is .ksyms last in {parts.script}?"
        )
    first.unlink()
    second.replace(output)
    flatten(output, target, log)


def flatten(image: Path, target: Target, log: str) -> None:
    """Writes the flat form of an image beside it where boot loaders want that."""
    if target.is_flat:
        run([toolchain.OBJCOPY, "-O", "binary", image, flat_image(image)], log)


def flat_image(image: Path) -> Path:
    """Returns where the flat form of an image lies, on the architectures that have one."""
    return image.with_suffix(".img")


@dataclass(frozen=True, slots=True)
class Symbol:
    """One name in the image."""

    address: int
    kind: str
    name: str


def symbols(image: Path) -> list[Symbol]:
    """Returns the symbols of an image by address."""
    listing = subprocess.run([toolchain.NM, "-n", image], capture_output=True, text=True, check=True).stdout
    result = []
    for line in listing.splitlines():
        fields = line.split()
        if len(fields) == 3:
            result.append(Symbol(int(fields[0], 16), fields[1], fields[2]))
    return result


def _code(found: list[Symbol]) -> set[tuple[int, str]]:
    return {(symbol.address, symbol.name) for symbol in found if symbol.kind in "tTwW"}


def demangle(mangled: list[str]) -> list[str]:
    """Returns names as Rust's source has them, of its v0 scheme (.cargo/config.toml); C's stay as they are."""
    text = subprocess.run(
        ["llvm-cxxfilt-19"], input="\n".join(mangled), capture_output=True, text=True, check=True
    ).stdout.rstrip("\n")
    return [re.sub(r" \(\.llvm\.\d+\)$", "", line) for line in text.split("\n")]


def symbol_table(found: list[Symbol]) -> bytes:
    """Returns the contents of `.ksyms`: u32 count, count times (u32 address, u32 offset of the name), the names.

    All numbers are little endian, addresses ascend, names end with NUL.
    """
    code = [symbol for symbol in found if symbol.kind in "tTwW" and not symbol.name.startswith((".L", "$"))]
    by_address: dict[int, str] = {}
    for symbol, name in zip(code, demangle([symbol.name for symbol in code]), strict=True):
        # Of several names for one place the global one tells more.
        if symbol.address not in by_address or symbol.kind in "TW":
            by_address[symbol.address] = name
    entries, strings = [], bytearray()
    start = 4 + 8 * len(by_address)
    for address, name in sorted(by_address.items()):
        entries.append(struct.pack("<II", address, start + len(strings)))
        strings += name.encode() + b"\0"
    return struct.pack("<I", len(entries)) + b"".join(entries) + bytes(strings)


def c_imports(parts: Parts, work: Path) -> list[str]:
    """Returns what the C half of the image takes from outside: cpython/imports.txt is to say the same."""
    work.mkdir(parents=True, exist_ok=True)
    combined = work / "c-half.o"
    run(
        [
            toolchain.LINKER, "-r", "-u", "Py_BytesMain", "-u", "__libc_start_main", "-o", combined,
            parts.modules, parts.python, parts.libc, *parts.static, parts.libgcc,
        ],
        "imports",
    )  # fmt: skip
    listing = subprocess.run([toolchain.NM, "-u", combined], capture_output=True, text=True, check=True).stdout
    combined.unlink()
    return sorted(line.split()[-1] for line in listing.splitlines() if line.strip())
