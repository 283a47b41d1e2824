"""usage: ed [-s] [-p PROMPT] [FILE]

Edits a file line by line, as GNU ed does. `h` explains the last `?`, `H` explains each; `q` quits.

  -s         do not print how many bytes were read and written
  -p PROMPT  print PROMPT before each command
"""

import sys

from kernel.command import parse
from kernel.ed import Editor

argv: list[str]

options = parse(__doc__, argv, flags="s", values="p", most=1)
editor = Editor(sys.stdin, sys.stdout, prompt=options.values.get("p", ""), is_silent="s" in options)
status = editor.run(options.operands[0] if options.operands else None)
if status:
    raise SystemExit(status)
