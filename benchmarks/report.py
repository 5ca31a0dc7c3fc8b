"""A run as one Markdown table and one JSON file.

Invariant: an aim that is missed is shown as one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import attrs
import orjson

from .race import Table

__all__ = ["as_json", "as_markdown"]


def as_markdown(tables: Sequence[Table], machine: Mapping[str, str]) -> str:
    """The machine, the aims, and every figure."""
    return "\n".join(_lines(tables, machine)) + "\n"


def as_json(tables: Sequence[Table], machine: Mapping[str, str]) -> bytes:
    """The same for programs."""
    aims = [{"benchmark": table.name, **attrs.asdict(aim), "met": aim.met} for table in tables for aim in table.aims]
    told = {"machine": dict(machine), "benchmarks": [attrs.asdict(table) for table in tables], "aims": aims}
    return orjson.dumps(told, option=orjson.OPT_INDENT_2)


def _lines(tables: Sequence[Table], machine: Mapping[str, str]) -> Iterator[str]:
    yield "; ".join(f"{what}: {words}" for what, words in machine.items())
    yield ""
    yield "| benchmark | aim | at most | measured | |"
    yield "|---|---|--:|--:|---|"
    for table in tables:
        for aim in table.aims:
            met = "met" if aim.met else "**missed**"
            yield f"| {table.name} | {aim.what} | {aim.most:g} {aim.unit} | {_short(aim.value)} {aim.unit} | {met} |"
    yield ""
    yield "| benchmark | contender | median | lowest to highest | ratio |"
    yield "|---|---|--:|--:|--:|"
    for table in tables:
        for who, figure in table.figures.items():
            spread = f"{_short(figure.low)} to {_short(figure.high)}"
            median = f"{_short(figure.median)} {table.unit}"
            yield f"| {table.name} | {who} | {median} | {spread} | {_ratio(table, who)} |"
    notes = [(table.name, note) for table in tables for note in table.notes]
    if notes:
        yield ""
        yield from (f"- {name}: {note}" for name, note in notes)


def _ratio(table: Table, who: str) -> str:
    return _short(table.ratio(who)) if table.figures[table.base].median else ""


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
