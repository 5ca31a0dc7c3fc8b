"""What a print shows: scores and what stands out, on one screen, whatever the server sent.

Invariant: a summary is text for the eyes of whoever printed it. It never holds a link or anything that a terminal
obeys, and never more than 20 lines of 80 columns. `repr`, which logs, tracebacks and asserts use, tells nothing of it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

from .redaction import redact_links

__all__ = [
    "LINES",
    "NOTHING",
    "Summarized",
    "aligned_rows",
    "display_text",
    "format_number",
    "format_pace",
    "format_score",
    "format_time",
    "list_summary",
    "printable",
    "summary_text",
    "view_words",
]

NOTHING: Final = "–"
LINES: Final = 20
COLUMNS: Final = 80
LONGEST: Final = 48
"""Characters of a text from the server that are shown."""
FIRST: Final = 8
"""Items of a list that are shown."""


class Summarized:
    """Prints as a summary: with `print`, in IPython and notebooks, and with rich. Its repr is another matter."""

    __slots__ = ()

    def _summary(self) -> Iterable[str]:
        """The lines; texts from the server go through `display_text` first."""
        return (repr(self),)

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        # IPython takes the nearest class that has either this or a `__repr__` of its own, so each needs it.
        cls._repr_pretty_ = cls._repr_pretty_  # type: ignore[method-assign]

    def __str__(self) -> str:
        return summary_text(self._summary())

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """IPython's protocol, which notebooks use too."""
        for number, line in enumerate(str(self).split("\n")):
            if number:
                printer.break_()  # keeps the indentation inside of lists
            printer.text(line)

    def __rich__(self) -> Any:
        from rich.text import Text  # only rich calls this, so it is there

        return Text(str(self))


def summary_text(lines: Iterable[str]) -> str:
    """The lines as one text that fits a screen."""
    kept = list(islice(lines, LINES + 1))
    if len(kept) > LINES:
        kept[LINES - 1 :] = ["…"]
    return "\n".join(map(_cut, kept))


def _cut(line: str) -> str:
    """The line in 80 columns of a terminal."""
    line = printable(redact_links(line[: COLUMNS * 4]))
    if len(line) <= COLUMNS and line.isascii():
        return line
    room = COLUMNS
    for place, letter in enumerate(line):
        room -= _columns(letter)
        if room < (place < len(line) - 1):  # one column is left for the ellipsis, unless nothing follows
            return f"{line[:place]}…"
    return line


def _columns(letter: str) -> int:
    if unicodedata.combining(letter) or unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def printable(text: str) -> str:
    """The text without anything that a terminal would obey instead of show."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def display_text(text: object, most: int = LONGEST) -> str:
    """A text from the server, cut and without links; a dash for nothing."""
    if text is None or text == "":
        return NOTHING
    whole: str = redact_links(str(text))
    return printable(whole if len(whole) <= most else f"{whole[: most - 1]}…")


def list_summary(what: str, items: Sequence[Any]) -> Iterator[str]:
    """How many there are, and the first few in a line each."""
    yield f"{what}: {len(items):,}"
    for item in items[:FIRST]:
        yield f"  {next(iter(str(item).splitlines()), '')}"
    if len(items) > FIRST:
        yield f"  … and {len(items) - FIRST:,} more"


def aligned_rows(cells: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Indented lines whose cells begin below one another."""
    kept = list(islice(cells, LINES + 1))
    widths = [max(map(len, column)) for column in zip(*kept, strict=True)]
    for row in kept:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def format_number(value: float | None, unit: str = "", digits: int = 0) -> str:
    """A number with its unit, or a dash."""
    if value is None:
        return NOTHING
    written = f"{value:.{digits}f}" if abs(value) < 1e9 else f"{value:.3g}"
    return f"{written}{unit and ' '}{unit}"


def format_score(value: float | None) -> str:
    """A score from 0 to 1, or a dash."""
    return format_number(value, digits=2)


def format_pace(value: timedelta | None) -> str:
    """Minutes and seconds per kilometer, or a dash."""
    if value is None:
        return NOTHING
    minutes, seconds = divmod(round(value.total_seconds()), 60)
    return f"{minutes}:{seconds:02d} /km"


def format_time(value: datetime | None) -> str:
    """A time to the minute, or a dash."""
    return NOTHING if value is None else f"{value:%Y-%m-%d %H:%M} {value.tzname() or ''}".rstrip()


def view_words(view: str | None) -> str:
    """`side_view` as people say it."""
    return (view or "unknown view").replace("_", " ")
