"""Which changes of an entry are allowed: the rules that every journal enforces.

Invariant: pure. A change starts from the stored entry and follows `TRANSITIONS`, or it is a conflict. One analysis
belongs to one entry, and one tagging subject to one start that is not resolved. A retired one tags no new start.
"""

from __future__ import annotations

from attrs import evolve

from ..errors import JournalConflict, LimitReached
from ..policy.clip_states import TRANSITIONS, State
from ..protocol.text_summary import count_of
from .contract import Entry, HistoryEntry

__all__ = [
    "HOLDS_SUBJECT",
    "analysis_conflict",
    "check_limit",
    "history_entry",
    "next_version",
    "subject_conflict",
    "with_analysis",
]

HOLDS_SUBJECT = frozenset({State.INTENDED, State.SENDING, State.UNCERTAIN})
"""In these states a start may be linked to its subject without its id being known."""


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


def with_analysis(stored: Entry, analysis_id: str, reason: str) -> tuple[Entry, HistoryEntry]:
    """Returns what `Journal.add_analysis` stores: the entry with one more credit, and its history's next row."""
    entry = evolve(stored, version=stored.version + 1, credits=stored.credits + 1)
    return entry, evolve(history_entry(entry), analysis_id=analysis_id, reason=reason)


def analysis_conflict(entry: Entry) -> JournalConflict:
    """Returns the error for an entry whose analysis belongs to another one."""
    return JournalConflict(
        f"The analysis {entry.analysis_id} belongs, or once belonged, to another clip of the journal than "
        f"{_entry_name(entry)}. Nothing was stored.",
        analysis_id=entry.analysis_id,
    )


def subject_conflict(entry: Entry) -> JournalConflict:
    """Returns the error for a start whose tagging subject is retired, or belongs to another start that is not
    resolved."""
    error = JournalConflict(
        f"The tagging subject of {_entry_name(entry)} is retired, or belongs to another start that is not resolved. "
        "Nothing was stored. Use another subject."
    )
    error.about_subject = True
    return error


def check_limit(committed: int, most: int) -> None:
    """Raises `LimitReached` if the credits that would be committed are more than `most`."""
    if committed > most:
        error = LimitReached(f"The limit of {count_of(most, 'credit')} is reached. Nothing was stored.")
        error.committed = committed - 1
        raise error


def _entry_name(entry: Entry) -> str:
    return repr(entry.clip or entry.name or entry.key)
