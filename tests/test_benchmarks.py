"""The races of the benchmarks are fair: in turns, over the same work, and honest about what was missed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks.race import OURS, Aim, Figure, Table, alternate, race
from benchmarks.report import as_json, as_markdown


def table(ours: float) -> Table:
    """A benchmark in which we took so long, and somebody else 1 ms."""
    made = Table("reading", "ms", {"other": Figure.of([1.0]), OURS: Figure.of([ours])}, "other")
    return Table(made.name, made.unit, made.figures, made.base, (made.aim(1.5),), ("a note",))


def test_contenders_take_turns() -> None:
    """A B A B, at least five times, so that a busy moment hits all of them."""
    order: list[str] = []

    def measure(who: str) -> float:
        order.append(who)
        return float(len(order))

    took = alternate({who: lambda who=who: measure(who) for who in "ab"}, rounds=1)  # type: ignore[misc]
    assert order == ["a", "b"] * 5
    assert took == {"a": [1, 3, 5, 7, 9], "b": [2, 4, 6, 8, 10]}


def test_who_did_other_work_ends_the_race() -> None:
    """Nobody is fast by leaving something out."""
    with pytest.raises(AssertionError, match="b did not do the same work as a"):
        race("adding", {"a": lambda: 1 + 1, "b": lambda: 3}, 5, base="a")


def test_a_median_is_not_moved_by_one_bad_round() -> None:
    """The spread tells of it all the same."""
    assert Figure.of([1, 100, 2, 3, 2]) == Figure(2, 1, 100)


@pytest.mark.parametrize(("ours", "word"), [(1.5, "| met |"), (1.6, "| **missed** |")])
def test_an_aim_is_met_or_missed(ours: float, word: str) -> None:
    """The table says which, and by how much."""
    told = as_markdown([table(ours)], {"Python": "CPython"})
    (line,) = [line for line in told.splitlines() if f"{OURS} / other" in line]
    assert line.endswith(word)
    assert f"| {ours} × |" in line
    assert "- reading: a note" in told
    assert "Python: CPython" in told


def test_the_same_is_told_to_programs() -> None:
    """Machine, figures, aims."""
    told = json.loads(as_json([table(2.0)], {"Python": "CPython"}))
    assert told["machine"] == {"Python": "CPython"}
    assert told["benchmarks"][0]["figures"][OURS] == {"median": 2.0, "low": 2.0, "high": 2.0}
    assert told["aims"] == [
        {"benchmark": "reading", "what": f"{OURS} / other", "value": 2.0, "most": 1.5, "unit": "×", "met": False}
    ]


def test_an_aim_in_seconds_is_one_too() -> None:
    """Not all aims are ratios."""
    assert Aim("held", 4.0, 5.0, "ms").met


def test_a_benchmark_that_is_none_is_refused() -> None:
    """With the names of those that are."""
    asked = subprocess.run([sys.executable, "-m", "benchmarks", "nonsense"], capture_output=True, text=True)
    assert asked.returncode == 2
    assert "uploads, polls, waiting" in asked.stderr
