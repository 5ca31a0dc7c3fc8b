"""What may become of an entry: the rules that every journal enforces in the same words.

Invariant: pure. A change is made from what is stored, along `TRANSITIONS`, or it is a conflict.
"""

from __future__ import annotations

from attrs import evolve

from ..errors import JournalConflict
from ..policy.clip_states import TRANSITIONS
from .contract import Entry, Past

__all__ = ["changed", "past"]


def changed(stored: Entry | None, entry: Entry) -> Entry:
    """The entry with its next version. Raises `JournalConflict` where it was not made from what is stored."""
    version = 0 if stored is None else stored.version
    if entry.version != version:
        raise JournalConflict(
            f"The entry of {_called(entry)} was changed by somebody else meanwhile (version {version}, "
            f"not {entry.version}); nothing was stored. Read it again and decide anew.",
            analysis_id=entry.analysis_id,
        )
    before = None if stored is None else stored.state
    if entry.state not in TRANSITIONS[before]:
        raise JournalConflict(
            f"The entry of {_called(entry)} cannot become {entry.state}: it is {before or 'unknown so far'}; "
            f"nothing was stored. Read it again and decide anew.",
            analysis_id=entry.analysis_id,
        )
    return evolve(entry, version=version + 1)


def past(entry: Entry) -> Past:
    """The line that a stored entry adds to its history."""
    return Past(
        version=entry.version,
        state=entry.state,
        at=entry.at,
        analysis_id=entry.analysis_id,
        reason=entry.reason,
    )


def _called(entry: Entry) -> str:
    return repr(entry.clip or entry.name or entry.key)
