"""The reference: Linux with the same CPython, in the same QEMU, tuned as far as it goes.

The kernel is Debian's cloud kernel in the form that QEMU enters as it does ours: an ELF file
with a PVH note on x86_64, a plain Image on arm64. The interpreter is made of the very objects
of our image, linked with stock musl. The initramfs holds only the modules that the benchmarks
import. On the command line: no mitigations, no probing of the TSC on x86_64, and on arm64 no
move to a random address, which the entry by PVH does not make either. Where the network is measured
there are the drivers of its card, too.
"""

from __future__ import annotations

import bz2
import lzma
import re
import shutil
import stat
import subprocess
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import cpython, fetch, image, images, qemu, toolchain
from harness.paths import BUILD, REPOSITORY, cache
from harness.progress import Progress, StepFailed, jobs, run
from harness.settings import Settings
from harness.store import Inputs, build

HERE = Path(__file__).parent
GUEST = REPOSITORY / "tests" / "guest"
STEPS = 4
#: The drivers of a virtio network card on PCI, in the order in which they need each other.
NETWORK_MODULES = (
    "virtio_ring", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio", "virtio_pci", "failover",
    "net_failover", "virtio_net",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Distribution:
    """What Debian calls an architecture, what its kernel is told, and how it is tuned there."""

    name: str
    console: str
    tuning: tuple[str, ...]

    @property
    def metapackage(self) -> str:
        """The package that depends on the newest kernel."""
        return f"linux-image-cloud-{self.name}"


COMMON_TUNING = ("quiet", "mitigations=off", "transparent_hugepage=never")
DEBIAN = {
    "x86_64": Distribution("amd64", "ttyS0", ("tsc=reliable", *COMMON_TUNING)),
    "arm64": Distribution("arm64", "ttyAMA0", ("nokaslr", *COMMON_TUNING)),
}


@dataclass(frozen=True, slots=True)
class Linux:
    """A Linux machine that runs our CPython."""

    kernel: Path
    initramfs: Path
    network_initramfs: Path
    version: str
    options: tuple[str, ...]
    tuning: tuple[str, ...]

    def command(
        self,
        settings: Settings,
        cpus: int,
        memory: str,
        python_argv: list[str],
        has_network: bool = False,
        is_tuned: bool = True,
    ) -> list[str]:
        """Returns the QEMU command line: ours, with another kernel in it, told how to be fast or not."""
        words = qemu.command(settings, cpus=cpus, memory=memory, tests=False, forwards={} if has_network else None)
        options = [*self.options, *(self.tuning if is_tuned else ())]
        line = " ".join([*options, "rdinit=/init", "--", *(qemu.quote(word) for word in python_argv)])
        initramfs = self.network_initramfs if has_network else self.initramfs
        for option, value in (("-kernel", str(self.kernel)), ("-initrd", str(initramfs)), ("-append", line)):
            words[words.index(option) + 1] = value
        return words


def prepare(settings: Settings) -> Linux:
    """Returns the reference machine, downloaded and built unless it is there."""
    progress = Progress(STEPS)
    progress.next("Linux kernel")
    distribution = DEBIAN[settings.arch]
    kernel = _kernel(distribution, progress)
    progress.next("CPython for Linux")
    libraries = images.build_libraries(settings, Progress(images.STEPS))
    python = _python(settings, libraries, progress)
    progress.next("initramfs")
    initramfs = results(settings) / "linux-initramfs.img"
    initramfs.parent.mkdir(parents=True, exist_ok=True)
    _initramfs(libraries, python, initramfs)
    # The kernel unpacks several archives after one another.
    modules = results(settings) / "linux-modules.img"
    image.write_cpio(image.parents(_module_entries(kernel)), modules)
    network_initramfs = results(settings) / "linux-network-initramfs.img"
    network_initramfs.write_bytes(initramfs.read_bytes() + modules.read_bytes())
    options = (f"console={distribution.console}", "panic=-1")
    version = (kernel / "version").read_text()
    return Linux(kernel / "kernel", initramfs, network_initramfs, version, options, distribution.tuning)


def results(settings: Settings) -> Path:
    """Returns the folder of what the benchmarks of a configuration leave."""
    return BUILD / "bench" / settings.config


def _kernel(distribution: Distribution, progress: Progress) -> Path:
    """Returns the folder with `kernel`, `modules` and `version`, by apt: the mirror keeps only the newest."""
    place = cache() / f"linux-reference-network-{distribution.name}"
    if (place / "version").is_file():
        return place
    partial = place.with_name(f"{place.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    apt = _apt(distribution, partial / "apt")
    log = "linux-reference"
    with progress.working(f"download Debian's cloud kernel for {distribution.name}"):
        run(["apt-get", *apt, "update"], log)
        listing = subprocess.run(
            ["apt-cache", *apt, "depends", distribution.metapackage], capture_output=True, text=True, check=False
        ).stdout
        packages = re.findall(r"Depends: (linux-image-\S+)", listing)
        if not packages:
            raise StepFailed(f"apt knows no {distribution.metapackage}: the Linux reference needs Debian's packages")
        run(["apt-get", *apt, "download", packages[0]], log, cwd=partial)
        (archive,) = partial.glob("*.deb")
        run(["dpkg-deb", "-x", archive, partial / "root"], log)
        (packed,) = (partial / "root" / "boot").glob("vmlinuz-*")
        (partial / "kernel").write_bytes(unpack_kernel(packed.read_bytes()))
        (partial / "modules").mkdir()
        for name in NETWORK_MODULES:
            (module,) = (partial / "root").rglob(f"{name}.ko")
            shutil.copy(module, partial / "modules")
        (partial / "version").write_text(packed.name.removeprefix("vmlinuz-"))
        for folder in ("root", "apt"):
            shutil.rmtree(partial / folder)
        archive.unlink()
    shutil.rmtree(place, ignore_errors=True)
    partial.rename(place)
    return place


def _apt(distribution: Distribution, state: Path) -> list[str]:
    """Returns the options by which apt asks this machine's own mirrors about any architecture, as any user.

    Its lists go below `state`: those of the machine know its own architecture alone.
    """
    for folder in ("lists/partial", "archives/partial"):
        (state / folder).mkdir(parents=True)
    (state / "status").touch()
    options = {
        "APT::Architecture": distribution.name,
        "APT::Architectures": distribution.name,
        "APT::Sandbox::User": "root",
        "Dir::State::Lists": state / "lists",
        "Dir::State::Status": state / "status",
        "Dir::Cache": state,
    }
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]


def unpack_kernel(compressed: bytes) -> bytes:
    """Returns an arm64 Image as it is, of a bzImage the ELF file inside: whatever decompresses to one is it."""
    if compressed[56:60] == b"ARM\x64":
        return compressed
    formats: tuple[tuple[bytes, Callable[[bytes], bytes]], ...] = (
        (b"\xfd7zXZ\0", lambda data: lzma.LZMADecompressor().decompress(data)),
        (b"\x1f\x8b\x08", lambda data: zlib.decompressobj(wbits=31).decompress(data)),
        (b"BZh", lambda data: bz2.BZ2Decompressor().decompress(data)),
        (b"\x5d\0\0", lambda data: lzma.LZMADecompressor(lzma.FORMAT_ALONE).decompress(data)),
        (b"\x28\xb5\x2f\xfd", _zstd),
        (b"\x02\x21\x4c\x18", _lz4),
    )
    for magic, decompress in formats:
        position = compressed.find(magic)
        while position >= 0:
            try:
                found = decompress(compressed[position:])
            except (lzma.LZMAError, zlib.error, OSError, EOFError, IndexError, StepFailed):
                found = b""
            if found.startswith(b"\x7fELF"):
                return found
            position = compressed.find(magic, position + 1)
    raise StepFailed("the Linux kernel is packed in a way this program does not know")


def _zstd(data: bytes) -> bytes:
    """Unpacks the first zstd frame, by the program: Python has had the format since 3.14 only."""
    if shutil.which("zstd") is None:
        raise StepFailed("the Linux kernel is packed with zstd: install the package zstd")
    return subprocess.run(["zstd", "-dc"], input=data, capture_output=True, check=False).stdout


def _lz4(data: bytes) -> bytes:
    """Unpacks what `lz4 -l` packed: blocks of at most 8 MiB, each with its size before it."""
    output = bytearray()
    position = 4
    while position + 4 <= len(data):
        size = int.from_bytes(data[position : position + 4], "little")
        block = data[position + 4 : position + 4 + size]
        position += 4 + size
        if not size or len(block) < size:
            break
        output += _lz4_block(block)
    return bytes(output)


def _lz4_block(block: bytes) -> bytearray:
    """Unpacks one block of sequences: literals, then a match further back in the output."""
    output = bytearray()
    place = 0

    def length(nibble: int) -> int:
        nonlocal place
        total = nibble
        while nibble == 15:
            extra = block[place]
            place += 1
            total += extra
            if extra < 255:
                break
        return total

    while place < len(block):
        token = block[place]
        place += 1
        count = length(token >> 4)
        output += block[place : place + count]
        place += count
        if place >= len(block):
            break
        distance = block[place] | block[place + 1] << 8
        place += 2
        count = length(token & 15) + 4
        start = len(output) - distance
        if distance < 1 or start < 0:
            raise StepFailed("not an LZ4 block")
        piece = output[start : start + count]
        output += (piece * (count // distance + 1))[:count] if distance < count else piece
    return output


def _python(settings: Settings, libraries: images.Libraries, progress: Progress) -> Path:
    """Returns the folder with `python3` and `init`, static programs for Linux over stock musl."""
    target = toolchain.TARGETS[settings.arch]
    sources = [HERE / "linux-init.c", HERE / "linux-python.c"]
    inputs = Inputs(
        texts={
            "python": libraries.python.folder.name,
            "libraries": " ".join(library.folder.name for library in libraries.static),
            "musl": fetch.sources()["musl"].archives[0].sha256,
            "compiler": toolchain.version(toolchain.CLANG),
        },
        files=[*sources, Path(__file__)],
    )

    def recipe(work: Path, output: Path) -> None:
        log = "linux-reference"
        source = fetch.sources()["musl"]
        if not (work / source.folder).is_dir():
            fetch.unpack(fetch.fetch(source, progress), work / "unpacked")
            (work / "unpacked" / source.folder).rename(work / source.folder)
        sysroot = work / "sysroot"
        compiler = f"{toolchain.CLANG} --target={target.triple}"
        run(
            [
                "sh", "./configure", f"--target={target.triple}", "--prefix=/", "--disable-shared", "--disable-wrapper",
                f"CC={compiler}", "CFLAGS=-O2 -fno-pie -fno-pic", f"AR={toolchain.AR}", f"RANLIB={toolchain.RANLIB}",
                "CROSS_COMPILE=",
            ],
            log, cwd=work / source.folder,
        )  # fmt: skip
        run(["make", f"-j{jobs()}", "install", f"DESTDIR={sysroot}"], log, cwd=work / source.folder)
        for path in sources:
            run(
                [
                    toolchain.CLANG, f"--target={target.triple}", "-nostdlibinc", f"-isystem{sysroot}/include", "-O2",
                    "-Wall", "-Wextra", "-Werror", "-fno-pie", "-c", path, "-o", work / f"{path.stem}.o",
                ],
                log,
            )  # fmt: skip
        libgcc = toolchain.libgcc_folder(target)
        start: list[str | Path] = [sysroot / "lib" / "crt1.o", sysroot / "lib" / "crti.o"]
        end: list[str | Path] = [sysroot / "lib" / "crtn.o"]
        libc: list[str | Path] = [
            "--start-group",
            sysroot / "lib" / "libc.a",
            libgcc / "libgcc.a",
            libgcc / "libgcc_eh.a",
            "--end-group",
        ]
        linker: list[str | Path] = [toolchain.LINKER, "-static", "--gc-sections", "-z", "stack-size=8388608"]
        python = libraries.python
        archives = [library.archive for library in libraries.static]
        run(
            [
                *linker, *start, python.modules(tests=False), python.archive, *archives, work / "linux-python.o", *libc,
                *end, "-o", output / "python3",
            ],
            log,
        )  # fmt: skip
        run([*linker, *start, work / "linux-init.o", *libc, *end, "-o", output / "init"], log)

    return build(f"linux-python-{settings.config}", inputs, progress, "link CPython for Linux over stock musl", recipe)


def _initramfs(libraries: images.Libraries, python: Path, output: Path) -> None:
    """Writes the initramfs: the interpreter, the benchmarks and the modules they import."""
    at = image.library_name(libraries.python)
    wanted = _modules(libraries, at)
    work = output.parent / "linux-initramfs"
    shutil.rmtree(work, ignore_errors=True)
    entries = []
    for name, mode, data in image.read_cpio((libraries.library / "library.cpio").read_bytes()):
        if stat.S_ISREG(mode) and name in wanted:
            path = work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            entries.append(image.Entry(name, mode, path))
    executable = stat.S_IFREG | 0o755
    entries += [
        image.Entry("init", executable, python / "init"),
        image.Entry("usr/bin/python3", executable, python / "python3"),
    ]
    entries += [image.Entry(f"tests/{path.name}", stat.S_IFREG | 0o644, path) for path in sorted(GUEST.glob("*.py"))]
    # CPython looks for these two to find out where its library is.
    (work / "empty").parent.mkdir(parents=True, exist_ok=True)
    entries += [image.Entry(f"{at}/lib-dynload", stat.S_IFDIR | 0o755)]
    entries += [image.Entry(name, stat.S_IFDIR | 0o755) for name in ("dev", "proc", "sys", "tmp")]
    image.write_cpio(image.parents(entries), output)


def _module_entries(kernel: Path) -> list[image.Entry]:
    """Returns the drivers of a network card as the initramfs has them: linux-init.c loads them by their numbers."""
    return [
        image.Entry(f"modules/{number}", stat.S_IFREG | 0o644, kernel / "modules" / f"{name}.ko")
        for number, name in enumerate(NETWORK_MODULES)
    ]


def _modules(libraries: images.Libraries, at: str) -> set[str]:
    """Returns the files of the library that the benchmarks import, as the initramfs names them.

    The building machine's CPython of the same version is asked: it runs here, whatever the target.
    """
    code = (
        "import sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "import benchmarks, network_speed, random, statistics, itertools\n"
        "for m in list(sys.modules.values()):\n"
        "    f = getattr(m, '__file__', None) or getattr(m, '__origname__', '')\n"
        "    f and print(f)\n"
    )
    listed = subprocess.run(
        [libraries.host / "python", "-I", "-B", "-c", code, GUEST], capture_output=True, text=True, check=True
    ).stdout.split()
    prefix = f"{libraries.host}/lib/python{cpython.VERSION}/"
    found = {"os.py", *(name.removeprefix(prefix) for name in listed if name.startswith(prefix))}
    result = set()
    for name in found:
        path = Path(name)
        result |= {f"{at}/{name}", f"{at}/{path.with_suffix('.pyc')}"}
        result.add(f"{at}/{path.parent / '__pycache__' / path.stem}.cpython-314.pyc")
    return result
