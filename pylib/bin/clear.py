"""usage: clear

Clears the terminal.
"""

from kernel.command import parse

argv: list[str]

parse(__doc__, argv, most=0)
print("\x1b[H\x1b[2J\x1b[3J", end="", flush=True)
