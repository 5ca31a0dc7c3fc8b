"""`ochy status`: where analyses stand, looked at once.

Invariant: one request for each analysis and no wait; a failed analysis is a state, not an error.
"""

from __future__ import annotations

from typing import Any, Final

import click

from ...errors import KeyRefused, OchyError
from ...protocol.analysis import AnalysisState
from ...protocol.text_summary import display_text
from ...protocol.views import Results
from ...session import OchySession
from ..api_call import call_options, perform
from ..connection import Account
from ..display.json_lines import print_records
from ..display.reporter import draw, tell
from ..display.tables import NOTHING, Sheet, filled, printable
from ..exit_codes import Exit, exit_of, worst

__all__ = ["command"]

_COLUMNS: Final = ("analysis", "status", "percent")


@click.command("status")
@click.argument("analysis_ids", metavar="ID...", nargs=-1, required=True)
@call_options
def command(analysis_ids: tuple[str, ...], as_json: bool, **account: Any) -> None:
    """Look once at each analysis and say where it stands, without waiting. Spends nothing.

    To wait for them and show their results: `ochy wait ID`

    \b
    Example:
      ochy status 9b2f3c1e-8a54-4d6f-9a43-5a1f6c2f0d11
    """
    codes: list[Exit] = []
    states: list[AnalysisState[Results]] = []

    async def look(ochy: OchySession) -> None:
        for analysis_id in dict.fromkeys(analysis_ids):
            try:
                states.append(await ochy.status(analysis_id))
            except KeyRefused:
                raise
            except OchyError as error:
                codes.append(exit_of(error))
                tell(f"{printable(analysis_id)}: {error}")

    perform(Account(**account), look)
    if as_json:
        print_records(map(_record, states))
    elif states:
        title = f"{len(states)} analys{'i' if len(states) == 1 else 'e'}s"
        draw(filled(Sheet(title, _COLUMNS, tuple(map(_row, states)))))
    click.get_current_context().exit(worst(codes))


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
