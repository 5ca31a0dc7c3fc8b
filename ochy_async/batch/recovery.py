"""What the entries of a journal mean if it may have lost its latest changes: a start that these may hide is uncertain.

Invariant: a start that a lost change may hide is not sent again unless the user says so, and no lookup takes its
analysis for that of another start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from attrs import evolve

from ..journal.contract import Entry
from ..journal.sqlite.store import Store
from ..policy.clip_states import NEXT_STEP, State, Step
from ..policy.limits import Limits
from ..protocol.video_limits import MAX_BYTES
from .recorder import note_of_release
from .tagging import PREFIX, RETIRED

__all__ = ["becomes_uncertain", "recovery_change"]

_LONGEST_START: Final = timedelta(seconds=Limits().transfer(MAX_BYTES))
_REASON: Final = "The journal lost its latest changes, so what happened to the start is not known."


def becomes_uncertain(entry: Entry) -> bool:
    """Whether a lost change may have started the clip, or may have held the fate of its start."""
    return NEXT_STEP[entry.state] in (Step.START, Step.RECONCILE) and entry.state is not State.UNCERTAIN


def recovery_change(now: datetime) -> Callable[[Store], None]:
    """The change of a journal that may have lost its latest changes, made at `now` (UTC).

    Open and intended clips become uncertain. Tagging subjects are retired, because a lost start may be linked to them.
    The lost starts themselves are noted as if they had been released by hand, so that no lookup takes their analyses
    for those of another start.
    """

    def change(store: Store) -> None:
        entries = list(_all(store))
        latest = max((each.at for each in entries), default=now)
        for entry in entries:
            if becomes_uncertain(entry):
                _make_uncertain(store, entry, latest, now)
        for note in store.notes(PREFIX):
            store.set_note(note, RETIRED)
        store.set_note(*note_of_release(f"repaired:{now.isoformat()}", latest, now, "", None))

    return change


def _make_uncertain(store: Store, entry: Entry, latest: datetime, now: datetime) -> None:
    changes: dict[str, Any] = {"subject_id": None, "reason": _REASON, "at": now}
    if NEXT_STEP[entry.state] is Step.RECONCILE:
        over = min(now, (entry.earliest or entry.at) + _LONGEST_START)
    else:  # the clip may have been started at any time since the last known change
        intended = evolve(entry, state=State.INTENDED, credits=entry.credits + 1, earliest=latest, **changes)
        entry, over = store.put(intended, None), now
    store.put(evolve(entry, state=State.UNCERTAIN, latest=over, **changes), None)


def _all(store: Store) -> Iterator[Entry]:
    after = 0
    while page := store.entries((), after):
        yield from (entry for _, entry in page)
        after = page[-1][0]
