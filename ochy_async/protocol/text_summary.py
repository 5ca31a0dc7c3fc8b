"""What `print` shows of an answer, and how values from the server become text for people.

Invariant: a summary holds no link and no control character, and never exceeds 20 lines of 80 columns, whatever the
server sent. Summaries may hold health data, so logs, tracebacks and asserts use `repr` instead, which holds none.
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
    "count_of",
    "display_text",
    "format_number",
    "format_pace",
    "format_score",
    "format_time",
    "list_summary",
    "minutes_seconds",
    "printable",
    "summary_text",
    "text_width",
]

NOTHING: Final = "–"
LINES: Final = 20
COLUMNS: Final = 80
MAX_TEXT: Final = 48
"""Characters of a text from the server that are shown."""
MAX_ITEMS: Final = 8
"""Items of a list that are shown."""


class Summarized:
    """Shows a summary with `print`, in IPython and notebooks, and with rich. `repr` is separate."""

    __slots__ = ()

    def _summary(self) -> Iterable[str]:
        """The lines. Texts from the server go through `display_text` first."""
        return (repr(self),)

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        # IPython uses the nearest class that defines either this method or `__repr__`, so each class needs it.
        cls._repr_pretty_ = cls._repr_pretty_  # type: ignore[method-assign]

    def __str__(self) -> str:
        return summary_text(self._summary())

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """IPython's protocol, which notebooks use too."""
        for number, line in enumerate(str(self).split("\n")):
            if number:
                printer.break_()  # keeps the indentation inside lists
            printer.text(line)

    def __rich__(self) -> Any:
        from rich.text import Text  # only rich calls this method, so it is installed

        return Text(str(self))


def summary_text(lines: Iterable[str]) -> str:
    """The lines as one text, cut to the size of a summary."""
    shown = list(islice(lines, LINES + 1))
    if len(shown) > LINES:
        shown[LINES - 1 :] = ["…"]
    return "\n".join(map(_cut, shown))


def _cut(line: str) -> str:
    """The line in 80 columns of a terminal."""
    line = printable(redact_links(line[: COLUMNS * 4]))
    if len(line) <= COLUMNS and line.isascii():
        return line
    left = COLUMNS
    for place, letter in enumerate(line):
        left -= _columns(letter)
        if left < (place < len(line) - 1):  # one column is reserved for the ellipsis, unless this is the last letter
            return f"{line[:place]}…"
    return line


def text_width(text: str) -> int:
    """The columns that a text takes on a terminal."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(letter: str) -> int:
    if unicodedata.combining(letter) or unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def printable(text: str) -> str:
    """The text with every control character replaced, because a terminal would obey it."""
    if text.isprintable():  # as almost every text is
        return text
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def display_text(text: object, most: int = MAX_TEXT) -> str:
    """A text from the server, cut to `most` characters and without links; a dash for None or an empty text."""
    if text is None or text == "":
        return NOTHING
    redacted: str = redact_links(str(text))
    return printable(redacted if len(redacted) <= most else f"{redacted[: most - 1]}…")


def list_summary(noun: str, items: Sequence[Any]) -> Iterator[str]:
    """The number of items, and one line for each of the first few."""
    yield f"{noun}: {len(items):,}"
    for item in items[:MAX_ITEMS]:
        yield f"  {next(iter(str(item).splitlines()), '')}"
    if len(items) > MAX_ITEMS:
        yield f"  … and {len(items) - MAX_ITEMS:,} more"


def aligned_rows(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Indented lines whose cells are aligned in columns."""
    shown = list(islice(rows, LINES + 1))
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def count_of(count: int, singular: str, plural: str = "") -> str:
    """A number with its noun, such as `1 clip`, `2 clips` or, with a plural, `2 analyses`."""
    return f"{count:,} {singular if count == 1 else plural or f'{singular}s'}"


def format_number(value: float | None, unit: str = "", digits: int = 0) -> str:
    """A number with its unit, or a dash."""
    if value is None:
        return NOTHING
    text = f"{value:.{digits}f}" if abs(value) < 1e9 else f"{value:.3g}"
    return f"{text}{unit and ' '}{unit}"


def format_score(value: float | None) -> str:
    """A score from 0 to 1, or a dash."""
    return format_number(value, digits=2)


def minutes_seconds(value: timedelta) -> str:
    """A duration, rounded to seconds, as `MM:SS`."""
    minutes, seconds = divmod(round(value.total_seconds()), 60)
    return f"{minutes:02d}:{seconds:02d}"


def format_pace(value: timedelta | None) -> str:
    """Minutes and seconds per kilometer, or a dash."""
    return NOTHING if value is None else f"{minutes_seconds(value).removeprefix('0')} /km"


def format_time(value: datetime | None) -> str:
    """A time to the minute, or a dash."""
    return NOTHING if value is None else f"{value:%Y-%m-%d %H:%M} {value.tzname() or ''}".rstrip()
