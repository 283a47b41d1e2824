"""Files from `async` code: `vfs_demo.py [path]`, in a new directory below /tmp if none is given."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

from kernel.fs import OpenFlags, vfs


async def show(folder: str) -> None:
    """Makes, reads and removes files in a directory."""
    path = f"{folder}/greeting.txt"
    fd = await vfs.open(path, OpenFlags.READ_WRITE | OpenFlags.CREATE | OpenFlags.TRUNCATE)
    written = await vfs.write(fd, b"hello from the vfs\n")
    print(f"wrote {written} bytes")
    await vfs.seek(fd, 0)
    print(f"read {(await vfs.read(fd))!r}")
    await vfs.close(fd)

    # The same file for everybody.
    with open(path, encoding="utf-8") as file:
        print(f"open() reads {file.read()!r}")

    await vfs.mkdir(f"{folder}/inside")
    await vfs.rename(path, f"{folder}/inside/renamed.txt")
    print(f"names: {await vfs.readdir(folder)}, inside: {await vfs.readdir(f'{folder}/inside')}")
    print(f"size: {(await vfs.stat(f'{folder}/inside/renamed.txt')).st_size}")

    # Several at once, each in a thread of asyncio's pool.
    stats = await asyncio.gather(*(vfs.stat(name) for name in ("/", folder, f"{folder}/inside")))
    print(f"directories: {[bool(found.st_mode & 0o40000) for found in stats]}")

    await vfs.unlink(f"{folder}/inside/renamed.txt")
    await vfs.rmdir(f"{folder}/inside")
    print(f"left: {await vfs.readdir(folder)}")


def main(argv: list[str]) -> None:
    """Runs the demonstration on an event loop of its own: that of the session goes on meanwhile."""
    with tempfile.TemporaryDirectory(dir=argv[1] if len(argv) > 1 else None) as folder, ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(show(folder))).result()


if __name__ in ("__main__", "<run_path>"):
    main(globals().get("argv", sys.argv))
