"""`make bench`: boots PythonOS and Linux in turn, measures both, prints the table.

Options: `--boots N` and `--suites N` say how often each system is booted for the time to the
first statement and for the other figures; those of the network are taken once in each of as many
boots again. Beside the two stand Linux as it comes, without options on its command line, and our build with the GIL;
`--systems` picks. Names of figures after the options take only those.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from functools import partial
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests")]

from bench import linux, plots, report
from bench.measure import System, boot, network_suite, suite
from bench.peer import Peer
from harness import images, qemu, settings
from harness.paths import BUILD
from harness.progress import StepFailed

OURS, LINUX, UNTUNED, GIL = SYSTEMS = ("PythonOS", "Linux", "Linux untuned", "PythonOS with the GIL")
MEMORY = "1G"
#: CPUs of the machines whose boots are measured, and of those that take the other figures.
BOOT_CPUS = (1, 2, 4)
SUITE_CPUS = (2, 4)
#: CPUs of those that the network is measured with.
NETWORK_CPUS = (1, 2)


def main() -> int:
    """Runs the benchmarks; returns the exit status."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--boots", type=int, default=5)
    parser.add_argument("--suites", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), help="all four unless told")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    try:
        chosen = settings.read()
        systems = _systems(chosen, arguments.systems)
    except (settings.BadSetting, StepFailed) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2

    about = {**report.machine(chosen), "memory": MEMORY, "threads": "free" if chosen.free_threading else "GIL"}
    about |= {system.name: system.about for system in systems if system.about}
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {what}", file=sys.stderr, flush=True)

    network = [name for name in arguments.names if name.startswith("net_")]
    plain = [name for name in arguments.names if name not in network]
    # In turn, so that a change of the host's speed meets both.
    for number in range(arguments.boots):
        for cpus in BOOT_CPUS:
            for system in systems:
                say(f"boot {number + 1}/{arguments.boots}: {system.name}, {cpus} CPUs")
                boot(system, cpus, MEMORY)
    for number in range(arguments.suites if plain or not network else 0):
        for cpus in SUITE_CPUS:
            names = plain or ([] if cpus == 2 else ["memory_used", *SCALING])
            # The others are measured once: with two CPUs.
            for system in systems if cpus == 2 or plain else systems[:2]:
                say(f"figures {number + 1}/{arguments.suites}: {system.name}, {cpus} CPUs")
                suite(system, cpus, MEMORY, arguments.repeats, names)
    with Peer() as peer:
        for number in range(arguments.suites if network or not plain else 0):
            for cpus in NETWORK_CPUS:
                for system in systems[:2]:
                    say(f"network {number + 1}/{arguments.suites}: {system.name}, {cpus} CPUs")
                    network_suite(system, cpus, MEMORY, peer.port, 1, network)
    results = linux.results(chosen)
    print(report.write(systems, about, results))
    plots.draw(systems, about, results)
    print(f"written to {results.relative_to(BUILD.parent)}/")
    return 0


def _systems(chosen: settings.Settings, names: list[str]) -> list[System]:
    """Builds what the systems of these names boot; returns them in the order of `SYSTEMS`."""
    found: list[System] = []
    if OURS in names:
        found.append(_ours(OURS, chosen))
    reference = linux.prepare(chosen) if {LINUX, UNTUNED} & {*names} else None
    for name, is_tuned in ((LINUX, True), (UNTUNED, False)):
        if reference is not None and name in names:
            words = [*reference.options, *(reference.tuning if is_tuned else ())]
            command = partial(reference.command, chosen, is_tuned=is_tuned)
            found.append(System(name, command, f"{reference.version}, {' '.join(words)}"))
    if GIL in names and chosen.free_threading:
        found.append(_ours(GIL, dataclasses.replace(chosen, free_threading=False)))
    return found


def _ours(name: str, chosen: settings.Settings) -> System:
    images.build_images(chosen, tests=False)

    def command(cpus: int, memory: str, argv: list[str], has_network: bool) -> list[str]:
        forwards: dict[int, int] | None = {} if has_network else None
        return qemu.command(chosen, cpus=cpus, memory=memory, python_argv=argv, tests=False, forwards=forwards)

    return System(name, command)


KINDS = ("primes", "arithmetic", "mandelbrot", "n_queens", "word_count", "k_means")
#: The figures that more than two CPUs are measured by.
SCALING = [f"speed_up_{count}_{kind}" for count in (2, 4) for kind in KINDS]


if __name__ == "__main__":
    sys.exit(main())
