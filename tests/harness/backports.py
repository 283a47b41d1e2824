"""Gets a newer QEMU for tests that need one, without changing the system.

Debian 12's QEMU emulates no x2APIC (9.0 and later do). Debian's backports have one that runs
there: its packages are downloaded by apt with a configuration of its own, derived from the
machine's, and unpacked into the cache.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from harness.fetch import debian_mirror
from harness.paths import cache
from harness.progress import StepFailed, run

BINARY = "qemu-system-x86_64"
MINIMUM = (9, 0)
PACKAGES = ("qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios")


def version(command: list[str]) -> tuple[int, ...]:
    """Returns the version of a QEMU; nothing if it does not run."""
    try:
        answer = subprocess.run([*command[:1], "--version"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return ()
    match = re.search(r"version (\d+)\.(\d+)", answer)
    return (int(match[1]), int(match[2])) if match else ()


def x2apic_qemu() -> tuple[list[str], str]:
    """Returns the command of a QEMU that emulates x2APIC, or nothing and the reason why there is none."""
    if version([BINARY]) >= MINIMUM:
        return [BINARY], ""
    release = Path("/etc/os-release").read_text() if Path("/etc/os-release").is_file() else ""
    match = re.search(r"^VERSION_CODENAME=(\w+)", release, re.MULTILINE)
    if match is None or "ID=debian" not in release.splitlines():
        return [], "QEMU is older than 9.0, and only Debian's backports are known to have a newer one"
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return [], "QEMU is older than 9.0, and apt-get is not there to get a newer one"
    place = cache() / "qemu-backports"
    try:
        return _from_backports(match[1], place), ""
    except StepFailed as error:
        return [], f"QEMU is older than 9.0, and {match[1]}-backports could not be used: {str(error).splitlines()[0]}"


def _from_backports(codename: str, place: Path) -> list[str]:
    root = place / "root"
    command = [str(place / BINARY)]
    if version(command) >= MINIMUM:
        return command
    if (mirror := debian_mirror()) is None:
        raise StepFailed("apt's configuration names no Debian mirror")
    shutil.rmtree(place, ignore_errors=True)
    lists, archives = place / "apt" / "lists", place / "apt" / "archives"
    for folder in (lists / "partial", archives / "partial"):
        folder.mkdir(parents=True)
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    sources = place / "apt" / "backports.list"
    sources.write_text(f"deb [signed-by={keyring}] {mirror} {codename}-backports main\n")
    options = {
        "Dir::Etc::SourceList": sources,
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": lists,
        "Dir::Cache": place / "apt",
        "Dir::Cache::Archives": archives,
        "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
        "Debug::NoLocking": "true",
    }
    apt = ["apt-get", *(word for key, value in options.items() for word in ("-o", f"{key}={value}"))]
    run([*apt, "update"], "backports")
    packages = [f"{package}/{codename}-backports" for package in PACKAGES]
    run([*apt, "download", *packages[:3]], "backports", cwd=archives)
    # The firmware may be the system's own: only a newer one is in the backports.
    with contextlib.suppress(StepFailed):
        run([*apt, "download", packages[3]], "backports", cwd=archives)
    for package in sorted(archives.glob("*.deb")):
        run(["dpkg-deb", "-x", package, root], "backports")
    # What else it needs is what the system's own QEMU needs; the probe at the end tells.
    libraries = sorted((root / "usr" / "lib").glob("*-linux-gnu"))
    wrapper = Path(command[0])
    wrapper.write_text(
        "#!/bin/sh\n"
        f'LD_LIBRARY_PATH="{":".join(map(str, libraries))}" QEMU_MODULE_DIR="{root}/usr/lib/x86_64-linux-gnu/qemu" \\\n'
        f'    exec "{root}/usr/bin/{BINARY}" -L "{root}/usr/share/qemu" -L /usr/share/seabios -L /usr/share/qemu "$@"\n'
    )
    wrapper.chmod(0o755)
    if version(command) < MINIMUM:
        probe = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
        raise StepFailed(f"the unpacked QEMU does not run: {probe.stderr.strip()[:200]}")
    return command
