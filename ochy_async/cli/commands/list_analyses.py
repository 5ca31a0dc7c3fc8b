"""`ochy list`: the analyses of the account, or those linked to a subject.

Invariant: it lists what the vendor lists, and says what the vendor does not document about its lists.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import click

from ...protocol.analysis import AnalysisList, ListedAnalysis
from ...protocol.text_summary import display_text
from ..api_call import call_options, perform
from ..connection import Account
from ..display.json_lines import print_records, record
from ..display.reporter import draw, inform
from ..display.tables import NOTHING, Sheet, filled

__all__ = ["command"]

_UNKNOWN: Final = (
    "The vendor does not document the order of this list, whether it is complete, or how soon a new analysis "
    "appears in it: that one is missing here proves nothing."
)


@click.command("list")
@click.option("--subject", "subject_id", metavar="ID", help="Only the analyses that are linked to this subject.")
@call_options
def command(subject_id: str | None, as_json: bool, **account: Any) -> None:
    """List the analyses of the account, whoever started them. Spends nothing.

    The results of one are collected with `ochy wait ID`. Order, completeness and delay of the list are not
    documented by the vendor.

    \b
    Example:
      ochy list --subject 7c9e6679-7425-40de-944b-e07fc1f90ae7
    """
    listed = perform(
        Account(**account),
        lambda ochy: ochy.list_analyses() if subject_id is None else ochy.list_subject_analyses(subject_id),
    )
    if as_json:
        print_records(map(record, listed))
    elif listed:
        draw(_sheet(listed))
    else:
        inform(f"{'The account has' if subject_id is None else 'The subject has'} no analyses in the vendor's list.")
        inform(_UNKNOWN)


def _sheet(listed: AnalysisList) -> Sheet:
    title = f"{len(listed)} analys{'i' if len(listed) == 1 else 'e'}s"
    columns = ("analysis", "subject", "view", "status", "created")
    return filled(Sheet(title, columns, tuple(map(_row, listed)), (_UNKNOWN,)))


def _row(analysis: ListedAnalysis) -> tuple[str, ...]:
    return (
        analysis.analysis_id,
        analysis.subject_id or NOTHING,
        (analysis.view or NOTHING).removesuffix("_view"),
        display_text(analysis.status),
        NOTHING if analysis.created_at is None else _moment(analysis.created_at),
    )


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}Z"
