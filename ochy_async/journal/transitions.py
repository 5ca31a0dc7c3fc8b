"""Which changes of an entry are allowed: the rules that every journal enforces.

Invariant: pure. A change starts from the stored entry and follows `TRANSITIONS`, or it is a conflict.
"""

from __future__ import annotations

from attrs import evolve

from ..errors import JournalConflict
from ..policy.clip_states import TRANSITIONS
from .contract import Entry, HistoryEntry

__all__ = ["history_entry", "next_version"]


def next_version(stored: Entry | None, entry: Entry) -> Entry:
    """Returns the entry with its next version. Raises `JournalConflict` unless it was made from the stored entry."""
    version = 0 if stored is None else stored.version
    if entry.version != version:
        raise JournalConflict(
            f"The journal entry of {_entry_name(entry)} was changed by somebody else (version {version}, "
            f"not {entry.version}). Nothing was stored. Read the entry again and decide anew.",
            analysis_id=entry.analysis_id,
        )
    before = None if stored is None else stored.state
    if entry.state not in TRANSITIONS[before]:
        raise JournalConflict(
            f"The journal entry of {_entry_name(entry)} cannot become {entry.state}: it is {before or 'new'}. "
            f"Nothing was stored. Read the entry again and decide anew.",
            analysis_id=entry.analysis_id,
        )
    return evolve(entry, version=version + 1)


def history_entry(entry: Entry) -> HistoryEntry:
    """Returns what a stored entry adds to its history."""
    return HistoryEntry(
        version=entry.version, state=entry.state, at=entry.at, analysis_id=entry.analysis_id, reason=entry.reason
    )


def _entry_name(entry: Entry) -> str:
    return repr(entry.clip or entry.name or entry.key)
