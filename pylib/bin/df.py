"""usage: df [-H] [PATH...]

Prints size and free space of each mounted file system, or of those that the PATHs are in, in KiB.

  -H  as 1.5K, 23M
"""

import os

from kernel.command import for_each, human_size, parse

argv: list[str]


def mounts() -> list[tuple[str, str]]:
    """Returns type and path of each mounted file system."""
    with open("/proc/mounts", encoding="utf-8") as file:
        rows = [line.split() for line in file]
    return [(row[2], row[1].encode().decode("unicode_escape")) for row in rows]


def main(argv: list[str]) -> None:
    """Prints a table."""
    options = parse(__doc__, argv, flags="H")
    is_human = "H" in options
    print(f"{'TYPE':10} {'SIZE' if is_human else '1K-BLOCKS':>10} {'USED':>10} {'FREE':>10} USE% MOUNTED ON")

    def show(kind: str, path: str) -> None:
        numbers = os.statvfs(path)
        size, free = numbers.f_blocks * numbers.f_frsize, numbers.f_bavail * numbers.f_frsize
        used = size - numbers.f_bfree * numbers.f_frsize
        texts = [human_size(value) if is_human else str(value >> 10) for value in (size, used, free)]
        part = f"{-(-100 * used // (used + free))}%" if used + free else "-"
        print(f"{kind:10} {texts[0]:>10} {texts[1]:>10} {texts[2]:>10} {part:>4} {path}")

    def show_one(path: str) -> None:
        device = os.stat(path).st_dev
        found = [(kind, place) for kind, place in mounts() if os.stat(place).st_dev == device]
        show(*(found[-1] if found else ("-", path)))

    if options.operands:
        for_each(options.name, options.operands, show_one)
        return
    for kind, path in mounts():
        show(kind, path)


main(argv)
