"""What the entries of a journal mean if it may have lost its latest changes: a start that these may hide is uncertain.

Invariant: a start that a lost change may hide is not sent again unless the user says so, and no lookup takes its
analysis for that of another start.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from attrs import evolve

from ..journal.contract import Entry
from ..journal.sqlite.store import Store
from ..policy.clip_states import NEXT_STEP, State, Step
from ..policy.limits import Limits
from ..protocol.video_limits import MAX_BYTES
from .recorder import note_of_release

__all__ = ["becomes_uncertain", "recovery_change"]

_LONGEST_START: Final = timedelta(seconds=Limits().transfer(MAX_BYTES))
_REASON: Final = "The journal lost its latest changes, so what happened to the start is not known."


def becomes_uncertain(entry: Entry) -> bool:
    """Whether a lost change may have started the clip, or may have held the fate of its start."""
    return NEXT_STEP[entry.state] in (Step.START, Step.RECONCILE) and entry.state is not State.UNCERTAIN


def recovery_change(now: datetime) -> Callable[[Store], None]:
    """The change of a journal that may have lost its latest changes, made at `now` (UTC).

    Clips that are open, intended or being sent become uncertain. Tagging subjects are retired and prove nothing any
    more, because a lost start may be linked to them. The lost starts themselves are noted as if they had been released
    by hand, so that no lookup takes their analyses for those of another start; nor one of the time of a start that had
    a tagging subject.
    """

    def change(store: Store) -> None:
        entries = list(store.all_entries())
        latest = max((each.at for each in entries), default=now)
        earliest, tagging_subjects = latest, store.tagging_subjects()
        for entry in entries:
            if becomes_uncertain(entry):
                is_tagged = entry.subject_id in tagging_subjects
                if is_tagged and entry.state is not State.OPEN:
                    earliest = min(earliest, entry.earliest or entry.at)
                _make_uncertain(store, evolve(entry, subject_id=None) if is_tagged else entry, latest, now)
        for subject_id in tagging_subjects:
            store.retire_tagging_subject(subject_id)
        store.set_note(*note_of_release(f"repaired:{now.isoformat()}", earliest, now, "", None))

    return change


def _make_uncertain(store: Store, entry: Entry, latest: datetime, now: datetime) -> None:
    changes: dict[str, Any] = {"reason": _REASON, "at": now}
    over = now  # a clip that is open or intended may have been started at any time since the last known change
    if entry.state is State.SENDING:
        over = min(now, (entry.earliest or entry.at) + _LONGEST_START)
    elif entry.state is State.OPEN:
        intended = evolve(entry, state=State.INTENDED, credits=entry.credits + 1, earliest=latest, **changes)
        entry = store.put(intended, None)
    store.put(evolve(entry, state=State.UNCERTAIN, latest=over, **changes), None)
