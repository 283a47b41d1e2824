"""usage: touch [-c] FILE...

Sets the time of last change to now; makes files that are not there.

  -c  make none
"""

import os

from kernel.command import for_each, parse

argv: list[str]

options = parse(__doc__, argv, flags="c", least=1)


def touch(path: str) -> None:
    """Changes or makes one file."""
    try:
        os.utime(path)
    except FileNotFoundError:
        if "c" not in options:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666))


for_each(options.name, options.operands, touch)
