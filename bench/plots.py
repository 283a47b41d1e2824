"""Draws the figures with matplotlib: scaling curves, and bars with a unit each."""

from __future__ import annotations

import re
import statistics
import textwrap
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot
from matplotlib.axes import Axes

from bench.measure import Series, System

SPEED_UP = re.compile(r"speed_up_(\d+)_(\w+?)(?:_(\d+)_cpus)?")


def draw(systems: list[System], about: dict[str, str], folder: Path) -> None:
    """Writes `scaling.png` and a picture per unit, each with what `about` says below it."""
    caption = textwrap.fill("; ".join(f"{key}: {value}" for key, value in about.items()), 150)
    _scaling(systems, caption, folder / "scaling.png")
    units = dict.fromkeys(series.unit for system in systems for series in system.figures.values())
    for unit in units:
        if unit != "x":
            _bars(systems, unit, caption, folder / f"{unit.replace('/', ' per ')}.png")


def curves(system: System) -> dict[str, dict[int, Series]]:
    """Returns the speed-ups by program and number of threads; of several machines the one with most CPUs counts."""
    found: dict[str, dict[int, tuple[int, Series]]] = {}
    for name, series in system.figures.items():
        if match := SPEED_UP.fullmatch(name):
            threads, program, cpus = int(match[1]), match[2], int(match[3] or 2)
            points = found.setdefault(program, {})
            points[threads] = max(points.get(threads, (0, series)), (cpus, series), key=lambda point: point[0])
    return {program: {threads: series for threads, (_, series) in sorted(at.items())} for program, at in found.items()}


def _scaling(systems: list[System], caption: str, path: Path) -> None:
    """Draws a diagram per program: threads across, times as fast as one thread up."""
    by_system = {system.name: curves(system) for system in systems}
    programs = list(dict.fromkeys(program for found in by_system.values() for program in found))
    if not programs:
        return
    figure, all_axes = pyplot.subplots(
        (len(programs) + 2) // 3, min(3, len(programs)), squeeze=False, layout="constrained",
        figsize=(12, 4 * ((len(programs) + 2) // 3)),
    )  # fmt: skip
    flat: list[Axes] = list(all_axes.flat)
    for axes, program in zip(flat, programs, strict=False):
        for name, found in by_system.items():
            if points := found.get(program):
                medians = [1.0, *(statistics.median(series.values) for series in points.values())]
                low, high = _spread(list(points.values()))
                axes.errorbar([1, *points], medians, yerr=([0.0, *low], [0.0, *high]), marker="o", capsize=3, label=name)
        axes.set_title(program)
        axes.set_xlabel("threads")
        axes.set_ylabel("times as fast as one")
        axes.legend()
    for axes in flat[len(programs) :]:
        axes.remove()
    figure.supxlabel(caption, fontsize=7)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _bars(systems: list[System], unit: str, caption: str, path: Path) -> None:
    """Draws the medians of one unit with their spread, a group of bars per figure, on a logarithmic axis."""
    names = list(
        dict.fromkeys(name for system in systems for name, series in system.figures.items() if series.unit == unit)
    )
    figure, axes = pyplot.subplots(figsize=(11, 0.3 * len(names) * len(systems) + 2), layout="constrained")
    height = 0.8 / len(systems)
    for place, system in enumerate(systems):
        there = [(row, system.figures[name]) for row, name in enumerate(names) if name in system.figures]
        medians = [statistics.median(series.values) for _, series in there]
        rows = [row + place * height for row, _ in there]
        spread = _spread([series for _, series in there])
        axes.barh(rows, medians, height, xerr=spread, label=system.name, error_kw={"elinewidth": 0.7})
    axes.set_yticks([row + 0.4 - height / 2 for row in range(len(names))], names)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel(f"{unit}: median, least and greatest")
    axes.legend()
    figure.supxlabel(caption, fontsize=7)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _spread(all_series: list[Series]) -> tuple[list[float], list[float]]:
    """Returns how far below and above the medians the values go."""
    medians = [statistics.median(series.values) for series in all_series]
    low = [middle - min(series.values) for middle, series in zip(medians, all_series, strict=True)]
    high = [max(series.values) - middle for middle, series in zip(medians, all_series, strict=True)]
    return low, high
