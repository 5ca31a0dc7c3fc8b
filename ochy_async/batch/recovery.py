"""What a journal means once its latest changes may be lost: whatever they may have started is a doubt.

Invariant: nothing that a lost change may have bought is bought again, or taken for something else, without the
user's word.
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

__all__ = ["becomes_doubt", "doubting"]

_LONGEST: Final = timedelta(seconds=Limits().transfer(MAX_BYTES))
"""For as long a start may have been under way."""
_UNKNOWN: Final = "The journal lost its latest changes, and with them what became of it."


def becomes_doubt(entry: Entry) -> bool:
    """Whether a lost change may have started it, or told what became of its start."""
    return NEXT_STEP[entry.state] in (Step.START, Step.RECONCILE) and entry.state is not State.UNCERTAIN


def doubting(now: datetime) -> Callable[[Store], None]:
    """The change of a journal that may have lost its latest changes, made at `now` (UTC).

    Intents, and clips that were free to be started, become doubts. Subjects that tag starts are not used again:
    a lost start may be linked to them. What was lost is a rival of every doubt, as a start released by hand is.
    """

    def change(store: Store) -> None:
        entries = list(_all(store))
        latest = max((each.at for each in entries), default=now)
        for entry in entries:
            if becomes_doubt(entry):
                _doubt(store, entry, latest, now)
        for lane in store.notes(PREFIX):
            store.set_note(lane, RETIRED)
        store.set_note(*note_of_release(f"repaired:{now.isoformat()}", latest, now, "", None))

    return change


def _doubt(store: Store, entry: Entry, latest: datetime, now: datetime) -> None:
    changes: dict[str, Any] = {"subject_id": None, "reason": _UNKNOWN, "at": now}
    if NEXT_STEP[entry.state] is Step.RECONCILE:
        end = min(now, (entry.earliest or entry.at) + _LONGEST)
    else:  # it may have been started at any time since
        again = evolve(entry, state=State.INTENDED, credits=entry.credits + 1, earliest=latest, **changes)
        entry, end = store.put(again, None), now
    store.put(evolve(entry, state=State.UNCERTAIN, latest=end, **changes), None)


def _all(store: Store) -> Iterator[Entry]:
    after = 0
    while page := store.entries((), after):
        yield from (entry for _, entry in page)
        after = page[-1][0]
