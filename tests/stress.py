"""Stresses one machine for a given time: `python3 tests/stress.py [SECONDS [CPUS]]`; ends with 1 if anything broke.

`TARGET_ARCH` and the other settings of `make run` choose the build.
"""

from __future__ import annotations

import sys

from harness import images, settings
from harness.machines import Machines, Shape


def main() -> int:
    """Builds what is missing, runs `stress.everything` in a guest, and prints what each part did."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 600.0
    cpus = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    chosen = settings.read()
    images.build_images(chosen, tests=True)
    with Machines(chosen).guest(Shape(cpus=cpus)) as guest:
        # Parts stop on their own; a busy host may hold the last of their threads up.
        results = guest.call("stress.everything", seconds, timeout=seconds + 300)
    is_clean = True
    for name, result in results.items():
        errors = result.pop("errors")
        is_clean &= not errors
        print(f"{name}: {result}{f' ERRORS {errors}' if errors else ''}")
    print(f"{chosen.arch}, {cpus} CPUs, {seconds:g} s: {'clean' if is_clean else 'FAILED'}")
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
