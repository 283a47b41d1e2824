"""The one place that knows QEMU's command line: `make run`, the tests and the benchmarks all ask here."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import images, link
from harness import iso as discs
from harness.progress import StepFailed
from harness.settings import Settings, memory_mib
from harness.toolchain import TARGETS, host_architecture

BINARIES = {"x86_64": "qemu-system-x86_64", "arm64": "qemu-system-aarch64"}
#: What `-machine` and `-cpu` say. Both architectures get the emulator's newest CPU; on arm64 with pointer
#: authentication by a cheap algorithm, as the architected one costs more than all else in emulation.
MACHINES = {"x86_64": "q35", "arm64": "virt,gic-version=3"}
CPUS = {"x86_64": "max", "arm64": "max,pauth-impdef=on"}
#: The devices that a machine has unless others are asked for.
DEVICES = ("virtio-rng-pci",)
#: An instruction of a counted machine takes 1 << this nanoseconds.
COUNTED_SHIFT = 1
#: The port that ends QEMU with a code of the guest's choice (`panic=exit`).
DEBUG_EXIT = "isa-debug-exit,iobase=0xf4,iosize=0x04"
#: Where Debian's and Ubuntu's ovmf packages put the UEFI firmware.
OVMF = (Path("/usr/share/ovmf/OVMF.fd"), Path("/usr/share/OVMF/OVMF.fd"), Path("/usr/share/OVMF/OVMF_CODE.fd"))


def accelerator(settings: Settings) -> str:
    """Returns the accelerator to use: `auto` becomes kvm only where kvm really works."""
    if settings.accel != "auto":
        return settings.accel
    return "kvm" if kvm_works(settings.arch) else "tcg"


def kvm_works(arch: str, cpuinfo: Path = Path("/proc/cpuinfo"), device: Path = Path("/dev/kvm")) -> bool:
    """Tells whether KVM runs guests on this machine's own hardware.

    The device alone says little: some virtual machines have one that interprets a guest's
    privileged code, slowly and not completely. Those lack the CPU's flag.
    """
    if arch != host_architecture() or not os.access(device, os.R_OK | os.W_OK):
        return False
    return arch != "x86_64" or re.search(r"^flags\b.*\b(vmx|svm)\b", cpuinfo.read_text(), re.MULTILINE) is not None


def quote(word: str) -> str:
    """Returns one argument for the kernel's command line, which splits words as a POSIX shell does."""
    if word and re.fullmatch(r"[\w@%+=:,./-]+", word, re.ASCII):
        return word
    return "'" + word.replace("'", "'\\''") + "'"


def kernel_command_line(append: Sequence[str], python_argv: Sequence[str]) -> str:
    """Returns the kernel's command line: words of ours, then what Python gets (nothing: the console's prompt)."""
    words = [key + "=" + quote(value) if value else key for key, _, value in (word.partition("=") for word in append)]
    if python_argv:
        words += ["--", *(quote(word) for word in python_argv)]
    return " ".join(words)


def command(
    settings: Settings,
    *,
    cpus: int | None = None,
    memory: str | None = None,
    append: Sequence[str] = (),
    python_argv: Sequence[str] = (),
    tests: bool = True,
    interactive: bool = False,
    restarts: bool = False,
    iso: bool = False,
    firmware: str = "bios",
    machine: str = "",
    cpu: str = "",
    devices: Sequence[str] = DEVICES,
    qemu: Sequence[str] = (),
    accel: str | None = None,
    counted: bool = False,
    forwards: Mapping[int, int] | None = None,
    networks: Sequence[str] = (),
) -> list[str]:
    """Returns the command that starts a machine of an image that `images.build_images` built.

    `tests` takes the image with CPython's C test modules; `interactive` puts QEMU's monitor on the
    terminal beside the console (Ctrl-A C, Ctrl-A X); without `restarts` a reboot ends QEMU; `iso`
    boots from a disc by GRUB under `firmware` (`bios` or `uefi`) in place of PVH; `machine` and `cpu` are
    the kind of machine and the model of its CPUs in QEMU's words if they are not the usual ones; `devices` are
    what `-device` says; `qemu` is another QEMU's command, with arguments of its own. A `counted` machine, of
    one CPU, has a clock that counts instructions and skips idle time: nothing that the host does shows in it. With
    `forwards` there is a network card, behind which QEMU plays a network (10.0.2.0/24); ports of the host's own
    address lead to ports of the machine. `networks` are what `-netdev` says, for cards among `devices`.
    """
    number = settings.cpus if cpus is None else cpus
    mib = settings.memory_mib if memory is None else memory_mib(memory)
    kind = accel or accelerator(settings)
    found = images.images(settings)
    line = kernel_command_line(append, python_argv)
    words = [*(qemu or [BINARIES[settings.arch]])]
    words += ["-nodefaults", "-no-user-config", "-machine", machine or MACHINES[settings.arch], "-display", "none"]
    if counted:
        words += ["-accel", "tcg", "-icount", f"shift={COUNTED_SHIFT},sleep=off"]
    else:
        words += ["-accel", "tcg,thread=multi" if kind == "tcg" else kind]
    words += ["-cpu", cpu or CPUS[settings.arch], "-smp", str(number), "-m", f"{mib}M"]
    if interactive:
        words += ["-chardev", "stdio,id=console,mux=on,signal=off", "-mon", "chardev=console,mode=readline"]
    else:
        words += ["-chardev", "stdio,id=console,signal=off", "-monitor", "none"]
    words += ["-serial", "chardev:console"]
    for device in devices:
        words += ["-device", device]
    for network in networks:
        words += ["-netdev", network]
    if forwards is not None:
        rules = [f"hostfwd=tcp:127.0.0.1:{port}-:{inner}" for port, inner in forwards.items()]
        words += ["-netdev", ",".join(["user", "id=network", *rules]), "-device", "virtio-net-pci,netdev=network"]
    if settings.arch == "x86_64":
        words += ["-device", DEBUG_EXIT]
    else:
        # What ends QEMU with a code here.
        words += ["-semihosting-config", "enable=on,target=native"]
    if not restarts:
        words.append("-no-reboot")
    if iso:
        words += ["-cdrom", str(_disc(settings, found, tests, line))]
        if firmware == "uefi":
            words += ["-bios", str(uefi_firmware())]
    else:
        initrd = found.initrd(mib, tests and mib >= 512)
        words += ["-kernel", str(boot_file(settings, found.kernel(tests))), "-initrd", str(initrd)]
        words += ["-append", line]
    return words


def boot_file(settings: Settings, kernel: Path) -> Path:
    """Returns the form of an image that QEMU's `-kernel` takes."""
    return link.flat_image(kernel) if TARGETS[settings.arch].is_flat else kernel


def uefi_firmware() -> Path:
    """Returns the UEFI firmware for x86_64 machines."""
    for path in OVMF:
        if path.is_file():
            return path
    raise StepFailed("no UEFI firmware: install the package ovmf")


def _disc(settings: Settings, found: images.Images, tests: bool, line: str) -> Path:
    """Returns a disc whose boot loader passes `line` on; made anew when something in it changed."""
    kernel, initrd = found.kernel(tests), found.folder / "initrd.img"
    stamp = f"{line}\n{kernel.stat().st_mtime_ns}\n{initrd.stat().st_mtime_ns}"
    output = found.folder / "discs" / f"{hashlib.sha256(stamp.encode()).hexdigest()[:12]}.iso"
    if not output.is_file():
        shutil.rmtree(output.parent, ignore_errors=True)
        discs.write(kernel, initrd, line, output)
    return output


def user_options() -> list[str]:
    """Returns what the kernel should know of the terminal that `make run` runs on."""
    size = shutil.get_terminal_size()
    # Piped, it needs neither colours nor an editor for lines.
    term = os.environ.get("TERM", "") if sys.stdin.isatty() and sys.stdout.isatty() else "dumb"
    return [
        "panic=halt",
        f"console.size={size.columns}x{size.lines}",
        *([f"env.TERM={term}"] if re.fullmatch(r"[\w.+-]+", term, re.ASCII) else []),
        *([f"env.COLORTERM={value}"] if re.fullmatch(r"[\w.-]+", value := os.environ.get("COLORTERM", "")) else []),
        *(["env.NO_COLOR=1"] if os.environ.get("NO_COLOR") else []),
    ]


def _is_machine(pid: int) -> bool:
    """Tells whether a process is a QEMU: the id of one that ended may be another program's by now."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return Path(os.fsdecode(words[0])).name.startswith("qemu-system-")


def forget_ended(running: Path) -> list[int]:
    """Removes from `running`, where files are named after processes, what is no QEMU any more; returns the rest."""
    alive = []
    for entry in running.glob("[0-9]*"):
        if _is_machine(int(entry.name)):
            alive.append(int(entry.name))
        else:
            entry.unlink(missing_ok=True)
    return alive


def stop(running: Path) -> int:
    """Ends the machines in `running`; returns how many there were."""
    machines = forget_ended(running)
    for pid in machines:
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 10
    while forget_ended(running) and time.monotonic() < deadline:
        time.sleep(0.05)
    return len(machines)
