"""usage: head [-n LINES | -c BYTES] [FILE...]

Prints the first 10 lines of each FILE, or of what is typed or piped in.

  -n LINES  so many lines; -5 is -n 5
  -c BYTES  so many bytes
"""

import itertools
import re

from kernel.command import for_each, open_input, parse, write_bytes

argv: list[str]


def main(argv: list[str]) -> None:
    """Prints the start of each file."""
    words = [re.sub(r"^-(\d+)$", r"-n\1", word) for word in argv]
    options = parse(__doc__, words, values="nc")
    paths = options.operands or ["-"]
    lines = options.number("n", 10)
    count_bytes = options.number("c", 0)
    state = {"is_first": True}

    def show(path: str) -> None:
        with open_input(path) as file:
            if len(paths) > 1:
                print("" if state["is_first"] else "\n", f"==> {path} <==", sep="")
            state["is_first"] = False
            if "c" in options:
                write_bytes(file.read(count_bytes))
            else:
                for line in itertools.islice(file, lines):
                    write_bytes(line)

    for_each(options.name, paths, show)


main(argv)
