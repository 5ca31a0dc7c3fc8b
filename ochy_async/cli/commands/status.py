"""`ochy status`: polls analyses once and prints their status.

Invariant: one request per analysis and no waiting. A failed analysis is a status, not an error.
"""

from __future__ import annotations

from typing import Any, Final

import click

from ...errors import KeyRefused, OchyError
from ...protocol.analysis import AnalysisState
from ...protocol.text_summary import NOTHING, count_of, display_text, printable
from ...protocol.views import Results
from ...session import OchySession
from ..api_call import call_api, call_options
from ..connection import ConnectionSettings
from ..display.json_lines import print_records
from ..display.tables import TextTable, print_table, without_empty_columns
from ..display.terminal import print_message
from ..exit_codes import ExitCode, exit_code_of, most_severe
from ..journal_place import IdType

__all__ = ["command"]

_COLUMNS: Final = ("analysis", "status", "percent")


@click.command("status")
@click.argument("analysis_ids", metavar="ID...", nargs=-1, type=IdType(), required=True)
@call_options
def command(analysis_ids: tuple[str, ...], as_json: bool, connection: ConnectionSettings) -> None:
    """Show the current status of each analysis, without waiting. Spends nothing.

    To wait for analyses and show their results: `ochy wait ID`

    \b
    Example:
      ochy status 9b2f3c1e-8a54-4d6f-9a43-5a1f6c2f0d11
    """
    codes: list[ExitCode] = []
    states: list[AnalysisState[Results]] = []

    async def poll(ochy: OchySession) -> None:
        for analysis_id in dict.fromkeys(analysis_ids):
            try:
                states.append(await ochy.status(analysis_id))
            except KeyRefused:
                raise
            except OchyError as error:
                codes.append(exit_code_of(error))
                print_message(f"{printable(analysis_id)}: {error}")

    call_api(connection, poll)
    if as_json:
        print_records(map(_record, states))
    elif states:
        title = count_of(len(states), "analysis", "analyses")
        print_table(without_empty_columns(TextTable(title, _COLUMNS, tuple(map(_row, states)))))
    click.get_current_context().exit(most_severe(codes))


def _record(state: AnalysisState[Results]) -> dict[str, Any]:
    return {
        "analysis_id": state.analysis_id,
        "status": state.status,
        "percentage": state.percentage,
        "finished": state.finished,
    }


def _row(state: AnalysisState[Results]) -> tuple[str, ...]:
    percent = NOTHING if state.percentage is None else f"{state.percentage:g}"
    return state.analysis_id, display_text(state.status), percent
