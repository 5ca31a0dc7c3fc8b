"""`ochy journal repair`: a journal that was refused as damaged, and what can be proven of it.

Invariant: nothing is changed unasked, and what cannot be proven is said before.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from ...batch.recovery import becomes_doubt, doubting
from ...errors import JournalDamaged
from ...journal.sqlite.repair import Inspection, inspect, repair
from ..display.reporter import draw, tell
from ..display.tables import NOTHING, Sheet
from ..quoting import command_line

__all__ = ["command", "confirm"]

_UNKNOWN: Final = (
    "A clip that was first started after that is not in the journal: the next run would buy it again. Before you run "
    "again, compare `ochy list` with `ochy journal show`."
)


@click.command("repair")
@click.argument("path", metavar="JOURNAL", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(path: Path, yes: bool) -> None:
    """Show what a damaged journal proves, and make it usable again where all that it holds is proven.

    That is so after a journal was not closed and its -wal file is gone. A copy is made first; every start whose end
    it does not tell becomes a doubt, which is looked up and never bought again unasked. Spends nothing.
    """
    inspection = inspect(path)
    if inspection.complete:
        tell(f"The journal {str(path)!r} is whole: every row has its checksum, and nothing is missing.")
        return
    draw(_sheet(path, inspection))
    if not inspection.verified:
        raise _lost(path, inspection)
    for line in _unproven(path, inspection):
        tell(line)
    confirm("Repair it?", yes=yes)
    copy = repair(path, doubting(datetime.now(UTC)))
    tell(f"Repaired. What it was before is in {str(copy)!r}.")
    tell(f"What is in doubt: {command_line('ochy', 'journal', 'show', operands=[str(path)])}")


def confirm(question: str, *, yes: bool) -> None:
    """Asks on a terminal. Raises where the answer is no, and a usage error where nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("Nothing was changed. Say --yes where nobody can be asked.")
    click.confirm(question, abort=True, err=True)


def _sheet(path: Path, inspection: Inspection) -> Sheet:
    rows = tuple(
        (each.name, _number(each.expected), str(each.found), str(each.verified), "yes" if each.complete else "NO")
        for each in inspection.tables
    )
    return Sheet(f"The journal {path}", ("table", "written", "readable", "proven", "complete"), rows)


def _number(of: int | None) -> str:
    return NOTHING if of is None else str(of)


def _unproven(path: Path, inspection: Inspection) -> Iterator[str]:
    doubts = sum(map(becomes_doubt, inspection.entries))
    until = "nothing" if inspection.latest is None else f"every change up to {inspection.latest:%Y-%m-%d %H:%M:%S}Z"
    yield f"The file holds {until}, and all of that is proven. It was not closed, and {path.name}-wal is gone."
    yield "Later changes may be missing, which nobody can prove. If you have a copy of it, put that beside the journal."
    yield (
        f"{doubts} of {len(inspection.entries)} clips become doubts: each may have been charged, so none is bought "
        "again before you release it. Subjects that tagged starts are not used again."
    )
    yield _UNKNOWN


def _lost(path: Path, inspection: Inspection) -> JournalDamaged:
    """What a journal that cannot be repaired still tells."""
    ids = inspection.analysis_ids
    wait = command_line("ochy", "wait", operands=list(ids))
    paid = f" The ids of {len(ids)} paid analyses are proven; to collect them: {wait}" if ids else ""
    return JournalDamaged(
        f"The journal {str(path)!r} cannot be repaired: rows are lost or altered, so clips that are paid for could be "
        f"bought again. Nothing was changed. Restore a copy of it.{paid}"
    )
