"""usage: cat [-n] [FILE...]

Prints each FILE, or what is typed or piped in; `-` stands for that too.

  -n  number the lines
"""

from kernel.command import for_each, open_input, parse, write_bytes

argv: list[str]

CHUNK = 1 << 16


def main(argv: list[str]) -> None:
    """Copies files to standard output."""
    options = parse(__doc__, argv, flags="n")
    numbered = 0

    def show(path: str) -> None:
        nonlocal numbered
        with open_input(path) as file:
            if "n" in options:
                for line in file:
                    numbered += 1
                    write_bytes(b"%6d\t%b" % (numbered, line))
                return
            while data := file.read1(CHUNK) if hasattr(file, "read1") else file.read(CHUNK):
                write_bytes(data)

    for_each(options.name, options.operands or ["-"], show)


main(argv)
