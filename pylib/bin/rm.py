"""usage: rm [-fr] PATH...

Removes files.

  -f  say nothing about a PATH that is not there
  -r  directories with everything in them
"""

import os
import shutil

from kernel.command import CommandError, for_each, parse

argv: list[str]


def main(argv: list[str]) -> None:
    """Removes each path."""
    options = parse(__doc__, argv, flags="frR")
    is_recursive = "r" in options or "R" in options
    if not options.operands and "f" not in options:
        raise CommandError("an argument is missing; usage: rm [-fr] PATH...")

    def remove(path: str) -> None:
        try:
            if is_recursive and os.path.isdir(path) and not os.path.islink(path):
                if os.path.realpath(path) == "/":
                    raise CommandError(f"{path}: everything is there")
                shutil.rmtree(path)
            else:
                os.unlink(path)
        except FileNotFoundError:
            if "f" not in options:
                raise

    for_each(options.name, options.operands, remove)


main(argv)
