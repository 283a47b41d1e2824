"""`make stress`: runs every part of `tests/guest/stress.py` at the same time in a machine of each architecture.

Ends with 1 if anything was lost, torn or stuck. `--seed` makes the rounds of an earlier run again, `--only` some of
its parts. `TARGET_ARCH` leaves one architecture, the other settings of `make run` choose the build.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import time

from harness import images, settings
from harness.machines import Machines, Shape
from harness.paths import BUILD
from harness.serial import ConsoleError

#: Seconds that a guest may take beyond what was asked for: a round that has begun is ended.
GRACE = 600


def stress(chosen: settings.Settings, seconds: float, cpus: int, seed: int, only: list[str] | None) -> dict[str, object]:
    """Runs one machine; returns what its parts did, or how it ended."""
    with Machines(chosen).guest(Shape(cpus=cpus)) as guest:
        try:
            parts = guest.call("stress.everything", seconds, seed, only, timeout=seconds + GRACE)
        except ConsoleError as error:
            # A machine that is stuck panics: its report is the end of the console.
            return {"ended": str(error)}
    return {"parts": parts}


def main() -> int:
    """Runs what the arguments ask for and prints what each part did; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make stress", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long, for each architecture (default 600)")
    parser.add_argument("--cpus", type=int, default=4, help="virtual CPUs (default 4)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="of an earlier run")
    parser.add_argument("--only", action="append", metavar="PART", help="this part; may be given again")
    arguments = parser.parse_args()
    results = BUILD / "stress"
    results.mkdir(parents=True, exist_ok=True)
    verdicts = []
    for chosen in settings.tested():
        images.build_images(chosen, tests=True)
        print(f"{chosen.config}: {arguments.cpus} CPUs, {arguments.seconds:g} s, seed {arguments.seed}", flush=True)
        began = time.monotonic()
        result = stress(chosen, arguments.seconds, arguments.cpus, arguments.seed, arguments.only)
        is_clean = "ended" not in result
        if not is_clean:
            print(result["ended"])
        for name, part in result.get("parts", {}).items():
            print(f"  {name:<18} {part['rounds']:>6} rounds {part['checks']:>10} checks, longest {part['longest']:.1f} s")
            if part["error"]:
                is_clean = False
                print(part["error"])
        about = {**vars(arguments), "took": round(time.monotonic() - began), "is_clean": is_clean}
        (results / f"{chosen.config}.json").write_text(json.dumps({**about, **result}, indent=1) + "\n")
        verdicts.append(f"{chosen.config} {'clean' if is_clean else 'FAILED'} after {about['took']} s")
        is_all_clean = is_clean and all("clean" in verdict for verdict in verdicts)
    print(f"stress, seed {arguments.seed}: {', '.join(verdicts)}")
    return 0 if is_all_clean else 1


if __name__ == "__main__":
    sys.exit(main())
