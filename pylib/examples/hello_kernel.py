"""Says hello, and on what machine: `hello_kernel.py [name]`."""

from __future__ import annotations

import os
import platform
import sys
import threading
import time


def main(argv: list[str]) -> None:
    """Prints a few lines."""
    name = argv[1] if len(argv) > 1 else "kernel"
    has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    print(f"Hello, {name}!")
    print(f"I am Python {platform.python_version()}, and the kernel of {os.uname().sysname} on {os.uname().machine}.")
    print(f"I have {os.cpu_count()} CPUs, {threading.active_count()} threads and {'a' if has_gil else 'no'} GIL.")
    print(f"I have been awake for {time.monotonic():.1f} seconds.")


if __name__ in ("__main__", "<run_path>"):
    # A session binds `argv`; other ways to run this have it in `sys`.
    main(globals().get("argv", sys.argv))
