"""usage: tail [-n LINES | -c BYTES] [FILE...]

Prints the last 10 lines of each FILE, or of what is typed or piped in.

  -n LINES  so many lines; -5 is -n 5, and -n +5 everything from line 5 on
  -c BYTES  so many bytes
"""

import re
from collections import deque

from kernel.command import for_each, open_input, parse, write_bytes

argv: list[str]


def main(argv: list[str]) -> None:
    """Prints the end of each file."""
    words = [re.sub(r"^-(\d+)$", r"-n\1", word) for word in argv]
    options = parse(__doc__, words, values="nc")
    paths = options.operands or ["-"]
    is_from_start = options.values.get("n", "").startswith("+")
    if is_from_start:
        options.values["n"] = options.values["n"][1:]
    lines = options.number("n", 10)
    count_bytes = options.number("c", 0)
    state = {"is_first": True}

    def show(path: str) -> None:
        with open_input(path) as file:
            if len(paths) > 1:
                print("" if state["is_first"] else "\n", f"==> {path} <==", sep="")
            state["is_first"] = False
            if "c" in options:
                data = file.read()
                write_bytes(data[len(data) - min(count_bytes, len(data)) :])
            elif is_from_start:
                for number, line in enumerate(file, 1):
                    if number >= lines:
                        write_bytes(line)
            else:
                write_bytes(b"".join(deque(file, maxlen=lines)))

    for_each(options.name, paths, show)


main(argv)
