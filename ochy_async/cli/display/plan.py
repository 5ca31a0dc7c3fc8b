"""What would become of one clip, on stdout: a line for people, or a line of JSON.

Invariant: every clip is one line, whatever its name and reason hold.
"""

from __future__ import annotations

import json
from typing import Final

import click

from ...batch.dry_run import Planned
from .tables import printable, view_title

__all__ = ["show_planned"]

WIDTH: Final = max(map(len, ("to buy", "uncertain", "duplicate")))


def show_planned(planned: Planned, *, as_json: bool) -> None:
    """One clip of a dry run."""
    click.echo(_json(planned) if as_json else printable(_text(planned)))


def _text(planned: Planned) -> str:
    what = f"{planned.word.replace('_', ' '):{WIDTH}}  {planned.label} ({view_title(planned.request.view)})"
    if planned.duplicate_of is not None:
        return f"{what}: the same clip as {planned.duplicate_of}"
    if planned.reason:
        why = "; ".join(map(str, planned.problems)) or planned.reason
        return f"{what}: {' '.join(why.split())}"
    return what if planned.analysis_id is None else f"{what}: analysis {planned.analysis_id}"


def _json(planned: Planned) -> str:
    return json.dumps(
        {
            "clip": planned.label,
            "index": planned.index,
            "view": planned.request.view,
            "plan": planned.word,
            "reason": planned.reason,
            "analysis_id": planned.analysis_id,
            "key": planned.key,
            "duplicate_of": planned.duplicate_of,
            "extra": dict(planned.extra),
        }
    )
