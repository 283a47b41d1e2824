"""The kernel's Rust computes with no float, passes none to C, and leaves the registers for them alone.

They belong to whatever an interrupt interrupts. And a float that crossed the border between C and
Rust would be wrong without a warning: the two put it into different registers.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from harness import images, toolchain
from harness.paths import REPOSITORY
from harness.settings import Settings

CRATES = ("kernel", "smp", "pthread-shim", "mmap-shim")
FLOATS = {
    #: Registers of SSE, AVX, MMX and x87 as operands, and every x87 instruction, whatever its operands.
    "x86_64": re.compile(r"\t(?:\S+\s.*%(?:[xyz]mm\d+|mm[0-7]|st\b|k[0-7]\b)|f\w+\b)"),
    #: The vector registers and their parts as operands: symbols come after `<`.
    "arm64": re.compile(r"\t\S+\s[^<]*\b(?:[bhsdq]\d+|v\d+\.\d*[bhsd])\b"),
}
#: What saves, loads, resets and reads the state as a whole, for switches of threads and for reports of faults.
STATE = {
    "x86_64": re.compile(r"\t(?:fxsave64|fxrstor64|fninit|fldcw|fnstcw|fnstsw)\b"),
    "arm64": re.compile(r"\t(?:stp|ldp)\s+(?:q\d+, q|d\d+, d)\d+, \["),
}
#: C for the search to try itself on: the functions that it must find, and those that it must not.
EXAMPLES = {
    "x86_64": (
        "double sse(double a) { return a + 1; }\n"
        "long double x87(long double a) { return a + 1; }\n"
        'void mmx(void) { __asm__("paddb %mm0, %mm1"); }\n',
        'void state(void) { __asm__("fninit; fxsave64 (%rsp); xsave64 (%rsp)"); }\n',
    ),
    "arm64": (
        "double scalar(double a) { return a + 1; }\n"
        "float single(float *a) { return *a; }\n"
        'void vector(void) { __asm__("add v0.16b, v1.16b, v31.16b"); }\n'
        'void store(void) { __asm__("str q7, [sp]"); }\n',
        'void state(void) { __asm__("stp q0, q31, [sp]; ldp d8, d9, [sp]; mrs x0, fpcr"); }\n'
        "extern void s0(void); void call(void) { s0(); }\n",
    ),
}
#: Helpers of the compiler for floats in general registers: `__adddf3`, `__floatunsisf`, `__fixdfdi` …
HELPERS = re.compile(r"__(?:\w*[sdtx]f[23]?|\w*[sdtx]c3|fix(?:uns)?[sdtx]f[sdt]i|powi[sdtx]f2)")


def sections_with_floats(disassembly: str, arch: str) -> set[str]:
    """Returns the sections of an object's disassembly in which an instruction uses floats."""
    found: set[str] = set()
    section = ""
    for line in disassembly.splitlines():
        if match := re.match(r"Disassembly of section (\S+):", line):
            section = match[1]
        elif section and FLOATS[arch].search(line) and not STATE[arch].search(line):
            found.add(section)
    return found


@pytest.mark.parametrize("arch", EXAMPLES)
def test_the_search_finds_what_it_is_for(tmp_path: Path, arch: str) -> None:
    source = tmp_path / "floats.c"
    with_floats, without = EXAMPLES[arch]
    source.write_text(f"{with_floats}{without}long whole(long a) {{ return a + 1; }}\n")
    command = [toolchain.CLANG, f"--target={toolchain.TARGETS[arch].triple}", "-O1", "-ffunction-sections", "-c", source]
    subprocess.run([*command, "-o", tmp_path / "floats.o"], check=True)
    expected = {f".text.{name}" for name in re.findall(r"^\S+(?: double)? (\w+)\(", with_floats, re.MULTILINE)}
    assert len(expected) >= 3
    assert sections_with_floats(disassemble(tmp_path / "floats.o"), arch) == expected


def test_the_search_knows_the_names_of_helpers() -> None:
    names = ("__adddf3", "__extendsfdf2", "__fixunsdfdi", "__floatsidf", "__divdc3", "__powidf2")
    assert all(map(HELPERS.fullmatch, names))
    assert not any(map(HELPERS.fullmatch, ("__smp_now_ns", "__copy_tls", "__udivti3", "__multi3")))


def disassemble(path: Path) -> str:
    """Returns an object's code in words."""
    command = ["llvm-objdump-19", "-d", "--no-show-raw-insn", path]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("tests", [False, True], ids=["image", "test image"])
def test_no_code_of_the_kernel_uses_floats(chosen: Settings, tests: bool) -> None:
    found = images.build_images(chosen, tests=tests)
    # The compiler's whole library is in the object; what the linker took from it is in its map.
    linked = set(re.findall(r"kernel\.o:\((\.text[^)]*)\)", Path(f"{found.kernel(tests)}.map").read_text()))
    assert len(linked) > 1000
    assert sections_with_floats(disassemble(found.folder / "link" / "kernel.o"), chosen.arch) & linked == set()
    assert {name for name in linked if HELPERS.fullmatch(name.removeprefix(".text."))} == set()


def test_no_declaration_in_the_kernel_has_a_float() -> None:
    floats = re.compile(r"\b(?:f16|f32|f64|f128|c_float|c_double)\b")
    lines = [
        f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()}"
        for crate in CRATES
        for path in sorted((REPOSITORY / crate / "src").rglob("*.rs"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if floats.search(line.split("//")[0])
    ]
    assert lines == []
