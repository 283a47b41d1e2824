"""`kernel.fs.vfs`: the same files as `open()`, for `async` code."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from kernel.fs import OpenFlags, vfs


def test_what_is_written_is_what_open_reads(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "file"
        fd = await vfs.open(path, OpenFlags.READ_WRITE | OpenFlags.CREATE | OpenFlags.EXCLUSIVE)
        assert await vfs.write(fd, b"a" * 1_000_000) == 1_000_000
        assert path.read_bytes() == b"a" * 1_000_000
        assert await vfs.seek(fd, 999_990) == 999_990
        assert await vfs.read(fd, 4) == b"aaaa"
        assert await vfs.read(fd) == b"aaaaaa"
        assert await vfs.read(fd) == b""
        await vfs.close(fd)
        with pytest.raises(OSError, match="Bad file descriptor"):
            await vfs.read(fd)

    asyncio.run(main())


def test_directories(tmp_path: Path) -> None:
    async def main() -> None:
        await vfs.mkdir(tmp_path / "d")
        for name in ("b", "a"):
            await vfs.close(await vfs.open(tmp_path / "d" / name, OpenFlags.WRITE | OpenFlags.CREATE))
        await vfs.rename(tmp_path / "d" / "b", tmp_path / "d" / "c")
        assert await vfs.readdir(tmp_path / "d") == ["a", "c"]
        assert (await vfs.stat(tmp_path / "d" / "a")).st_size == 0
        for name in ("a", "c"):
            await vfs.unlink(tmp_path / "d" / name)
        await vfs.rmdir(tmp_path / "d")
        assert list(tmp_path.iterdir()) == []

    asyncio.run(main())


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (OpenFlags.READ, FileNotFoundError),
        (OpenFlags.WRITE, FileNotFoundError),
        (OpenFlags.WRITE | OpenFlags.CREATE, None),
    ],
)
def test_a_missing_file(tmp_path: Path, flags: OpenFlags, error: type[OSError] | None) -> None:
    async def main() -> None:
        await vfs.close(await vfs.open(tmp_path / "new", flags))

    if error is None:
        asyncio.run(main())
        assert (tmp_path / "new").read_bytes() == b""
    else:
        with pytest.raises(error):
            asyncio.run(main())


def test_flags_that_protect_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    async def main() -> None:
        with pytest.raises(FileExistsError):
            await vfs.open(path, OpenFlags.WRITE | OpenFlags.CREATE | OpenFlags.EXCLUSIVE)
        with pytest.raises(NotADirectoryError):
            await vfs.open(path, OpenFlags.READ | OpenFlags.DIRECTORY)
        fd = await vfs.open(path, OpenFlags.WRITE | OpenFlags.APPEND)
        await vfs.write(fd, b" and new")
        await vfs.close(fd)
        assert path.read_bytes() == b"old and new"
        await vfs.close(await vfs.open(path, OpenFlags.WRITE | OpenFlags.TRUNCATE))
        assert path.read_bytes() == b""

    asyncio.run(main())


def test_a_slow_file_does_not_stop_the_loop(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    async def main() -> bytes:
        reading = asyncio.ensure_future(read())
        await asyncio.sleep(0.02)
        assert not reading.done()
        writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"late",))
        writer.start()
        data = await asyncio.wait_for(reading, 10)
        writer.join()
        return data

    async def read() -> bytes:
        fd = await vfs.open(tmp_path / "pipe")
        try:
            return await vfs.read(fd)
        finally:
            await vfs.close(fd)

    assert asyncio.run(main()) == b"late"
