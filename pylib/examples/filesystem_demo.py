"""A file system written in Python: its files are the squares of their names."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable

from kernel.fs import Attributes, FileSystem, mount


class Squares(FileSystem):
    """One file for each number; those up to 5 are listed."""

    def content(self, path: str) -> bytes:
        """Returns what the file at `path` holds; raises `FileNotFoundError` if it is no number."""
        if not path.isdecimal():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return f"{int(path) ** 2}\n".encode()

    def stat(self, path: str) -> Attributes:
        """Says that the root is a directory and a number a file."""
        return Attributes.file(len(self.content(path)), 0o444) if path else Attributes.directory()

    def listdir(self, path: str) -> Iterable[str]:
        """Returns some of the names."""
        return map(str, range(6))

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Returns part of a file."""
        return self.content(path)[offset : offset + size]


def main() -> None:
    """Mounts it and uses it as anybody would."""
    with tempfile.TemporaryDirectory() as folder:
        with mount(folder, Squares()):
            print(f"names: {sorted(os.listdir(folder))}")
            for name in ("3", "12345678901234567890"):
                with open(f"{folder}/{name}", encoding="ascii") as file:
                    print(f"{name}: {file.read().strip()}")
            try:
                os.stat(f"{folder}/word")
            except FileNotFoundError as error:
                print(f"error: {error.strerror}")
            try:
                os.unlink(f"{folder}/3")
            except OSError as error:
                print(f"error: {error.strerror}")
        print(f"unmounted: {os.listdir(folder)}")


if __name__ in ("__main__", "<run_path>"):
    main()
