"""What the machine says about itself."""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def identity() -> dict[str, Any]:
    """Returns which Python this is and what it sees of the machine."""
    uname = os.uname()
    return {
        "version": list(sys.version_info[:3]),
        "gil": sys._is_gil_enabled() if hasattr(sys, "_is_gil_enabled") else True,
        "Py_GIL_DISABLED": sysconfig.get_config_var("Py_GIL_DISABLED"),
        "abiflags": sys.abiflags,
        "platform": sys.platform,
        "sysname": uname.sysname,
        "machine": uname.machine,
        "cpu_count": os.cpu_count(),
        "process_cpu_count": getattr(os, "process_cpu_count", os.cpu_count)(),
        "affinity": sorted(os.sched_getaffinity(0)),
        "page_size": os.sysconf("SC_PAGE_SIZE"),
        "libc": "-".join(platform.libc_ver()),
        "prefix": sys.prefix,
        "executable": sys.executable,
        "environment": dict(os.environ),
        "argv": list(sys.argv),
        "xoptions": sys._xoptions,
        "stdlib": os.path.dirname(os.__file__),
    }


def ids() -> dict[str, Any]:
    """Returns what the machine says about the ids of the process, its main thread and a second one."""
    second: list[int] = []
    thread = threading.Thread(target=lambda: second.append(threading.get_native_id()))
    thread.start()
    thread.join()
    main = threading.main_thread()
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "main": main.native_id,
        "second": [*second, thread.native_id],
        "self": os.readlink("/proc/self"),
        "processes": [name for name in os.listdir("/proc") if name.isdigit()],
        "tasks": os.listdir("/proc/self/task"),
        "group": [os.getpgrp(), os.getsid(0), os.tcgetpgrp(0)],
    }


def installation() -> dict[str, Any]:
    """Returns where CPython says that its parts are, and which of these places do not exist."""
    paths = sysconfig.get_paths()
    files = [sys.executable, os.__file__, sysconfig.get_makefile_filename(), sysconfig.get_config_h_filename()]
    folders = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "include")]
    places = [*files, *folders, "/lib/python3.14/os.py"]
    return {
        "prefix": sys.prefix,
        "path": sys.path,
        "paths": paths,
        "missing": [place for place in places if not os.path.exists(place)],
        "which": os.path.realpath(shutil.which("python3") or ""),
        "login": os.getlogin(),
        "os": platform.freedesktop_os_release()["NAME"],
    }


def without_processes() -> dict[str, Any]:
    """Returns which calls for processes `os` has, and what those that are there end with."""
    import multiprocessing

    starters: dict[str, Callable[[], object]] = {
        "subprocess.run": lambda: subprocess.run(["ls"], check=False),
        "os.popen": lambda: os.popen("ls"),
        "multiprocessing": multiprocessing.get_context("spawn").Process(target=int).start,
        "os.execv": lambda: os.execv("/bin/ls", ["ls"]),
        "os.execlp": lambda: os.execlp("ls", "ls"),
        "os.wait": os.wait,
    }
    errors = {}
    for name, start in starters.items():
        try:
            start()
        except OSError as error:
            errors[name] = error.errno
    names = ("fork", "forkpty", "posix_spawn", "posix_spawnp", "spawnv", "system", "register_at_fork")
    return {"has": [name for name in names if hasattr(os, name)], "errors": errors}


def linux_calls(nonce: str) -> dict[str, Any]:
    """Returns what calls give that CPython has only where it finds Linux's own headers, and their like."""
    data = nonce.encode()
    with tempfile.NamedTemporaryFile() as file:
        os.setxattr(file.fileno(), "user.nonce", data)
        attributes = {name: os.getxattr(file.name, name).decode() for name in os.listxattr(file.name)}
        os.write(file.fileno(), data)
        memory = os.memfd_create("copy")
        copied = os.copy_file_range(file.fileno(), memory, len(data), 0, 0)
        found = os.pread(memory, 2 * len(data), 0).decode()
        os.close(memory)
    return {
        "random": [os.getrandom(16).hex(), os.getrandom(16, os.GRND_NONBLOCK).hex()],
        "attributes": attributes,
        "copied": [copied, found],
    }


def libraries(nonce: str) -> dict[str, Any]:
    """Returns what comes back from zlib and zstd, and two identifiers that libuuid made."""
    import uuid
    import zlib

    # Not known to a type checker that runs on an older Python.
    zstd, libuuid = map(importlib.import_module, ("compression.zstd", "_uuid"))
    data = nonce.encode() * 100_000
    threads = {zstd.CompressionParameter.nb_workers: 2, zstd.CompressionParameter.checksum_flag: 1}
    packed = {
        "zlib": (zlib.compress(data), zlib.decompress),
        "zstd": (zstd.compress(data), zstd.decompress),
        "zstd by threads": (zstd.compress(data, options=threads), zstd.decompress),
    }
    right = [name for name, (text, unpack) in packed.items() if len(text) < len(data) // 10 and unpack(text) == data]
    return {
        "right": right,
        "uuids": [str(uuid.UUID(bytes=libuuid.generate_time_safe()[0])) for _ in range(2)],
        "versions": [uuid.uuid1().version, uuid.UUID(bytes=libuuid.generate_time_safe()[0]).version],
    }


def clocks() -> dict[str, float]:
    """Returns the wall clock and the time since power on."""
    return {"wall": time.time(), "boot": time.clock_gettime(time.CLOCK_BOOTTIME), "monotonic": time.monotonic()}


def entropy() -> dict[str, Any]:
    """Returns what must differ from one boot to the next."""
    with open("/dev/urandom", "rb") as device:
        return {"urandom": device.read(16).hex(), "getrandom": os.urandom(16).hex(), "hash": hash("seed")}


def memory() -> dict[str, int]:
    """Returns /proc/meminfo, in KiB."""
    with open("/proc/meminfo", encoding="utf-8") as lines:
        return {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}


def touch(mebibytes: int) -> int:
    """Writes to `mebibytes` MiB of fresh memory at once and returns a checksum of what it reads back."""
    import mmap

    with mmap.mmap(-1, mebibytes << 20) as area:
        for page in range(0, len(area), mmap.PAGESIZE):
            area[page] = page >> 12 & 0xFF
        return sum(area[page] for page in range(0, len(area), mmap.PAGESIZE))


def run_on_each_cpu() -> dict[str, list[int]]:
    """Pins a thread to each CPU in turn; returns, by CPU, the CPU that the kernel says it ran on."""
    from scheduling import current_cpu

    seen: dict[str, list[int]] = {}

    def pinned(cpu: int) -> None:
        os.sched_setaffinity(0, {cpu})
        time.sleep(0)
        samples = set()
        for _ in range(20):
            sum(range(2000))
            samples.add(current_cpu())
        seen[str(cpu)] = sorted(samples)

    threads = [threading.Thread(target=pinned, args=(cpu,)) for cpu in sorted(os.sched_getaffinity(0))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def import_modules(names: list[str]) -> dict[str, str]:
    """Imports each module; returns the error of each that could not be imported."""
    import io
    from contextlib import redirect_stdout

    errors = {}
    for name in names:
        try:
            with redirect_stdout(io.StringIO()):
                importlib.import_module(name)
        except BaseException as error:
            errors[name] = f"{type(error).__name__}: {error}"
    return errors


def standard_library() -> list[str]:
    """Returns the names of all modules of the standard library."""
    return sorted(sys.stdlib_module_names)


def library_digest() -> dict[str, str]:
    """Returns a digest of every .py file of the standard library, by its path there."""
    import hashlib

    root = Path(os.__file__).parent
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*.py")
        if "site-packages" not in path.parts
    }


def describe_cpus() -> list[dict[str, str]]:
    """Returns what `/proc/cpuinfo` says, CPU by CPU."""
    with open("/proc/cpuinfo") as file:
        paragraphs = file.read().removesuffix("\n\n").split("\n\n")
    return [dict(re.split(r"\s*: ?", line, maxsplit=1) for line in one.splitlines()) for one in paragraphs]
