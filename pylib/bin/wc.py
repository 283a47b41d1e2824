"""usage: wc [-clw] [FILE...]

Counts lines, words and bytes of each FILE, or of what is typed or piped in.

  -l  lines alone   -w  words alone   -c  bytes alone
"""

from kernel.command import for_each, open_input, parse

argv: list[str]


def main(argv: list[str]) -> None:
    """Counts each file, and all together if there are several."""
    options = parse(__doc__, argv, flags="clw")
    wanted = [n for n, letter in enumerate("lwc") if letter in options] or [0, 1, 2]
    totals = [0, 0, 0]

    def show(counts: list[int], path: str) -> None:
        print(*(f"{counts[n]:7}" for n in wanted), *([path] if path != "-" else []))

    def count(path: str) -> None:
        counts = [0, 0, 0]
        with open_input(path) as file:
            for line in file:
                counts[0] += line.endswith(b"\n")
                counts[1] += len(line.split())
                counts[2] += len(line)
        for n, value in enumerate(counts):
            totals[n] += value
        show(counts, path)

    try:
        for_each(options.name, options.operands or ["-"], count)
    finally:
        if len(options.operands) > 1:
            show(totals, "total")


main(argv)
