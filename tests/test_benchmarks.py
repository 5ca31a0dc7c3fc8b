"""The benchmarks are fair: contenders alternate, do the same work, and missed goals are shown."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import resume
from benchmarks.comparison import OURS, Figure, Goal, Table, alternate, compare
from benchmarks.formatting import as_json, as_markdown
from benchmarks.machine import peak_memory
from ochy_async.journal.sqlite import rows
from ochy_async.journal.sqlite.journal import SqliteJournal
from ochy_async.journal.sqlite.repair import verify
from ochy_async.journal.sqlite.store import VERIFIED_ROWS
from tests.support.servers import Server, postgres_server

__all__ = ["postgres_server"]


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


@pytest.mark.parametrize("child", [False, True])
def test_processor_time_is_told_apart_from_waiting(*, child: bool) -> None:
    """A round that computes has processor time, also if a child computes; one that waits has hardly any."""

    def compute() -> float:
        if child:
            subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"], check=True)
        return float(sum(range(3_000_000)))

    took = alternate({"waits": lambda: time.sleep(0.05) or 0.0, "computes": compute}, 5)  # type: ignore[func-returns-value]
    waits, computes = Figure.of(took["waits"]).cpu, Figure.of(took["computes"]).cpu
    assert waits is not None
    assert computes is not None
    assert computes > 3 * waits


def test_the_table_has_a_column_for_processor_time() -> None:
    """Seconds of a round beside the wall time, and their ratio; empty where they were not measured."""
    figures = {"other": Figure(1.0, 1.0, 1.0, 0.2), OURS: Figure(2.0, 2.0, 2.0, 0.3), "bound": Figure.of([1.0])}
    lines = as_markdown([Table("reading", "ms", figures, "other")], {}).splitlines()
    assert "| reading | ochy_async | 2 ms | 2 to 2 | 2 | 0.3 s | 1.5 |" in lines
    assert "| reading | bound | 1 ms | 1 to 1 | 1 |  |  |" in lines


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
    assert output["benchmarks"][0]["figures"][OURS] == {"median": 2.0, "low": 2.0, "high": 2.0, "cpu": None}
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


def growth_benchmark() -> ModuleType:
    """The benchmark of growth, which asks both kinds of journals. Skips the test without asyncpg."""
    pytest.importorskip("asyncpg", reason="needs the extra postgres: asyncpg is not installed")
    from benchmarks import growth

    return growth


def test_a_filled_file_is_a_journal(tmp_path: Path) -> None:
    """It opens, and answers what it was filled with: the seals and the totals are those of its rows."""
    path = tmp_path / "clips.journal"
    growth = growth_benchmark()
    growth.fill_file(path, 600)
    assert verify(path).rows
    assert growth.ask(str(path), "", 600).keys() == set(growth.QUESTIONS)


def test_a_filled_schema_is_a_journal(postgres_server: Server) -> None:
    """The same in Postgres."""
    growth = growth_benchmark()
    asyncio.run(growth.fill_schema(postgres_server.url, "growth", 600))
    assert growth.ask(postgres_server.url, "growth", 600).keys() == set(growth.QUESTIONS)


def test_lookups_are_measured_in_an_account_of_any_size(tmp_path: Path) -> None:
    """Each start stays uncertain after lookups that got answers; otherwise the benchmark fails."""
    path = tmp_path / "clips.journal"
    growth_benchmark().fill_file(path, 600)
    from benchmarks import lookups

    figures = lookups.look_up(1_000, path, 600, seconds=1.0)
    assert figures.keys() == set(lookups.QUESTIONS)
    assert figures["lists"] >= 1


def test_a_resume_is_compared_with_one_that_reads_all_files() -> None:
    """All three have the results of all clips, and buy nothing; otherwise the benchmark fails."""
    (measured,) = resume.benchmarks(5, files=3)
    assert measured.figures.keys() == {OURS, resume.REHASH, resume.LISTING}


def test_the_memory_of_a_program_is_not_that_of_the_one_that_started_it() -> None:
    """However much this process holds; else no export could need too much."""
    held = bytearray(400_000_000)
    held[:] = b"x" * len(held)
    words = [sys.executable, "-c", "from benchmarks.machine import peak_memory; print(peak_memory())"]
    assert float(subprocess.run(words, capture_output=True, text=True, check=True).stdout) < 100  # noqa: S603 - ours
    assert peak_memory() > 400


def test_opening_a_journal_verifies_few_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them in the smallest journal that the benchmark measures, and hardly any in a larger one."""
    growth, counts = growth_benchmark(), Counter[str]()

    def matches(table: rows.Table, row: rows.Row) -> bool:
        counts[table.name] += 1
        return unchanged(table, row)

    unchanged = rows.Table.matches
    monkeypatch.setattr(rows.Table, "matches", matches)
    for entries, most in ((growth.SIZES[0], VERIFIED_ROWS), (2 * growth.SIZES[0], 10)):
        path = tmp_path / f"{entries}.journal"
        growth.fill_file(path, entries)
        counts.clear()
        asyncio.run(opened(path))
        assert counts.total() <= most
        assert (counts.total() > 0.9 * VERIFIED_ROWS) is (entries == growth.SIZES[0])


async def opened(path: Path) -> None:
    """Opens and closes a journal."""
    async with SqliteJournal(path):
        pass
