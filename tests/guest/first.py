"""The first statement in Python, for the time from power on to it."""

import os

os.write(1, b"@first\n")
