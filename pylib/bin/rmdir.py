"""usage: rmdir DIRECTORY...

Removes empty directories.
"""

import os

from kernel.command import for_each, parse

argv: list[str]

options = parse(__doc__, argv, least=1)
for_each(options.name, options.operands, os.rmdir)
