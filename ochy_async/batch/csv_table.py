"""CSV files as people save them from spreadsheets, read as lines of cells.

Invariant: what cannot be read is a problem that names its line, never an exception.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from ..errors import Problem

__all__ = ["CsvLine", "csv_lines", "csv_text"]

DELIMITERS: Final = (",", ";", "\t")
"""The delimiters that spreadsheets use, depending on their language. The header decides which one."""


@frozen
class CsvLine:
    """A line that is not empty."""

    number: int
    """The number of its first line in the file, from 1."""
    cells: Sequence[str]
    """Without the blanks around them."""


def csv_text(path: Path, what: str, most: int, problems: list[Problem]) -> str:
    """Returns the content of a file of at most so many bytes. `what` it is for stands in the problems.

    If it cannot be read, adds a problem and returns an empty text.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
        if len(content) > most:
            problems.append(Problem(what, f"is larger than {most:,} bytes. Check that it is a CSV file"))
        elif content.startswith((b"\xff\xfe", b"\xfe\xff")):
            problems.append(Problem(what, "is UTF-16. Save it as CSV in UTF-8"))
        elif not content.strip(b"\xef\xbb\xbf \r\n\t"):
            problems.append(Problem(what, "is empty. Its first line must name the columns"))
        else:
            return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        problems.append(Problem(f"line {line}", f"is not UTF-8. Save the {what} as CSV in UTF-8"))
    except (OSError, ValueError) as error:
        problems.append(Problem(what, f"cannot be read: {getattr(error, 'strerror', None) or error}"))
    return ""


def csv_lines(text: str, problems: list[Problem]) -> Iterator[CsvLine]:
    """Yields the lines that are not empty. Adds a problem if the quotes of one are invalid, and ends there."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=max(DELIMITERS, key=first.count))
    while True:
        number = reader.line_num + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            why = f"its quotes are invalid ({error}). The lines after it were not read"
            problems.append(Problem(f"line {number}", why))
            return
        if any(cells):
            yield CsvLine(number, cells)
