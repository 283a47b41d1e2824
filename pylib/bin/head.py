"""usage: head [-n LINES | -c BYTES] [FILE...]

Prints the first 10 lines of each FILE, or of what is typed or piped in.

  -n LINES  so many lines; -5 is -n 5
  -c BYTES  so many bytes
"""

import itertools
from typing import BinaryIO

from kernel.command import for_each_excerpt, parse_excerpt, write_bytes

argv: list[str]


def main(argv: list[str]) -> None:
    """Prints the start of each file."""
    options = parse_excerpt(__doc__, argv)
    lines = options.number("n", 10)
    count_bytes = options.number("c", 0)

    def show(file: BinaryIO) -> None:
        if "c" in options:
            write_bytes(file.read(count_bytes))
        else:
            for line in itertools.islice(file, lines):
                write_bytes(line)

    for_each_excerpt(options, show)


main(argv)
