"""usage: grep [-cFilnqrv] PATTERN [FILE...]

Prints the lines of each FILE, or of what is typed or piped in, that PATTERN (a regular expression of Python) matches.

  -c  only count them      -n  with line numbers
  -F  PATTERN is plain text -q  print nothing: the status tells
  -i  ignore case          -r  all files in directories too
  -l  only names of files  -v  the lines that do not match
"""

import os
import re
from collections.abc import Iterator

from kernel.command import CommandError, for_each, open_input, parse

argv: list[str]


def files(paths: list[str], is_recursive: bool) -> Iterator[str]:
    """Yields the files that are meant, in order."""
    for path in paths:
        if is_recursive and os.path.isdir(path):
            for folder, folders, names in os.walk(path):
                folders.sort()
                yield from (os.path.join(folder, name) for name in sorted(names))
        else:
            yield path


def main(argv: list[str]) -> None:
    """Searches each file; the status is 1 if nothing matched."""
    options = parse(__doc__, argv, flags="cEFilnqrRv", least=1)
    text, *paths = options.operands
    is_recursive = "r" in options or "R" in options
    try:
        pattern = re.compile(re.escape(text) if "F" in options else text, re.IGNORECASE if "i" in options else 0)
    except re.error as error:
        raise CommandError(f"{text}: {error}") from None
    has_names = len(paths) > 1 or is_recursive
    total = 0

    def search(path: str) -> None:
        nonlocal total
        prefix = f"{path}:" if has_names else ""
        found = 0
        with open_input(path) as file:
            for number, data in enumerate(file, 1):
                line = data.decode(errors="replace").removesuffix("\n")
                if (pattern.search(line) is None) != ("v" in options):
                    continue
                found += 1
                if not {"c", "l", "q"} & options.flags:
                    print(f"{prefix}{number}:{line}" if "n" in options else f"{prefix}{line}")
        total += found
        if "c" in options and "q" not in options:
            print(f"{prefix}{found}")
        elif "l" in options and found and "q" not in options:
            print(path)

    for_each(options.name, files(paths, is_recursive) if paths else ["." if is_recursive else "-"], search)
    if not total:
        raise SystemExit(1)


main(argv)
