"""Compiles a tree to `.pyc` files; run by the CPython that the recipe built for this machine.

usage: compile_pyc.py FOLDER PLACE JOBS strict|tolerant checked|unchecked

PLACE is where the guest sees FOLDER: it is the file name that tracebacks show. A checked `.pyc` file holds a
hash of its source, which each import compares; an unchecked one is believed.
"""

from __future__ import annotations

import compileall
import py_compile
import sys


def main() -> int:
    """Returns 0 unless a module does not compile and `strict` was asked for."""
    folder, place, jobs, mode, checking = sys.argv[1:]
    good = compileall.compile_dir(
        folder,
        maxlevels=100,
        stripdir=folder,
        prependdir=place,
        force=True,
        quiet=1 if mode == "strict" else 2,
        workers=int(jobs),
        invalidation_mode=py_compile.PycInvalidationMode[f"{checking.upper()}_HASH"],
    )
    return 0 if good or mode == "tolerant" else 1


if __name__ == "__main__":
    sys.exit(main())
