"""Formats the results of a run as Markdown and as JSON.

Invariant: a goal that was missed is shown as missed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import attrs
import orjson

from .comparison import Table

__all__ = ["as_json", "as_markdown"]


def as_markdown(tables: Sequence[Table], machine: Mapping[str, str]) -> str:
    """The machine, the goals, and every figure."""
    return "\n".join(_lines(tables, machine)) + "\n"


def as_json(tables: Sequence[Table], machine: Mapping[str, str]) -> bytes:
    """The same as JSON."""
    goals = [
        {"benchmark": table.name, **attrs.asdict(goal), "met": goal.met} for table in tables for goal in table.goals
    ]
    output = {"machine": dict(machine), "benchmarks": [attrs.asdict(table) for table in tables], "goals": goals}
    return orjson.dumps(output, option=orjson.OPT_INDENT_2)


def _lines(tables: Sequence[Table], machine: Mapping[str, str]) -> Iterator[str]:
    yield "; ".join(f"{what}: {words}" for what, words in machine.items())
    yield ""
    yield "| benchmark | goal | at most | measured | |"
    yield "|---|---|--:|--:|---|"
    for table in tables:
        for goal in table.goals:
            met = "met" if goal.met else "**missed**"
            at_most, measured = f"{goal.limit:g} {goal.unit}", f"{_short(goal.value)} {goal.unit}"
            yield f"| {table.name} | {goal.what} | {at_most} | {measured} | {met} |"
    yield ""
    yield "| benchmark | contender | median | lowest to highest | ratio | CPU of a round | ratio |"
    yield "|---|---|--:|--:|--:|--:|--:|"
    for table in tables:
        for contender, figure in table.figures.items():
            spread = f"{_short(figure.low)} to {_short(figure.high)}"
            median = f"{_short(figure.median)} {table.unit}"
            wall, cpu = _ratio(table, contender), _cpu(table, contender)
            yield f"| {table.name} | {contender} | {median} | {spread} | {wall} | {cpu} |"
    notes = [(table.name, note) for table in tables for note in table.notes]
    if notes:
        yield ""
        yield from (f"- {name}: {note}" for name, note in notes)


def _ratio(table: Table, contender: str) -> str:
    return _short(table.ratio(contender)) if table.figures[table.base].median else ""


def _cpu(table: Table, contender: str) -> str:
    """The processor time of a round in seconds, and its ratio; both empty if it was not measured."""
    cpu, base = table.figures[contender].cpu, table.figures[table.base].cpu
    return f"{'' if cpu is None else f'{_short(cpu)} s'} | {_short(cpu / base) if cpu is not None and base else ''}"


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
