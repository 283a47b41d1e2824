"""`python -m kernel`: the session on the machine's console."""

from kernel._console import main

if __name__ == "__main__":
    raise SystemExit(main())
