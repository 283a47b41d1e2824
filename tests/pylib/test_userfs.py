"""The Python half of file systems written in Python; a pair of sockets is the kernel."""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
import threading
from collections.abc import Iterator

import pytest
from fake_hal import FakeHal

from kernel.fs import Attributes, DictFileSystem, FileSystem, _userfs

STAT, LIST, READ, WRITE, TRUNCATE, CREATE, MKDIR, UNLINK, RMDIR, RENAME = range(1, 11)
SYMLINK, READLINK, CHMOD, UTIME, FSYNC, STATVFS = range(11, 17)


class Kernel:
    """Asks a file system as the kernel does."""

    def __init__(self, filesystem: FileSystem) -> None:
        # Like the device, these keep the bounds of messages.
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._thread = threading.Thread(target=_userfs._Server(self._theirs.fileno(), filesystem).serve)
        self._thread.start()
        self._number = 0

    def ask(self, operation: int, path: str = "", first: int = 0, second: int = 0, data: bytes = b"") -> bytes | int:
        """Returns the data of the reply, or the error number."""
        self._number += 1
        name = os.fsencode(path)
        self._ours.send(struct.pack("=QIIQQ", self._number, operation, len(name), first, second) + name + data)
        reply = self._ours.recv(1 << 18)
        number, problem, length = struct.unpack_from("=QiI", reply)
        assert (number, length) == (self._number, len(reply) - 16)
        return problem or reply[16:]

    def stat(self, path: str) -> tuple[int, ...] | int:
        """Returns mode, links, size and time of change of a path, or the error number."""
        reply = self.ask(STAT, path)
        return reply if isinstance(reply, int) else struct.unpack("=IIQq", reply)

    def close(self) -> None:
        """Ends the server as unmounting does: it reads the end."""
        self._ours.close()
        self._thread.join(10)
        self._theirs.close()


@pytest.fixture
def files() -> dict[str, object]:
    """What is served."""
    return {"hello": "world\n", "d": {"empty": b"", "sub": {}}}


@pytest.fixture
def kernel(files: dict[str, object]) -> Iterator[Kernel]:
    """Asks a dictionary."""
    asking = Kernel(DictFileSystem(files))
    yield asking
    asking.close()


def test_reading(kernel: Kernel) -> None:
    mode, links, size, modified = kernel.stat("hello")  # type: ignore[misc]
    assert (mode, links, size) == (stat.S_IFREG | 0o644, 1, 6)
    assert modified > 1e18
    assert kernel.stat("")[0] == stat.S_IFDIR | 0o755  # type: ignore[index]
    assert kernel.ask(READ, "hello", 1, 3) == b"orl"
    assert kernel.ask(READ, "hello", 6, 100) == b""
    assert kernel.stat("nope") == kernel.stat("d/nope") == errno.ENOENT
    assert kernel.stat("hello/x") == errno.ENOTDIR
    assert kernel.ask(READ, "d", 0, 10) == errno.EISDIR


def test_listing(kernel: Kernel) -> None:
    listed = kernel.ask(LIST, "d")
    assert listed == b"".join(
        struct.pack("=II", mode, len(name)) + name
        for mode, name in ((stat.S_IFREG | 0o644, b"empty"), (stat.S_IFDIR | 0o755, b"sub"))
    )
    assert kernel.ask(LIST, "hello") == errno.ENOTDIR


def test_writing_changes_the_dictionary(kernel: Kernel, files: dict[str, object]) -> None:
    assert kernel.ask(CREATE, "d/new", 0o644) == b""
    assert kernel.ask(WRITE, "d/new", 3, data=b"abc") == struct.pack("=Q", 3)
    assert kernel.ask(WRITE, "d/new", 4, data=b"X") == struct.pack("=Q", 1)
    assert files["d"] == {"empty": b"", "sub": {}, "new": b"\0\0\0aXc"}
    assert kernel.ask(TRUNCATE, "d/new", 4) == kernel.ask(TRUNCATE, "hello", 8) == b""
    assert kernel.ask(READ, "d/new", 0, 9) == b"\0\0\0a"
    assert files["hello"] == b"world\n\0\0"
    assert kernel.ask(MKDIR, "e", 0o755) == b""
    assert files["e"] == {}
    files["live"] = b"seen"
    assert kernel.ask(READ, "live", 0, 9) == b"seen"


def test_removing_and_renaming(kernel: Kernel, files: dict[str, object]) -> None:
    assert kernel.ask(RMDIR, "d") == errno.ENOTEMPTY
    assert kernel.ask(RENAME, "hello", data=b"d") == errno.ENOTEMPTY
    assert kernel.ask(RENAME, "hello", data=b"d/sub") == errno.EISDIR
    assert kernel.ask(RENAME, "d/sub", data=b"hello") == errno.ENOTDIR
    assert kernel.ask(RENAME, "hello", 2, data=b"x") == errno.EINVAL
    assert kernel.ask(RENAME, "hello", data=b"hello") == b""
    assert kernel.ask(RENAME, "hello", data=b"d/empty") == b""
    assert kernel.ask(RMDIR, "d/sub") == kernel.ask(UNLINK, "d/empty") == kernel.ask(RMDIR, "d") == b""
    assert files == {}


def test_what_a_file_system_does_not_do_is_an_error(kernel: Kernel) -> None:
    assert kernel.ask(SYMLINK, "x", data=b"y") == errno.EPERM
    assert kernel.ask(READLINK, "hello") == errno.EINVAL
    assert kernel.ask(FSYNC, "hello") == b""
    assert kernel.ask(STATVFS) == bytes(16)
    assert kernel.ask(99) == errno.ENOSYS


def test_times(kernel: Kernel) -> None:
    before_1970 = (-1_500_000_000) & (1 << 64) - 1
    assert kernel.ask(UTIME, "hello", 0, before_1970) == b""
    assert kernel.stat("hello")[3] == -1_500_000_000  # type: ignore[index]


def test_permissions_and_times_move_along(kernel: Kernel) -> None:
    assert kernel.ask(CHMOD, "d/empty", 0o600) == kernel.ask(UTIME, "d/empty", 0, 2_000_000_000) == b""
    assert kernel.ask(RENAME, "d", data=b"e") == b""
    assert kernel.stat("e/empty") == (stat.S_IFREG | 0o600, 1, 0, 2_000_000_000)
    assert kernel.ask(UNLINK, "e/empty") == kernel.ask(CREATE, "e/empty", 0o640) == b""
    assert kernel.stat("e/empty")[0] == stat.S_IFREG | 0o640  # type: ignore[index]


class Broken(FileSystem):
    """Raises what the name says, and reads too much."""

    def stat(self, path: str) -> Attributes:
        if path == "bug":
            raise ZeroDivisionError("no way")
        if path == "odd":
            raise OSError("no number")
        raise TimeoutError(errno.ETIMEDOUT, "late")

    def read(self, path: str, offset: int, size: int) -> bytes:
        return b"x" * (size + 5)


def test_exceptions_become_error_numbers_and_bugs_are_logged(hal: FakeHal) -> None:
    kernel = Kernel(Broken())
    try:
        assert kernel.stat("late") == errno.ETIMEDOUT
        assert kernel.stat("odd") == errno.EIO
        assert hal.lines == []
        assert kernel.stat("bug") == errno.EIO
        assert hal.lines[-1] == (3, "kernel.fs", "ZeroDivisionError: no way")
        assert kernel.ask(READ, "any", 0, 4) == b"xxxx"
        assert [kernel.ask(operation, "any") for operation in (WRITE, CREATE, MKDIR, UNLINK)] == [errno.EROFS] * 4
    finally:
        kernel.close()
