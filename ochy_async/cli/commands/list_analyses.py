"""`ochy list`: lists the analyses of the account, or those linked to a subject.

Invariant: an analysis that is missing from the list is never reported as absent from the account, since the vendor does
not document the list's completeness or delay.
"""

from __future__ import annotations

from typing import Final

import click

from ...protocol.analysis_list import AnalysisList, ListedAnalysis
from ...protocol.text_summary import NOTHING, count_of, display_text
from ..api_call import call_api, call_options
from ..connection import ConnectionSettings
from ..display.json_lines import answer_record, print_records
from ..display.tables import TextTable, print_table, utc_time, without_empty_columns
from ..display.terminal import print_info

__all__ = ["command"]

_UNDOCUMENTED: Final = (
    "The vendor does not document the order of this list, whether it is complete, or how soon a new analysis "
    "appears. A missing analysis proves nothing."
)


@click.command("list")
@click.option("--subject", "subject_id", metavar="ID", help="List only the analyses that are linked to this subject.")
@call_options
def command(subject_id: str | None, as_json: bool, connection: ConnectionSettings) -> None:
    """List the analyses of the account, whoever started them. Spends nothing.

    To collect the results of one: `ochy wait ID`. The vendor does not document the order, completeness and delay of
    the list.

    \b
    Example:
      ochy list --subject 7c9e6679-7425-40de-944b-e07fc1f90ae7
    """
    listed = call_api(
        connection, lambda ochy: ochy.list_analyses() if subject_id is None else ochy.list_subject_analyses(subject_id)
    )
    if as_json:
        print_records(map(answer_record, listed))
    elif listed:
        print_table(_table(listed))
    else:
        owner = "account" if subject_id is None else "subject"
        print_info(f"The vendor lists no analyses for the {owner}.")
        print_info(_UNDOCUMENTED)


def _table(listed: AnalysisList) -> TextTable:
    title = count_of(len(listed), "analysis", "analyses")
    columns = ("analysis", "subject", "view", "status", "created")
    return without_empty_columns(TextTable(title, columns, tuple(map(_row, listed)), (_UNDOCUMENTED,)))


def _row(analysis: ListedAnalysis) -> tuple[str, ...]:
    return (
        analysis.analysis_id,
        analysis.subject_id or NOTHING,
        (analysis.view or NOTHING).removesuffix("_view"),
        display_text(analysis.status),
        utc_time(analysis.created_at, seconds=False),
    )
