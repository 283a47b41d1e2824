"""Writes discs that boot under BIOS and UEFI: GRUB, the image as a multiboot2 kernel, the initrd as its module."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from harness.progress import run


def grub_config(line: str) -> str:
    """Returns GRUB's configuration: boot at once, with the serial line as its console.

    GRUB splits `line` as a shell does and quotes the words again when it hands them on.
    """
    return (
        "serial --unit=0 --speed=115200\n"
        "terminal_input serial console\n"
        "terminal_output serial console\n"
        "set timeout=0\n"
        # UEFI firmware has no text mode: the kernel's header asks for a framebuffer.
        'if [ "$grub_platform" = efi ]; then insmod all_video; fi\n'
        'menuentry "PythonOS" {\n'
        f"    multiboot2 /boot/pythonos.elf {line}\n"
        "    module2 /boot/initrd.img\n"
        "}\n"
    )


def write(kernel: Path, initrd: Path, line: str, output: Path) -> None:
    """Writes a disc to `output`, atomically."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent) as name:
        root = Path(name) / "root"
        (root / "boot" / "grub").mkdir(parents=True)
        shutil.copy(kernel, root / "boot" / "pythonos.elf")
        shutil.copy(initrd, root / "boot" / "initrd.img")
        (root / "boot" / "grub" / "grub.cfg").write_text(grub_config(line))
        disc = Path(name) / "disc.iso"
        run(["grub-mkrescue", "-o", disc, root], "iso")
        os.replace(disc, output)
