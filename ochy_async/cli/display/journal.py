"""Tables of the entries of a journal, and of the emulator's ledger.

Invariant: no results, which are health data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ...emulator import Charge
from ...journal.contract import Entry, HistoryEntry
from ...protocol.text_summary import NOTHING, count_of
from .tables import TextTable, utc_time
from .uncertain import KEY_DIGITS

__all__ = ["history_table", "journal_table", "ledger_table"]


def journal_table(title: str, entries: Sequence[Entry]) -> TextTable:
    """The entries, one in a row."""
    credits_ = count_of(sum(each.committed for each in entries), "credit")
    note = f"{count_of(len(entries), 'clip')}, {credits_} spent or uncertain"
    columns = ("state", "clip", "analysis", "changed", "credits", "key", "reason")
    return TextTable(title, columns, tuple(map(_row, entries)), (note,))


def _row(entry: Entry) -> tuple[str, ...]:
    return (
        str(entry.state),
        entry.clip or entry.name,
        entry.analysis_id or NOTHING,
        utc_time(entry.at),
        str(entry.committed),
        entry.key[:KEY_DIGITS],
        entry.reason or NOTHING,
    )


def history_table(entry: Entry, history: Iterable[HistoryEntry]) -> TextTable:
    """The former states of an entry, oldest first."""
    rows = tuple((utc_time(each.at), str(each.state), each.analysis_id or NOTHING, each.reason) for each in history)
    return TextTable(entry.clip or entry.name, ("at", "state", "analysis", "reason"), rows)


def ledger_table(ledger: Sequence[Charge], left: int) -> TextTable:
    """How often the emulator charged for each clip. Clips are identified by name and content."""
    charges = Counter((charge.filename, charge.sha256[:KEY_DIGITS]) for charge in ledger)
    rows = tuple((name, content, str(count)) for (name, content), count in charges.items())
    spent, clips = count_of(len(ledger), "credit"), count_of(len(charges), "clip")
    return TextTable(
        f"The emulator's ledger: {spent} spent on {clips}, {left} left", ("clip", "content", "credits"), rows
    )
