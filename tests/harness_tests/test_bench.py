"""`bench/`: its tables, its curves, and the programs that it times."""

from __future__ import annotations

from pathlib import Path

import programs
import pytest

from bench import report
from bench.measure import System


def test_the_programs_have_one_answer_on_any_number_of_threads() -> None:
    assert programs.n_queens(3) == programs.n_queens(1) == 724
    assert programs.mandelbrot(3) == programs.mandelbrot(1)
    assert programs.word_count(3) == programs.word_count(1)
    assert programs.k_means(3) == programs.k_means(1)
    assert sum(programs.k_means(2)) == 3000


def test_a_program_whose_results_differ_is_an_error() -> None:
    with pytest.raises(AssertionError, match="on 2 threads: 2, on one: 1"):
        programs.speed_up(lambda threads: threads, 2)


def systems() -> list[System]:
    """Two systems with a figure in which less is better, one in which more is, and one that only the first has."""
    ours, theirs = System("PythonOS", lambda *_: []), System("Linux", lambda *_: [])
    ours.add("getpid", "us", [1.0, 3.0, 2.0])
    theirs.add("getpid", "us", [8.0])
    ours.add("speed_up_2_primes", "x", [2.0])
    theirs.add("speed_up_2_primes", "x", [1.6])
    ours.add("speed_up_2_primes_4_cpus", "x", [1.9])
    ours.add("speed_up_4_primes_4_cpus", "x", [3.8])
    return [ours, theirs]


def test_the_table_says_how_many_times_as_good_the_first_system_is() -> None:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in report.table(systems()).splitlines()]
    assert rows[0][:4] == ["figure", "unit", "PythonOS", "Linux"]
    assert rows[2] == ["`getpid`", "us", "2.00 (1.00 to 3.00)", "8.00 (8.00 to 8.00)", "4.00"]
    assert rows[3][-1] == "1.25"
    assert rows[4][-2:] == ["-", ""]


def test_curves_take_the_machine_with_most_cpus(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="drawing is for `make bench`, which installs it")
    from bench import plots

    ours = plots.curves(systems()[0])
    assert {threads: series.values for threads, series in ours["primes"].items()} == {2: [1.9], 4: [3.8]}
    plots.draw(systems(), {"host": "this one"}, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scaling.png", "us.png"]
