"""`ochy journal repair`: shows what can be proven of a damaged journal, and repairs it.

Invariant: nothing is changed without confirmation, and what cannot be proven is printed before.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from ...batch.recovery import becomes_uncertain, recovery_change
from ...errors import JournalDamaged
from ...journal.sqlite.repair import Inspection, inspect, repair
from ...protocol.text_summary import NOTHING
from ..display.tables import TextTable, print_table, utc_time
from ..display.terminal import confirm, print_message
from ..journal_place import JournalFile
from ..quoting import command_line

__all__ = ["command"]

_MAY_BE_MISSING: Final = (
    "A clip that was first started after that is not in the journal, and the next run would buy it again. Before you "
    "run again, compare `ochy list` with `ochy journal show`."
)


@click.command("repair")
@click.argument("path", metavar="JOURNAL", type=JournalFile(exists=True, dir_okay=False, path_type=Path))
@click.option("--yes", is_flag=True, help="Repair without confirmation.")
def command(path: Path, yes: bool) -> None:
    """Show what a damaged journal proves, and repair it if all of its contents are proven.

    A repair helps a journal that was not closed and whose -wal file is lost. The journal is copied first. Every start
    with an unknown outcome becomes uncertain: it is looked up, and not bought again unless you release it. Spends
    nothing.
    """
    inspection = inspect(path)
    if inspection.complete:
        print_message(f"The journal {str(path)!r} is intact: every row has its checksum, and nothing is missing.")
        return
    print_table(_table(path, inspection))
    if not inspection.verified:
        raise _not_repairable(path, inspection)
    for line in _unproven_lines(path, inspection):
        print_message(line)
    confirm("Repair it?", yes=yes)
    copy = repair(path, recovery_change(datetime.now(UTC)))
    print_message(f"Repaired. The damaged journal is saved as {str(copy)!r}.")
    print_message(f"To see uncertain starts: {command_line('ochy', 'journal', 'show', operands=[str(path)])}")


def _table(path: Path, inspection: Inspection) -> TextTable:
    rows = tuple(
        (
            each.name,
            NOTHING if each.expected is None else str(each.expected),
            str(each.found),
            str(each.verified),
            "yes" if each.complete else "NO",
        )
        for each in inspection.tables
    )
    return TextTable(f"The journal {path}", ("table", "written", "readable", "proven", "complete"), rows)


def _unproven_lines(path: Path, inspection: Inspection) -> Iterator[str]:
    uncertain = sum(map(becomes_uncertain, inspection.entries))
    contents = "no change" if inspection.latest is None else f"every change up to {utc_time(inspection.latest)}"
    yield f"All contents are proven: {contents}. The journal was not closed, and {path.name}-wal is lost."
    yield "Later changes may be missing. If you have a copy of that file, put it beside the journal instead."
    yield (
        f"{uncertain} of {len(inspection.entries)} clips become uncertain: each may have been charged, so it is not "
        "bought again before you release it. Subjects that tagged starts are not used again."
    )
    yield _MAY_BE_MISSING


def _not_repairable(path: Path, inspection: Inspection) -> JournalDamaged:
    """An error that names the paid analyses whose ids are proven."""
    ids = inspection.analysis_ids
    wait = command_line("ochy", "wait", operands=list(ids))
    paid = f" {len(ids)} ids of paid analyses are proven. To collect their results: {wait}" if ids else ""
    return JournalDamaged(
        f"The journal {str(path)!r} cannot be repaired: rows are lost or changed, so clips that are paid for could be "
        f"bought again. Nothing was changed. Restore a copy of it.{paid}"
    )
