"""How long a report on 1,000 analyses takes, how large it is, and how much memory it takes beside one on 100.

Each run has a process of its own: `python -m benchmarks.report COUNT` prints its figures as JSON.

Invariant: every analysis has landmarks, so every page has all its curves.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ochy_async.emulator.assessments import side_view_results
from ochy_async.emulator.biomechanics.runner import runner_of
from ochy_async.emulator.calculated_data import side_view_calculated
from ochy_async.emulator.raw_data import raw_data
from ochy_async.report import write_report
from ochy_async.report.overview_page import overview_page
from ochy_async.report.results_folder import analyses_in
from ochy_async.report.statistics import folder_statistics

from .comparison import Figure, Goal, Table
from .machine import peak_memory

__all__ = ["benchmarks"]

FEW: Final = 100
MANY: Final = 1_000
RUNNERS: Final = 20
SECONDS: Final = 4
LIMITS: Final = {"a page ms": 100.0, "overview s": 5.0, "overview kB": 1000.0, "page kB": 120.0}
NOTE: Final = (
    f"side views with {SECONDS} s of landmarks at 60 frames per second, no pictures; pages are synced to the disk"
)


def main() -> None:
    """Writes one report in this process."""
    with tempfile.TemporaryDirectory() as name:
        folder, count = Path(name), int(sys.argv[1])
        _write_results(folder, count)
        began = time.perf_counter()
        pages = write_report(folder).parent
        took = time.perf_counter() - began
        began = time.perf_counter()
        overview = overview_page(folder_statistics(analyses_in(folder)), "results")
        figures = {
            "peak MB": peak_memory(),
            "a page ms": took / count * 1e3,
            "overview s": time.perf_counter() - began,
            "overview kB": len(overview.encode()) / 1e3,
            "page kB": max(path.stat().st_size for path in pages.glob("run-*.html")) / 1e3,
        }
        if len(list(pages.iterdir())) != count + 1:
            raise AssertionError(f"there are not {count} pages and an overview")
    print(json.dumps(figures))


def _write_results(folder: Path, count: int) -> None:
    """Writes the table and the landmarks of so many analyses of a few runners."""
    runners = [runner_of(bytes([number]), height=1.75, weight=68, pace=None) for number in range(RUNNERS)]
    answers = [(side_view_results(each, language="en"), side_view_calculated(each)) for each in runners]
    for number, runner in enumerate(runners):
        sent = raw_data(runner, view="side_view", fps=60, seconds=SECONDS, width=1920, height=1080)
        (folder / f"{number}.json").write_text(json.dumps(sent))
    with (folder / "results.jsonl").open("w") as table:
        for number in range(count):
            results, calculated = answers[number % RUNNERS]
            os.link(folder / f"{number % RUNNERS}.json", folder / f"{number}.raw_data.json")
            table.write(f"{json.dumps(_record(number, results, calculated))}\n")


def _record(number: int, results: Any, calculated: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "clip": f"run-{number}.mp4",
        "view": "side_view",
        "outcome": "analyzed",
        "analysis_id": f"analysis-{number}",
        "subject": f"Runner {number // 3}",
        "results": {"video_id": f"analysis-{number}", "status": "success", "biomechanical_analysis": results},
        "calculated": calculated,
        "files": [f"{number}.raw_data.json"],
    }


def _measured(count: int) -> Mapping[str, float]:
    command = [sys.executable, "-m", f"{__package__}.report", str(count)]
    figures: dict[str, float] = json.loads(subprocess.check_output(command))  # noqa: S603 - our own program
    return figures


def benchmarks(_: int) -> Iterator[Table]:
    """One run of each size, because a report on 1,000 analyses takes a minute."""
    few, many = _measured(FEW), _measured(MANY)
    for what, limit in LIMITS.items():
        yield _table(
            what, few[what], many[what], Goal(f"report on {MANY:,}: {what}", many[what], limit, what.split()[-1])
        )
    growth = Goal(f"report: peak on {MANY:,}, more than on {FEW}", many["peak MB"] - few["peak MB"], 10.0, "MB")
    yield _table("peak MB", few["peak MB"], many["peak MB"], growth)


def _table(what: str, few: float, many: float, goal: Goal) -> Table:
    base = f"{FEW} analyses"
    figures = {base: Figure.of([few]), f"{MANY:,} analyses": Figure.of([many])}
    return Table(f"report: {what}", what.split()[-1], figures, base, (goal,), (NOTE,))


if __name__ == "__main__":
    main()
