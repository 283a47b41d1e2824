"""Shows the figures: a table and JSON."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import subprocess
from dataclasses import asdict
from pathlib import Path

from bench.measure import Series, System
from harness.paths import REPOSITORY
from harness.qemu import BINARIES, CPUS, MACHINES, accelerator
from harness.settings import Settings

#: Units in which more is better.
MORE_IS_BETTER = {"x", "MiB/s", "1/s"}


def machine(settings: Settings) -> dict[str, str]:
    """Returns what the figures depend on beside the two systems."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    ).stdout.strip()
    version = subprocess.run([BINARIES[settings.arch], "--version"], capture_output=True, text=True, check=False).stdout
    return {
        "host": f"{platform.system()} {platform.release()}, {model[1] if model else platform.machine()}",
        "host CPUs": str(len(os.sched_getaffinity(0))),
        "host load at the start": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "QEMU": version.splitlines()[0] if version else "unknown",
        "machine": f"{settings.arch}, {MACHINES[settings.arch]}, -cpu {CPUS[settings.arch]}, {accelerator(settings)}",
        "commit": commit or "unknown",
    }


def summary(series: Series) -> str:
    """Returns the median and the spread of a series."""
    middle = statistics.median(series.values)
    return f"{number(middle)} ({number(min(series.values))} to {number(max(series.values))})"


def number(value: float) -> str:
    """Returns three significant digits."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"


def table(systems: list[System]) -> str:
    """Returns the table in Markdown: a row per figure, a column per system, the ratio of the first two."""
    names = list(dict.fromkeys(name for system in systems for name in system.figures))
    head = ["figure", "unit", *(system.name for system in systems)]
    if len(systems) > 1:
        head.append(f"{systems[0].name} is ... times as good as {systems[1].name}")
    rows = [head]
    for name in names:
        found = [system.figures.get(name) for system in systems]
        unit = next(series.unit for series in found if series)
        row = [f"`{name}`", unit, *(summary(series) if series else "-" for series in found)]
        if len(systems) > 1:
            row.append(verdict(found[0], found[1]))
        rows.append(row)
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join(f"| {' | '.join(map(str.ljust, row, widths))} |" for row in rows)


def verdict(ours: Series | None, theirs: Series | None) -> str:
    """Returns how many times as good ours is."""
    if ours is None or theirs is None:
        return ""
    a, b = statistics.median(ours.values), statistics.median(theirs.values)
    if not a or not b:
        return ""
    ratio = a / b if ours.unit in MORE_IS_BETTER else b / a
    return f"{ratio:.2f}"


def write(systems: list[System], about: dict[str, str], folder: Path) -> str:
    """Writes results.json and results.md; returns the text."""
    folder.mkdir(parents=True, exist_ok=True)
    said = [f"- {key}: {value}" for key, value in about.items()]
    text = "\n".join([*said, "", "Median (least to greatest):", "", table(systems), ""])
    (folder / "results.md").write_text(text)
    figures = {system.name: {name: asdict(series) for name, series in system.figures.items()} for system in systems}
    (folder / "results.json").write_text(json.dumps({"about": about, "figures": figures}, indent=1) + "\n")
    return text
