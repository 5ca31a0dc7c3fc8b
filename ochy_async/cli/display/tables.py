"""Tables on stdout: drawn on a terminal, plain lines elsewhere.

Invariant: an id is never cut or folded, so that it can be copied.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

import click
from attrs import evolve, frozen
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...protocol.text_summary import NOTHING, printable
from .terminal import display_paused
from .wrapping import wrapped

__all__ = ["TextTable", "print_table", "render_table", "utc_time", "without_empty_columns"]

FOLDABLE: Final = frozenset({"clip", "file", "name"})
"""Columns whose cells may be folded anywhere. Cells of other columns are folded only at a blank."""
MIN_FOLDED: Final = 12
"""The fewest cells that a foldable column is given."""
FRAME: Final = 3
"""Cells that the frame takes for each column; the last column takes one more."""


@frozen
class TextTable:
    """A table that is not drawn yet."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    """Lines below the table."""


def without_empty_columns(table: TextTable) -> TextTable:
    """The table without the columns that hold nothing but dashes."""
    used = [index for index in range(len(table.columns)) if any(row[index] != NOTHING for row in table.rows)]
    rows = tuple(tuple(row[index] for index in used) for row in table.rows)
    return evolve(table, columns=tuple(table.columns[index] for index in used), rows=rows)


def utc_time(moment: datetime | None, *, seconds: bool = True) -> str:
    """A UTC time such as `2025-01-31 12:00:00Z`, or a dash."""
    return NOTHING if moment is None else f"{moment:%Y-%m-%d %H:%M}{f':{moment:%S}' if seconds else ''}Z"


def print_table(table: TextTable) -> None:
    """Prints the table on stdout."""
    on_terminal = sys.stdout.isatty() and not Console().is_dumb_terminal
    with display_paused():
        click.echo("\n".join(render_table(table) if on_terminal else _plain_lines(table)))


def render_table(table: TextTable) -> Iterator[str]:
    """The table as rich draws it, or as one record per row where the terminal is too narrow for complete ids."""
    console = Console()
    rows = [tuple(map(printable, row)) for row in (table.columns, *table.rows)]
    with console.capture() as drawn:
        console.print(Text(printable(table.title), style="bold"), soft_wrap=True)
        widths = _column_widths(table.columns, rows, console.width)
        if widths is not None:
            console.print(_rich_table(rows, widths))
        for row in rows[1:] if widths is None else ():
            console.print(Text("\n  ".join(_record_lines(table.columns, row, console.width - 4))), soft_wrap=True)
        for note in table.notes:
            console.print(Text("\n".join(wrapped(printable(note), console.width))), soft_wrap=True)
    yield drawn.get()


def _rich_table(rows: Sequence[tuple[str, ...]], widths: Sequence[int]) -> Table:
    table = Table()
    for name, width in zip(rows[0], widths, strict=True):
        table.add_column(name, width=width, overflow="fold")
    for row in rows[1:]:
        table.add_row(*map(Text, row))
    return table


def _column_widths(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """The width of each column; None where an id would have to be folded."""
    wanted = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    widths = [
        min(most, MIN_FOLDED)
        if name in FOLDABLE
        else max(cell_len(word) for cell in column for word in cell.split() or " ")
        for name, most, column in zip(columns, wanted, zip(*rows, strict=True), strict=True)
    ]
    spare = width - FRAME * len(widths) - 1 - sum(widths)
    if spare < 0:
        return None
    # The columns that need the least are served first, so that only long cells are folded.
    for served, column in enumerate(sorted(range(len(widths)), key=lambda each: wanted[each] - widths[each])):
        more = min(wanted[column] - widths[column], spare // (len(widths) - served))
        widths[column] += more
        spare -= more
    return widths


def _record_lines(columns: Sequence[str], row: Sequence[str], width: int) -> list[str]:
    """A row as lines of `name: cell` pairs."""
    lines = [""]
    for name, cell in zip(columns, row, strict=True):
        if cell == NOTHING:
            continue
        pair = f"{name}: {cell}"
        if lines[-1] and cell_len(lines[-1]) + len(", ") + cell_len(pair) > width:
            lines.append(pair)
        else:
            lines[-1] += f"{', ' if lines[-1] else ''}{pair}"
    return lines


def _plain_lines(table: TextTable) -> Iterator[str]:
    rows = [tuple(map(printable, row)) for row in (table.columns, *table.rows)]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    yield printable(table.title)
    for row in rows:
        cells = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        yield f"  {'  '.join(cells).rstrip()}"
    for note in table.notes:
        yield f"  {printable(note)}"
