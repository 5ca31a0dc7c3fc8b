"""The benchmarks are fair: contenders alternate, do the same work, and missed goals are shown."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks.comparison import OURS, Figure, Goal, Table, alternate, compare
from benchmarks.report import as_json, as_markdown


def table(ours: float) -> Table:
    """A benchmark in which ours took so many milliseconds, and another contender 1 ms."""
    made = Table("reading", "ms", {"other": Figure.of([1.0]), OURS: Figure.of([ours])}, "other")
    return Table(made.name, made.unit, made.figures, made.base, (made.goal(1.5),), ("a note",))


def test_contenders_alternate() -> None:
    """They run A B A B, at least five times, so that a busy moment affects all of them."""
    order: list[str] = []

    def measure(who: str) -> float:
        order.append(who)
        return float(len(order))

    took = alternate({who: lambda who=who: measure(who) for who in "ab"}, rounds=1)  # type: ignore[misc]
    assert order == ["a", "b"] * 5
    assert took == {"a": [1, 3, 5, 7, 9], "b": [2, 4, 6, 8, 10]}


def test_contenders_must_do_the_same_work() -> None:
    """A contender with another result ends the comparison."""
    with pytest.raises(AssertionError, match="b did not do the same work as a"):
        compare("adding", {"a": lambda: 1 + 1, "b": lambda: 3}, 5, base="a")


def test_a_median_is_not_moved_by_one_bad_round() -> None:
    """The spread still shows the bad round."""
    assert Figure.of([1, 100, 2, 3, 2]) == Figure(2, 1, 100)


@pytest.mark.parametrize(("ours", "word"), [(1.5, "| met |"), (1.6, "| **missed** |")])
def test_a_goal_is_met_or_missed(ours: float, word: str) -> None:
    """The table shows whether, and the measured value."""
    output = as_markdown([table(ours)], {"Python": "CPython"})
    (line,) = [line for line in output.splitlines() if f"{OURS} / other" in line]
    assert line.endswith(word)
    assert f"| {ours} × |" in line
    assert "- reading: a note" in output
    assert "Python: CPython" in output


def test_the_json_has_the_same_facts() -> None:
    """The JSON has the machine, the figures and the goals."""
    output = json.loads(as_json([table(2.0)], {"Python": "CPython"}))
    assert output["machine"] == {"Python": "CPython"}
    assert output["benchmarks"][0]["figures"][OURS] == {"median": 2.0, "low": 2.0, "high": 2.0}
    assert output["goals"] == [
        {"benchmark": "reading", "what": f"{OURS} / other", "value": 2.0, "limit": 1.5, "unit": "×", "met": False}
    ]


def test_a_goal_may_be_absolute() -> None:
    """Not all goals are ratios."""
    assert Goal("held", 4.0, 5.0, "ms").met


def test_an_unknown_benchmark_is_refused() -> None:
    """The error lists the known ones."""
    asked = subprocess.run([sys.executable, "-m", "benchmarks", "nonsense"], capture_output=True, text=True)
    assert asked.returncode == 2
    assert "uploads, polls, waiting" in asked.stderr
