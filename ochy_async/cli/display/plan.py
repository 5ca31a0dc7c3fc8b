"""The plan of a dry run on stdout: one line for each clip, and the counts.

Invariant: a clip is one line, whatever its name and reason contain.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import click
from attrs import asdict

from ...batch.dry_run import Planned
from ...batch.report import Plan
from ...protocol.text_summary import printable
from ...protocol.views import view_title
from .tables import TextTable, print_table
from .terminal import print_message

__all__ = ["print_plan", "print_planned"]

WIDTH: Final = max(map(len, ("to buy", "uncertain", "duplicate")))

_MEANINGS: Final[Mapping[str, str]] = {
    "to_buy": "would be started, one credit each",
    "done": "already have their results",
    "paid": "are paid for and would be collected",
    "uncertain": "may have been charged; would be looked up, not bought",
    "failed": "failed at the vendor and are not bought again",
    "refused": "cannot be sent, or were refused before",
    "duplicates": "repeat another clip and request; not bought again",
}


def print_planned(planned: Planned, *, as_json: bool) -> None:
    """Prints what would happen to one clip."""
    click.echo(_json_line(planned) if as_json else printable(_text_line(planned)))


def _text_line(planned: Planned) -> str:
    start = f"{planned.word.replace('_', ' '):{WIDTH}}  {planned.label} ({view_title(planned.request.view)})"
    if planned.duplicate_of is not None:
        return f"{start}: the same clip as {planned.duplicate_of}"
    if planned.reason:
        reason = "; ".join(map(str, planned.problems)) or planned.reason
        return f"{start}: {' '.join(reason.split())}"
    return start if planned.analysis_id is None else f"{start}: analysis {planned.analysis_id}"


def _json_line(planned: Planned) -> str:
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


def print_plan(plan: Plan, *, as_json: bool, listed: bool) -> None:
    """Prints how many clips would be bought, collected and skipped; `listed` says that each was printed already."""
    counts = {name: count for name, count in asdict(plan).items() if name != "refusals"}
    if as_json and listed:  # stdout then holds one JSON object for each clip and nothing else
        print_message(", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count))
    elif as_json:
        click.echo(json.dumps({**counts, "refusals": plan.refusals}))
    else:
        rows = tuple((name.replace("_", " "), str(count), _MEANINGS[name]) for name, count in counts.items())
        title = "What the run would do; nothing was sent or spent"
        print_table(TextTable(title, ("clips", "count", "meaning"), rows))
        for refusal in plan.refusals if not listed else ():
            print_message(refusal)
