"""The calls of `os` on files, for `async` code."""

import asyncio
import enum
import os
from collections.abc import Callable
from typing import TypeVar

from kernel._reload import keep
from kernel.fs._userfs import FileSystem, Mount, mount

_T = TypeVar("_T")

#: Bytes that one call of read(2) asks for when the whole file is wanted.
_CHUNK = 1 << 18


class OpenFlags(enum.IntFlag):
    """How `Vfs.open` opens a file. Without READ or WRITE it is READ."""

    READ = 1
    WRITE = 2
    #: Make the file if it is not there.
    CREATE = 4
    #: With CREATE: fail if it is there.
    EXCLUSIVE = 8
    #: Empty it.
    TRUNCATE = 16
    #: Each write goes to the end.
    APPEND = 32
    #: Fail if it is no directory.
    DIRECTORY = 64
    #: Fail if it is a symbolic link.
    NOFOLLOW = 128
    #: Fail with `BlockingIOError` in place of waiting.
    NONBLOCK = 256
    READ_WRITE = READ | WRITE

    # The names of open(2).
    RDONLY = READ
    WRONLY = WRITE
    RDWR = READ_WRITE
    CREAT = CREATE
    EXCL = EXCLUSIVE
    TRUNC = TRUNCATE


_OS_FLAGS = {
    OpenFlags.CREATE: os.O_CREAT,
    OpenFlags.EXCLUSIVE: os.O_EXCL,
    OpenFlags.TRUNCATE: os.O_TRUNC,
    OpenFlags.APPEND: os.O_APPEND,
    OpenFlags.DIRECTORY: os.O_DIRECTORY,
    OpenFlags.NOFOLLOW: os.O_NOFOLLOW,
    OpenFlags.NONBLOCK: os.O_NONBLOCK,
}


def _os_flags(flags: OpenFlags) -> int:
    access = OpenFlags.READ_WRITE & flags
    result = os.O_RDWR if access == OpenFlags.READ_WRITE else os.O_WRONLY if access == OpenFlags.WRITE else os.O_RDONLY
    for flag, value in _OS_FLAGS.items():
        if flag in flags:
            result |= value
    return result | os.O_CLOEXEC


class Vfs:
    """Files, without making the event loop wait: each call runs in a thread of asyncio's pool.

    Descriptors are those of `os`, so the two may be mixed. Every call raises `OSError` as its namesake in
    `os` does. Threads may share it.
    """

    async def _call(self, function: Callable[..., _T], *args: object) -> _T:
        return await asyncio.to_thread(function, *args)

    def mount(
        self, path: str | os.PathLike[str], filesystem: FileSystem, *, threads: int = 1, timeout: float = 30.0
    ) -> Mount:
        """Mounts a file system written in Python; see `kernel.fs.mount` for arguments and errors."""
        return mount(path, filesystem, threads=threads, timeout=timeout)

    async def open(
        self, path: str | os.PathLike[str], flags: OpenFlags | int = OpenFlags.READ, mode: int = 0o666
    ) -> int:
        """Opens a file and returns its descriptor. `mode` is the permissions that a new file gets, less the umask."""
        return await self._call(os.open, path, _os_flags(OpenFlags(flags)), mode)

    async def read(self, fd: int, size: int = -1) -> bytes:
        """Returns at most `size` bytes from where the descriptor is; everything up to the end if it is negative."""
        if size >= 0:
            return await self._call(os.read, fd, size)
        return await self._call(_read_all, fd)

    async def write(self, fd: int, data: bytes | bytearray | memoryview) -> int:
        """Writes all of `data`; returns how many bytes that were."""
        return await self._call(_write_all, fd, data)

    async def seek(self, fd: int, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves the descriptor to a byte, counted as `whence` says; returns where it is then."""
        return await self._call(os.lseek, fd, offset, whence)

    async def close(self, fd: int) -> None:
        """Closes a descriptor."""
        await self._call(os.close, fd)

    async def stat(self, path: str | os.PathLike[str] | int) -> os.stat_result:
        """Returns what stat(2) tells of a path or a descriptor."""
        return await self._call(os.stat, path)

    async def mkdir(self, path: str | os.PathLike[str], mode: int = 0o777) -> None:
        """Makes a directory with these permissions, less the umask."""
        await self._call(os.mkdir, path, mode)

    async def rmdir(self, path: str | os.PathLike[str]) -> None:
        """Removes an empty directory."""
        await self._call(os.rmdir, path)

    async def readdir(self, path: str | os.PathLike[str] = ".") -> list[str]:
        """Returns the names in a directory in order, without `.` and `..`."""
        return sorted(await self._call(os.listdir, path))

    async def unlink(self, path: str | os.PathLike[str]) -> None:
        """Removes a name of a file."""
        await self._call(os.unlink, path)

    async def rename(self, source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
        """Gives a file another name, which stops being that of any other file."""
        await self._call(os.rename, source, target)


def _read_all(fd: int) -> bytes:
    chunks = []
    while data := os.read(fd, _CHUNK):
        chunks.append(data)
    return b"".join(chunks)


def _write_all(fd: int, data: bytes | bytearray | memoryview) -> int:
    view = memoryview(data).cast("B")
    written = 0
    while written < len(view):
        written += os.write(fd, view[written:])
    return written


vfs = keep(globals().get("vfs"), Vfs)
