"""usage: pwd

Prints the directory that the session is in.
"""

import os

from kernel.command import parse

argv: list[str]

parse(__doc__, argv, most=0)
print(os.getcwd())
