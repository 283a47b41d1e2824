"""Checks what the building machine lacks, and installs it where that needs no question."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from harness import toolchain, uapi
from harness.paths import REPOSITORY, cache
from harness.progress import Progress, run
from harness.toolchain import host_architecture

TOOLCHAIN = REPOSITORY / "rust-toolchain.toml"


class SetupMissing(Exception):
    """Something is missing that only the user can install; the message has the command to type."""


@dataclass(frozen=True, slots=True)
class Need:
    """One thing the machine must have, and the Debian 12 and Ubuntu 24.04 packages that bring it."""

    what: str
    packages: tuple[str, ...]
    present: Callable[[], bool]


def _tool(name: str) -> Callable[[], bool]:
    return lambda: shutil.which(name) is not None


def _any_path(*paths: str) -> Callable[[], bool]:
    return lambda: any(Path(path).exists() for path in paths)


def _c_library() -> bool:
    if shutil.which("gcc") is None:
        return False
    answer = subprocess.run(["gcc", "-print-file-name=crt1.o"], capture_output=True, text=True, check=False).stdout
    return Path(answer.strip()).is_absolute()


def _linux_headers(arch: str) -> Callable[[], bool]:
    return lambda: uapi.present(toolchain.TARGETS[arch])


def _python_module(name: str) -> Callable[[], bool]:
    return lambda: python_with(name) is not None


BUILD = (
    Need("a C compiler for this machine", ("gcc", "libc6-dev"), _c_library),
    Need("Linux's headers", ("linux-libc-dev",), _linux_headers(host_architecture())),
    Need("make", ("make",), _tool("make")),
    Need("clang 19", ("clang-19",), _tool("clang-19")),
    # bindgen reads CPython's headers with it.
    Need("libclang 19", ("libclang-19-dev",), _any_path("/usr/lib/llvm-19/lib/libclang.so")),
    Need("lld 19", ("lld-19",), _tool("ld.lld-19")),
    Need(
        "LLVM 19's tools", ("llvm-19",), lambda: all(map(shutil.which, ("llvm-ar-19", "llvm-objcopy-19", "llvm-nm-19")))
    ),
)
#: What building for an architecture takes on hosts of another one.
CROSS = {
    "x86_64": (
        Need("gcc's helpers for x86_64", ("gcc-x86-64-linux-gnu",), _tool("x86_64-linux-gnu-gcc")),
        Need("Linux's headers for x86_64", ("linux-libc-dev-amd64-cross",), _linux_headers("x86_64")),
    ),
    "arm64": (
        Need("gcc's helpers for arm64", ("gcc-aarch64-linux-gnu",), _tool("aarch64-linux-gnu-gcc")),
        Need("Linux's headers for arm64", ("linux-libc-dev-arm64-cross",), _linux_headers("arm64")),
    ),
}
QEMU = {
    "x86_64": Need("QEMU", ("qemu-system-x86",), _tool("qemu-system-x86_64")),
    "arm64": Need("QEMU for arm64", ("qemu-system-arm",), _tool("qemu-system-aarch64")),
}
#: Discs are for x86_64, and Debian has GRUB for the PC on PCs alone.
ISO = (
    Need("GRUB's tools", ("grub-common",), _tool("grub-mkrescue")),
    Need("GRUB for BIOS", ("grub-pc-bin",), _any_path("/usr/lib/grub/i386-pc/modinfo.sh")),
    Need("GRUB for UEFI", ("grub-efi-amd64-bin",), _any_path("/usr/lib/grub/x86_64-efi/modinfo.sh")),
    Need("xorriso", ("xorriso",), _tool("xorriso")),
    Need("mtools", ("mtools",), _tool("mformat")),
)
TEST = (Need("pytest", ("python3-pytest",), _python_module("pytest")),)
ISO_TEST = (
    *ISO,
    Need("UEFI firmware", ("ovmf",), _any_path("/usr/share/ovmf/OVMF.fd", "/usr/share/OVMF/OVMF.fd")),
)
PLOT = (Need("matplotlib", ("python3-matplotlib",), _python_module("matplotlib")),)
CHECK = (Need("mypy", ("mypy",), _python_module("mypy")),)
# ruff is no package of Debian 12: it gets a virtual environment of its own.
RUFF = (Need("Python's venv", ("python3-venv",), _python_module("ensurepip")),)
RUFF_VERSION = "0.17.6"
GROUPS = {
    "build": BUILD,
    "run": BUILD,
    "iso": BUILD + ISO,
    "test": BUILD + TEST,
    "bench": BUILD + PLOT,
    "check": CHECK,
    "ruff": RUFF,
}


def python_with(module: str) -> str | None:
    """Returns a Python, 3.11 or later, that has `module`: this one, or the system's."""
    for candidate in (sys.executable, "/usr/bin/python3"):
        if not Path(candidate).is_file():
            continue
        probe = f"import sys, {module}; sys.exit(sys.version_info < (3, 11))"
        if subprocess.run([candidate, "-c", probe], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


def ruff(progress: Progress) -> Path:
    """Returns ruff of the version that the sources are checked with; installs it in the cache first if need be."""
    folder = cache() / f"ruff-{RUFF_VERSION}"
    program = folder / "bin" / "ruff"
    if not program.is_file():
        python = python_with("ensurepip")
        if python is None:
            raise SetupMissing("missing: Python's venv")
        with progress.working(f"install ruff {RUFF_VERSION}"):
            run([python, "-m", "venv", folder], "setup")
            run([folder / "bin" / "pip", "install", "--quiet", f"ruff=={RUFF_VERSION}"], "setup")
    return program


def needs(group: str, arches: Iterable[str], host: str) -> list[Need]:
    """Returns what `group` takes for machines of `arches` on a host of architecture `host`."""
    found = list(GROUPS[group])
    for arch in arches:
        if group in ("run", "test", "bench"):
            found.append(QEMU[arch])
        if arch != host:
            found += CROSS[arch]
        if (group, arch, host) == ("test", "x86_64", "x86_64"):
            found += ISO_TEST
    return found


def ensure(group: str, progress: Progress, *arches: str) -> None:
    """Makes sure that everything for `group` is there; raises `SetupMissing` if the user has to act.

    `arches` are the architectures of the machines that are to be built and run.
    """
    _check_cache(cache())
    missing = [need for need in needs(group, arches, host_architecture()) if not need.present()]
    if missing:
        _install(missing, progress)
    _ensure_rust(progress)


def _check_cache(folder: Path) -> None:
    elsewhere = "XDG_CACHE_HOME=/another/folder in the environment puts it elsewhere."
    if re.search(r"\s", str(folder)):
        # It is in the commands of compilers, which configure scripts split at blanks.
        raise SetupMissing(f"the cache, {folder}, has a blank in its path; {elsewhere}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise SetupMissing(f"the cache, {folder}, cannot be written: {error.strerror}; {elsewhere}") from None


def _as_root() -> list[str] | None:
    """Returns the words that make a command run as root without a question, if there are any."""
    if os.geteuid() == 0:
        return []
    if (
        shutil.which("sudo")
        and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
    ):
        return ["sudo", "-n"]
    return None


def _install(missing: Iterable[Need], progress: Progress) -> None:
    packages = [package for need in missing for package in need.packages]
    root = _as_root()
    if shutil.which("apt-get") is None or root is None:
        wants = ", ".join(need.what for need in missing)
        raise SetupMissing(
            f"missing: {wants}. On Debian 12 or Ubuntu 24.04 type\n"
            f"    sudo apt-get update && sudo apt-get install -y --no-install-recommends {' '.join(packages)}\n"
            "and try again."
        )
    apt = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=120"]
    with progress.working(f"install {' '.join(packages)}"):
        run([*apt, "update"], "setup")
        run([*apt, "install", "-y", "--no-install-recommends", *packages], "setup")
    still = [need.what for need in missing if not need.present()]
    if still:
        raise SetupMissing(f"installed {' '.join(packages)}, and still missing: {', '.join(still)}")


def _ensure_rust(progress: Progress) -> None:
    pinned = tomllib.loads(TOOLCHAIN.read_text())["toolchain"]
    if shutil.which("cargo") is None:
        raise SetupMissing(
            "missing: Rust. Type\n"
            "    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal\n"
            "open a new shell and try again."
        )
    if _rust_is_complete(pinned["targets"]):
        return
    if shutil.which("rustup") is None:
        raise SetupMissing(
            f"this Rust lacks the targets {' '.join(pinned['targets'])} of {pinned['channel']}; "
            "install Rust by rustup (https://rustup.rs), which can add them."
        )
    with progress.working(f"install Rust {pinned['channel']} and its targets"):
        components = [word for name in pinned["components"] for word in ("--component", name)]
        installed = subprocess.run(["rustup", "toolchain", "list"], capture_output=True, text=True, check=True).stdout
        if not any(line.startswith(f"{pinned['channel']}-") for line in installed.splitlines()):
            run(["rustup", "toolchain", "install", pinned["channel"], "--profile", "minimal", *components], "setup")
        run(["rustup", "target", "add", "--toolchain", pinned["channel"], *pinned["targets"]], "setup")


def _rust_is_complete(targets: Iterable[str]) -> bool:
    """Tells whether the compiler that cargo takes here is there, with the bare-metal targets."""
    answer = subprocess.run(
        ["rustc", "--print", "sysroot"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    library = Path(answer.stdout.strip()) / "lib" / "rustlib"
    return answer.returncode == 0 and all((library / target).is_dir() for target in targets)
