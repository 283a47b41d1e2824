"""File systems written in Python: everybody's `open()` on their files ends in methods of an object.

The kernel's half, with the form of requests and replies, is kernel/src/fs/userfs.
"""

import errno
import fcntl
import os
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

__all__ = ["Attributes", "FileSystem", "DictFileSystem", "Mount", "mount"]

_T = TypeVar("_T")

_DEVICE: Final = "/dev/userfs"
_MOUNT: Final = 0x40105501
_UNMOUNT: Final = 0x5502
_REQUEST: Final = struct.Struct("=QIIQQ")
_REPLY: Final = struct.Struct("=QiI")
_ATTRIBUTES: Final = struct.Struct("=IIQq")
#: Room for the largest request: its numbers, two paths, the most data.
_REQUEST_BYTES: Final = _REQUEST.size + 2 * 4096 + (1 << 17)


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a file system says about a path."""

    #: Type and permissions, as `os.stat` has them.
    mode: int
    #: Bytes.
    size: int = 0
    #: When the content last changed, in seconds since 1970.
    modified: float = 0.0
    #: How many names it has.
    links: int = 1

    @classmethod
    def directory(cls, permissions: int = 0o755) -> "Attributes":
        """Returns those of a directory."""
        return cls(stat.S_IFDIR | permissions, links=2)

    @classmethod
    def file(cls, size: int, permissions: int = 0o644, modified: float = 0.0) -> "Attributes":
        """Returns those of a regular file of so many bytes."""
        return cls(stat.S_IFREG | permissions, size, modified)


class FileSystem:
    """What a file system answers: derive from it, or bring the same methods.

    A path is relative to the mount, without a slash at its start; the root is the empty string. A method that cannot
    do what it is asked for raises `OSError` with the number that the caller shall see (`FileNotFoundError(errno.ENOENT,
    "...")`); any other exception is logged and the caller sees EIO. Methods run on the mount's own threads, one at a
    time unless `mount` was told otherwise. They must not use files of their own mount: nobody would answer.

    `stat`, `listdir` and `read` are enough for files that are only read.
    """

    def stat(self, path: str) -> Attributes:
        """Says what is at `path`; raises `FileNotFoundError` if that is nothing."""
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    def listdir(self, path: str) -> Iterable[str]:
        """Returns the names in a directory."""
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Returns `size` bytes of a file from byte `offset` on; fewer only where it ends."""
        raise _error(errno.EROFS)

    def write(self, path: str, offset: int, data: bytes) -> int:
        """Writes bytes at `offset`, beyond the end too; returns how many were written."""
        raise _error(errno.EROFS)

    def truncate(self, path: str, size: int) -> None:
        """Makes a file `size` bytes long; what is new is zero."""
        raise _error(errno.EROFS)

    def create(self, path: str, mode: int) -> None:
        """Makes an empty file with permissions `mode`; there is nothing at `path`."""
        raise _error(errno.EROFS)

    def mkdir(self, path: str, mode: int) -> None:
        """Makes a directory with permissions `mode`; there is nothing at `path`."""
        raise _error(errno.EROFS)

    def unlink(self, path: str) -> None:
        """Removes what is no directory."""
        raise _error(errno.EROFS)

    def rmdir(self, path: str) -> None:
        """Removes a directory; raises `OSError` with ENOTEMPTY if something is in it."""
        raise _error(errno.EROFS)

    def rename(self, source: str, target: str, flags: int) -> None:
        """Renames; what was at `target` is gone. `flags` are those of renameat2(2)."""
        raise _error(errno.EROFS)

    def symlink(self, path: str, text: str) -> None:
        """Makes a symbolic link at `path` that leads to `text`."""
        raise _error(errno.EPERM)

    def readlink(self, path: str) -> str:
        """Returns where a symbolic link leads."""
        raise _error(errno.EINVAL)

    def chmod(self, path: str, mode: int) -> None:
        """Sets permissions."""
        raise _error(errno.EPERM)

    def utime(self, path: str, accessed: float, modified: float) -> None:
        """Sets times, in seconds since 1970."""
        raise _error(errno.EPERM)

    def fsync(self, path: str) -> None:
        """Makes what was written safe; nothing to do unless it is kept somewhere."""

    def statvfs(self) -> tuple[int, int]:
        """Returns how many blocks of 4 KiB there are and how many of them are free."""
        return 0, 0


class DictFileSystem(FileSystem):
    """A file system whose directories are dictionaries and whose files are `bytes` or `str` in them.

        files = {"greeting": "hello\\n", "inside": {"empty": b""}}
        mount("/tmp/mnt", DictFileSystem(files))

    The dictionary is the file system: what changes in one shows in the other. Files that are written become `bytes`.
    """

    def __init__(self, files: dict[str, object] | None = None) -> None:
        """Serves `files`, or a new empty dictionary."""
        self.files: dict[str, object] = {} if files is None else files
        self._started = time.time()
        # What a dictionary has no place for, by path.
        self._modified: dict[str, float] = {}
        self._modes: dict[str, int] = {}

    def _find(self, path: str) -> object:
        found: object = self.files
        for name in path.split("/") if path else ():
            if not isinstance(found, dict):
                raise _error(errno.ENOTDIR)
            if name not in found:
                raise _error(errno.ENOENT)
            found = found[name]
        return found

    def _directory(self, path: str) -> dict[str, object]:
        found = self._find(path)
        if not isinstance(found, dict):
            raise _error(errno.ENOTDIR)
        return found

    def _above(self, path: str) -> tuple[dict[str, object], str]:
        folder, _, name = path.rpartition("/")
        return self._directory(folder), name

    def _content(self, path: str) -> bytes:
        found = self._find(path)
        if isinstance(found, dict):
            raise _error(errno.EISDIR)
        if isinstance(found, bytes | bytearray | memoryview):
            return bytes(found)
        return str(found).encode()

    def _set(self, path: str, content: bytes) -> None:
        folder, name = self._above(path)
        folder[name] = content
        self._modified[path] = time.time()

    def stat(self, path: str) -> Attributes:
        """See `FileSystem`."""
        modified = self._modified.get(path, self._started)
        if isinstance(self._find(path), dict):
            return Attributes(stat.S_IFDIR | self._modes.get(path, 0o755), 0, modified, 2)
        return Attributes.file(len(self._content(path)), self._modes.get(path, 0o644), modified)

    def listdir(self, path: str) -> list[str]:
        """See `FileSystem`."""
        return list(self._directory(path))

    def read(self, path: str, offset: int, size: int) -> bytes:
        """See `FileSystem`."""
        return self._content(path)[offset : offset + size]

    def write(self, path: str, offset: int, data: bytes) -> int:
        """See `FileSystem`."""
        content = self._content(path).ljust(offset, b"\0")
        self._set(path, content[:offset] + data + content[offset + len(data) :])
        return len(data)

    def truncate(self, path: str, size: int) -> None:
        """See `FileSystem`."""
        self._set(path, self._content(path)[:size].ljust(size, b"\0"))

    def create(self, path: str, mode: int) -> None:
        """See `FileSystem`."""
        self._set(path, b"")
        self._modes[path] = mode

    def mkdir(self, path: str, mode: int) -> None:
        """See `FileSystem`."""
        folder, name = self._above(path)
        folder[name] = {}
        self._modes[path] = mode

    def unlink(self, path: str) -> None:
        """See `FileSystem`."""
        folder, name = self._above(path)
        del folder[name]
        self._modes.pop(path, None)
        self._modified.pop(path, None)

    def rmdir(self, path: str) -> None:
        """See `FileSystem`."""
        if self._directory(path):
            raise _error(errno.ENOTEMPTY)
        self.unlink(path)

    def rename(self, source: str, target: str, flags: int) -> None:
        """See `FileSystem`."""
        if flags:
            raise _error(errno.EINVAL)
        moved = self._find(source)
        folder, name = self._above(target)
        old = folder.get(name)
        if isinstance(old, dict) and old:
            raise _error(errno.ENOTEMPTY)
        if old is not None and isinstance(old, dict) != isinstance(moved, dict):
            raise _error(errno.EISDIR if isinstance(old, dict) else errno.ENOTDIR)
        if moved is old:
            return
        folder[name] = moved
        above, old_name = self._above(source)
        del above[old_name]
        _move_below(self._modified, source, target)
        _move_below(self._modes, source, target)

    def chmod(self, path: str, mode: int) -> None:
        """See `FileSystem`."""
        self._modes[path] = mode

    def utime(self, path: str, accessed: float, modified: float) -> None:
        """See `FileSystem`."""
        self._modified[path] = modified


def _move_below(table: dict[str, _T], source: str, target: str) -> None:
    """Gives the entries of a path and of those below it their new paths."""
    for path in [path for path in table if path == source or path.startswith(source + "/")]:
        table[target + path[len(source) :]] = table.pop(path)


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class _Server:
    """Answers the requests of one descriptor. Several threads may run `serve`."""

    def __init__(self, fd: int, filesystem: FileSystem) -> None:
        self._fd = fd
        self._fs = filesystem
        self._operations: dict[int, Callable[[str, int, int, bytes], bytes | None]] = {
            1: self._stat, 2: self._list, 3: self._read, 4: self._write,
            5: lambda path, size, _, data: self._fs.truncate(path, size),
            6: lambda path, mode, _, data: self._fs.create(path, mode),
            7: lambda path, mode, _, data: self._fs.mkdir(path, mode),
            8: lambda path, first, second, data: self._fs.unlink(path),
            9: lambda path, first, second, data: self._fs.rmdir(path),
            10: lambda path, flags, _, data: self._fs.rename(path, os.fsdecode(data), flags),
            11: lambda path, first, second, data: self._fs.symlink(path, os.fsdecode(data)),
            12: lambda path, first, second, data: os.fsencode(self._fs.readlink(path)),
            13: lambda path, mode, _, data: self._fs.chmod(path, mode),
            14: self._utime,
            15: lambda path, first, second, data: self._fs.fsync(path),
            16: lambda path, first, second, data: struct.pack("=QQ", *self._fs.statvfs()),
        }  # fmt: skip

    def serve(self) -> None:
        """Answers until the file system is unmounted."""
        while request := os.read(self._fd, _REQUEST_BYTES):
            number, operation, path_bytes, first, second = _REQUEST.unpack_from(request)
            end = _REQUEST.size + path_bytes
            problem, data = self._answer(
                operation, os.fsdecode(request[_REQUEST.size : end]), first, second, request[end:]
            )
            try:
                os.write(self._fd, _REPLY.pack(number, problem, len(data)) + data)
            except FileNotFoundError:
                # Whoever asked has given up.
                continue

    def _answer(self, operation: int, path: str, first: int, second: int, data: bytes) -> tuple[int, bytes]:
        """Returns the error number and the data of a reply."""
        action = self._operations.get(operation)
        if action is None:
            return errno.ENOSYS, b""
        try:
            return 0, action(path, first, second, data) or b""
        except OSError as error:
            return error.errno if error.errno and 0 < error.errno < 512 else errno.EIO, b""
        except Exception as error:
            from kernel import log

            log.exception(error, "file system %r failed at %r", self._fs, path, target="kernel.fs")
            return errno.EIO, b""

    def _stat(self, path: str, _first: int, _second: int, _data: bytes) -> bytes:
        found = self._fs.stat(path)
        return _ATTRIBUTES.pack(found.mode, found.links, found.size, int(found.modified * 1e9))

    def _list(self, path: str, _first: int, _second: int, _data: bytes) -> bytes:
        pieces = []
        for name in self._fs.listdir(path):
            try:
                mode = self._fs.stat(f"{path}/{name}" if path else name).mode
            except FileNotFoundError:
                # It went while we looked.
                continue
            encoded = os.fsencode(name)
            pieces.append(struct.pack("=II", mode, len(encoded)) + encoded)
        return b"".join(pieces)

    def _read(self, path: str, offset: int, size: int, _data: bytes) -> bytes:
        # More than was asked for would be refused.
        return bytes(self._fs.read(path, offset, size)[:size])

    def _write(self, path: str, offset: int, _second: int, data: bytes) -> bytes:
        return struct.pack("=Q", self._fs.write(path, offset, data))

    def _utime(self, path: str, accessed: int, modified: int, _data: bytes) -> None:
        # The numbers are signed: times before 1970.
        times = struct.unpack("=qq", struct.pack("=QQ", accessed, modified))
        self._fs.utime(path, times[0] / 1e9, times[1] / 1e9)


class Mount:
    """A mounted file system; as a context manager it is unmounted at the end. Threads may share it."""

    def __init__(self, path: str, filesystem: FileSystem, threads: int, timeout: float) -> None:
        """Mounts; see `mount`."""
        self.path = path
        self.filesystem = filesystem
        encoded = os.fsencode(path)
        self._lock = threading.Lock()
        self._fd = os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
        try:
            argument = bytearray(struct.pack("=QI", int(timeout * 1e9), len(encoded)) + encoded)
            fcntl.ioctl(self._fd, _MOUNT, argument, True)
        except OSError as error:
            os.close(self._fd)
            error.filename = path
            raise
        server = _Server(self._fd, filesystem)
        self._threads = [
            threading.Thread(target=server.serve, name=f"fs {path}", daemon=True) for _ in range(max(threads, 1))
        ]
        for thread in self._threads:
            thread.start()

    def unmount(self) -> None:
        """Takes the file system away: what is still open on it fails with ENOTCONN. Again does nothing."""
        with self._lock:
            if self._fd < 0:
                return
            fd, self._fd = self._fd, -1
            fcntl.ioctl(fd, _UNMOUNT)
            for thread in self._threads:
                if thread is not threading.current_thread():
                    thread.join()
            os.close(fd)

    @property
    def is_mounted(self) -> bool:
        """Tells whether it still is."""
        return self._fd >= 0

    def __enter__(self) -> "Mount":
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Unmounts."""
        self.unmount()

    def __repr__(self) -> str:
        """Shows what is mounted where."""
        return f"<{self.filesystem!r} {'on' if self.is_mounted else 'was on'} {self.path}>"


def mount(
    path: str | os.PathLike[str], filesystem: FileSystem, *, threads: int = 1, timeout: float = 30.0
) -> Mount:
    """Covers the directory `path` with a file system written in Python; `open()`, `os` and everybody else see it.

    So many `threads` answer: with more than one the methods have to bear that. A call whose answer takes longer than
    `timeout` seconds fails with ETIMEDOUT; Ctrl-C ends it too. Raises `OSError`: ENOENT or ENOTDIR if `path` is no
    directory, EBUSY if something is mounted on it, ENODEV or ENOENT on other systems.
    """
    return Mount(os.path.realpath(path), filesystem, threads, timeout)
