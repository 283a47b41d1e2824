"""usage: echo [-n] [WORD...]

Prints its words.

  -n  without the end of the line
"""

argv: list[str]

words = argv[1:]
if words in (["-h"], ["--help"]):
    print((__doc__ or "").strip())
else:
    is_open = words[:1] == ["-n"]
    print(*words[is_open:], end="" if is_open else "\n")
