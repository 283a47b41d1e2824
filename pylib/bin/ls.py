"""usage: ls [-1adhlr] [PATH...]

Lists directories, here if none is named: one name per line, directories first and with a slash.

  -1  one name per line (as always)
  -a  names that begin with a dot too
  -d  directories themselves, not what is in them
  -h  with -l: sizes as 1.5K, 23M
  -l  mode, size in bytes and time of last change before each name
  -r  the other way round
"""

import os
import stat
import time
from dataclasses import dataclass

from kernel.command import Options, for_each, human_size, parse

argv: list[str]


@dataclass(frozen=True)
class Entry:
    """One name and what it stands for."""

    name: str
    path: str
    status: os.stat_result
    is_directory: bool

    def label(self, is_long: bool) -> str:
        """Returns the name as it is shown."""
        if is_long and stat.S_ISLNK(self.status.st_mode):
            return f"{self.name} -> {os.readlink(self.path)}"
        return self.name + "/" * (self.is_directory and not self.name.endswith("/"))


def entry(name: str, path: str) -> Entry:
    """Looks a path up; raises `OSError` if nothing is there."""
    return Entry(name, path, os.lstat(path), os.path.isdir(path))


def show(entries: list[Entry], options: Options) -> None:
    """Prints entries in order."""
    entries = sorted(entries, key=lambda one: (not one.is_directory, one.name), reverse="r" in options)
    if "l" not in options:
        for one in entries:
            print(one.label(False))
        return
    sizes = [human_size(one.status.st_size) if "h" in options else str(one.status.st_size) for one in entries]
    width = max(map(len, sizes), default=0)
    for one, size in zip(entries, sizes, strict=True):
        changed = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.status.st_mtime))
        print(stat.filemode(one.status.st_mode), size.rjust(width), changed, one.label(True))


def main(argv: list[str]) -> None:
    """Lists files that are named, then directories."""
    options = parse(__doc__, argv, flags="1adhlr")
    paths = options.operands or ["."]
    state = {"is_first": True}

    def show_path(path: str) -> None:
        found = entry(path, path)
        if not found.is_directory or "d" in options:
            show([found], options)
        else:
            names = [name for name in os.listdir(path) if "a" in options or not name.startswith(".")]
            if len(paths) > 1:
                print("" if state["is_first"] else "\n", f"{path}:", sep="")
            inside = []
            for name in names:
                try:
                    inside.append(entry(name, os.path.join(path, name)))
                except FileNotFoundError:
                    # It went while we looked.
                    continue
            show(inside, options)
        state["is_first"] = False

    for_each(options.name, paths, show_path)


main(argv)
