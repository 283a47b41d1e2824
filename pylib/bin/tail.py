"""usage: tail [-n LINES | -c BYTES] [FILE...]

Prints the last 10 lines of each FILE, or of what is typed or piped in.

  -n LINES  so many lines; -5 is -n 5, and -n +5 everything from line 5 on
  -c BYTES  so many bytes
"""

from collections import deque
from typing import BinaryIO

from kernel.command import for_each_excerpt, parse_excerpt, write_bytes

argv: list[str]


def main(argv: list[str]) -> None:
    """Prints the end of each file."""
    options = parse_excerpt(__doc__, argv)
    is_from_start = options.values.get("n", "").startswith("+")
    if is_from_start:
        options.values["n"] = options.values["n"][1:]
    lines = options.number("n", 10)
    count_bytes = options.number("c", 0)

    def show(file: BinaryIO) -> None:
        if "c" in options:
            data = file.read()
            write_bytes(data[len(data) - min(count_bytes, len(data)) :])
        elif is_from_start:
            for number, line in enumerate(file, 1):
                if number >= lines:
                    write_bytes(line)
        else:
            write_bytes(b"".join(deque(file, maxlen=lines)))

    for_each_excerpt(options, show)


main(argv)
