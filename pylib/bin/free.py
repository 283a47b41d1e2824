"""usage: free [-H]

Prints how much memory there is, is in use and is free, in KiB. `available` is what programs may still be given.

  -H  as 1.5K, 23M
"""

from kernel.command import human_size, parse

argv: list[str]


def main(argv: list[str]) -> None:
    """Prints a table."""
    options = parse(__doc__, argv, flags="H", most=0)
    with open("/proc/meminfo", encoding="ascii") as file:
        kib = {name: int(value.split()[0]) for name, _, value in (line.partition(":") for line in file)}
    total, free, available = kib["MemTotal"], kib["MemFree"], kib["MemAvailable"]
    print(f"{'':7}{'total':>12}{'used':>12}{'free':>12}{'available':>12}")
    row = (total, total - free, free, available)
    print(f"{'Mem:':7}" + "".join(f"{human_size(value << 10) if 'H' in options else value:>12}" for value in row))


main(argv)
