"""usage: cd [DIRECTORY]

Moves the session to DIRECTORY, or to / if none is named.
"""

import os

from kernel.command import parse

argv: list[str]

options = parse(__doc__, argv, most=1)
os.chdir(options.operands[0] if options.operands else "/")
# The session moves where this says.
cwd = os.getcwd()
