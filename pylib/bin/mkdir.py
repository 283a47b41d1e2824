"""usage: mkdir [-p] DIRECTORY...

Makes directories.

  -p  those above it too, and no error if it is there
"""

import os

from kernel.command import for_each, parse

argv: list[str]

options = parse(__doc__, argv, flags="p", least=1)
for_each(options.name, options.operands, lambda path: os.makedirs(path, exist_ok=True) if "p" in options else os.mkdir(path))
