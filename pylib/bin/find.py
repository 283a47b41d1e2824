"""usage: find [PATH...] [-name PATTERN] [-type f|d|l] [-maxdepth N]

Prints the paths of everything in each PATH (here if none is named), the PATH first.

  -name PATTERN  whose name matches, with * ? [abc]
  -type f|d|l    files, directories or symbolic links alone
  -maxdepth N    at most N directories deep
"""

import fnmatch
import os
import stat
from collections.abc import Callable

from kernel.command import CommandError, for_each, parse

argv: list[str]

TYPES: dict[str, Callable[[int], bool]] = {"f": stat.S_ISREG, "d": stat.S_ISDIR, "l": stat.S_ISLNK}


def read_tests(words: list[str]) -> dict[str, str]:
    """Reads what follows the paths; raises `CommandError` if it makes no sense."""
    tests: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        value = next(rest, None)
        if word not in ("-name", "-type", "-maxdepth"):
            raise CommandError(f"{word}: no such test (try `find --help`)")
        if value is None:
            raise CommandError(f"{word}: its value is missing")
        if (word == "-type" and value not in TYPES) or (word == "-maxdepth" and not value.isdecimal()):
            raise CommandError(f"{word}: {value}: no such value")
        tests[word] = value
    return tests


def main(argv: list[str]) -> None:
    """Walks each path."""
    words = argv[1:]
    first = next((n for n, word in enumerate(words) if word.startswith("-")), len(words))
    if words[first:] in (["-h"], ["--help"]):
        parse(__doc__, [argv[0], "--help"])
    paths, tests = words[:first] or ["."], read_tests(words[first:])
    deepest = int(tests.get("-maxdepth", 1 << 30))

    def visit(path: str, depth: int) -> None:
        mode = os.lstat(path).st_mode
        name = os.path.basename(path.rstrip("/")) or path
        if fnmatch.fnmatchcase(name, tests.get("-name", "*")) and (
            "-type" not in tests or TYPES[tests["-type"]](mode)
        ):
            print(path)
        if stat.S_ISDIR(mode) and depth < deepest:
            for inside in sorted(os.listdir(path)):
                try:
                    visit(os.path.join(path, inside), depth + 1)
                except FileNotFoundError:
                    # It went while we looked.
                    continue

    for_each(os.path.basename(argv[0]), paths, lambda path: visit(path, 0))


main(argv)
