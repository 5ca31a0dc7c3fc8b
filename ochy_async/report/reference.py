"""Reference bands of the user's own: from where to where a metric lies in some source, read from a CSV file.

Invariant: a file is read completely or not at all, and numbers in another unit than that of the page are refused, never
converted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import combinations
from pathlib import Path
from typing import Final

from attrs import frozen

from ..batch.csv_table import CsvLine, csv_lines, csv_text
from ..errors import InvalidSettings, Problem
from .analyses import METRICS, Metric

__all__ = ["NO_REFERENCE", "Band", "Reference", "read_reference"]

REQUIRED: Final = ("metric", "low", "high", "unit", "source")
OPTIONAL: Final = ("speed_from", "speed_to")
COLUMNS: Final = (*REQUIRED, *OPTIONAL)
MAX_BYTES: Final = 1_000_000
_NAMES: Final[Mapping[str, Metric]] = {
    name: metric for metric in METRICS for name in (metric.name, metric.title.casefold())
}


@frozen
class Band:
    """From where to where a metric lies, in the unit of the page."""

    low: float
    """Minus infinity if only `high` is given."""
    high: float
    """Infinity if only `low` is given."""
    source: str
    speed_from: float
    """m/s; the band is for runs at this speed or faster. Minus infinity if it is for slow ones too."""
    speed_to: float
    """m/s; the band is for runs below this speed. Infinity if it is for fast ones too."""
    line: int
    """Where the file has it."""

    @property
    def for_all_speeds(self) -> bool:
        """Whether the speed of a run does not matter."""
        return math.isinf(self.speed_from) and math.isinf(self.speed_to)


@frozen
class Reference:
    """The bands of a file."""

    name: str
    """The file's name."""
    bands: Mapping[str, Sequence[Band]]
    """By the name of the metric in the table of results."""

    def band(self, metric: str, speed: float | None) -> Band | None:
        """The band of a metric at a speed in m/s; None if there is none, or if it depends on a speed not known."""
        fits = (
            band
            for band in self.bands.get(metric, ())
            if band.for_all_speeds or (speed is not None and band.speed_from <= speed < band.speed_to)
        )
        return next(fits, None)


NO_REFERENCE: Final = Reference("", {})


def read_reference(path: Path) -> Reference:
    """Reads a file. Raises `InvalidSettings`, whose `problems` name every invalid cell by its line and column."""
    problems = list[Problem]()
    bands: dict[str, list[Band]] = {}
    for metric, band in _rows(csv_lines(csv_text(path, "reference", MAX_BYTES, problems), problems), problems):
        bands.setdefault(metric.name, []).append(band)
    for metric_name, several in bands.items():
        problems += _overlaps(metric_name, several)
    if not bands and not problems:
        problems.append(Problem("reference", "has no row below the header"))
    if problems:
        lines = "".join(f"\n  - {problem}" for problem in problems)
        raise InvalidSettings(
            f"The reference {str(path)!r} cannot be used; no report was written.{lines}", problems=tuple(problems)
        )
    return Reference(path.name, bands)


def _rows(lines: Iterator[CsvLine], problems: list[Problem]) -> Iterator[tuple[Metric, Band]]:
    """The valid rows. Adds a problem for each other one, and for the header."""
    header = next(lines, None)
    if header is None:
        return
    names = [cell.lower() for cell in header.cells]
    wrong = list(_header_problems(f"line {header.number}", names))
    problems += wrong
    for line in () if wrong else lines:
        if len(line.cells) != len(names):
            counts = f"has {len(line.cells)} cells where the header names {len(names)}"
            problems.append(Problem(f"line {line.number}", f"{counts}. Quote cells that contain commas"))
            continue
        row = _ReferenceRow(line.number, dict(zip(names, line.cells, strict=True)), problems)
        if (found := row.read()) is not None:
            yield found


def _header_problems(where: str, names: Sequence[str]) -> Iterator[Problem]:
    for name in dict.fromkeys(names):
        if name not in COLUMNS:
            yield Problem(where, f"the column {name!r} is not known{_like(name, COLUMNS)}")
        elif names.count(name) > 1:
            yield Problem(f"{where}, {name}", "appears twice")
    for name in REQUIRED:
        if name not in names:
            yield Problem(where, f"the column {name!r} is missing. Columns: {', '.join(COLUMNS)}")


@frozen(eq=False)
class _ReferenceRow:
    """One row below the header, with the list that its problems are added to."""

    number: int
    cells: Mapping[str, str]
    problems: list[Problem]

    def read(self) -> tuple[Metric, Band] | None:
        """The metric and its band; None if a cell is invalid."""
        before = len(self.problems)
        metric = _NAMES.get(self.cells["metric"].casefold())
        if metric is None:
            self._problem("metric", f"{self.cells['metric']!r} is not known{_like(self.cells['metric'], _NAMES)}")
        elif self.cells["unit"].casefold() != metric.unit:
            shown = f"must be {metric.unit!r}, as the page shows {metric.name}, and is {self.cells['unit']!r}"
            self._problem("unit", f"{shown}. Convert low and high if they are in another unit")
        if not self.cells["source"]:
            self._problem("source", "is empty. Say whose numbers these are; the page names it")
        low, high = self._range("low", "high")
        if not self.cells["low"] and not self.cells["high"]:
            self._problem("low", "is empty, and so is high. Give at least one of them")
        band = Band(low, high, self.cells["source"], *self._range(*OPTIONAL), self.number)
        return None if metric is None or len(self.problems) > before else (metric, band)

    def _range(self, start: str, end: str) -> tuple[float, float]:
        """The numbers of two columns; infinite where a cell is empty."""
        low, high = self._number(start, -math.inf), self._number(end, math.inf)
        if not low < high:
            self._problem(start, f"must be lower than {end}")
        return low, high

    def _number(self, column: str, empty: float) -> float:
        cell = self.cells.get(column, "")
        try:
            number = float(cell) if cell else empty
        except ValueError:
            number = math.nan
        if cell and not math.isfinite(number):
            self._problem(column, f"{cell!r} is no number. Write it with a point, as 1.25, or leave the cell empty")
            return empty
        return number

    def _problem(self, column: str, message: str) -> None:
        self.problems.append(Problem(f"line {self.number}, {column}", message))


def _overlaps(metric: str, bands: Sequence[Band]) -> Iterator[Problem]:
    """Two bands of one metric must be for different speeds, else a page would have to choose."""
    for one, other in combinations(bands, 2):
        if one.speed_from < other.speed_to and other.speed_from < one.speed_to:
            yield Problem(
                f"line {other.line}",
                f"{metric} has a band for the same speed in line {one.line}. Remove one of them, or tell them apart by "
                "speed_from and speed_to",
            )


def _like(name: str, known: Sequence[str] | Mapping[str, Metric]) -> str:
    similar = get_close_matches(name.casefold(), known, n=3, cutoff=0.5)
    return f". Did you mean {' or '.join(map(repr, similar))}?" if similar else f". Known: {', '.join(known)}"
