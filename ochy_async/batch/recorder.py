"""Writes what happens to the clips of a batch into the journal, in the order that keeps credits safe.

Invariant: an intent is stored before its start is sent; if it cannot be stored, the start is not sent. An id that is
paid for is remembered as long as the process lives, even if the journal fails.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from anyio import CancelScope
from attrs import define, evolve, field

from ..errors import JournalError, StartAttempt
from ..journal.contract import Entry, Journal, StoredResults
from ..policy.clip_states import State
from ..policy.credit_guard import CreditGuard, StopReason
from ..protocol.redaction import redact_words
from ..protocol.text_summary import printable

__all__ = ["Recorder", "attempt_of", "note_of_release", "released_starts", "remember_release", "reopened"]

logger = logging.getLogger("ochy_async")
MAX_REASON: Final = 1_000
RELEASED: Final = "released:"
PAID: Final = (State.STARTED, State.ANALYZED, State.FAILED)


@define(eq=False)
class Recorder:
    """Writes to the journal of one batch, and stops new starts if the journal fails."""

    journal: Journal
    guard: CreditGuard
    clock: Callable[[], datetime]
    charged: int = field(default=0, init=False)
    """Credits that are certainly spent, earlier runs included: analyses whose id is known."""
    _unrecorded: dict[str, Entry] = field(factory=dict, init=False)
    """Entries with a paid id that the journal has not stored so far, by the key of their clip."""

    async def open(self) -> None:
        """Counts the credits that earlier runs have spent, and those that they may have spent."""
        tally = await self.journal.totals()
        self.guard.spent_earlier = tally.credits
        self.charged = sum(tally.entries.get(state, 0) for state in PAID)
        if self.charged != tally.credits:  # uncertain or refused starts, or clips that were paid for more than once
            self.charged = len(await self.journal.analysis_ids())

    async def find(self, key: str) -> Entry | None:
        """The entry of a clip, or None. If the journal fails, nothing new is started and `JournalError` is raised."""
        try:
            return await self.journal.get(key)
        except JournalError as error:
            self.journal_failed(error)
            raise

    async def record_intent(self, before: Entry | None, **facts: Any) -> Entry:
        """Stores that a start is about to be sent. Must be called before its first byte.

        Raises `JournalError`: then the start must not be sent.
        """
        now = self.clock()
        fresh: dict[str, Any] = {"state": State.INTENDED, "at": now, "earliest": now, "latest": None, "reason": ""}
        if before is None:
            entry = Entry(credits=1, **fresh, **facts)
        else:
            entry = evolve(before, credits=before.credits + 1, **fresh, **facts)
        try:
            return await self.journal.put(entry)
        except JournalError as error:
            self.journal_failed(error)
            raise

    async def record(self, entry: Entry, state: State, results: StoredResults | None = None, **facts: Any) -> Entry:
        """Stores a new state of a clip, even if the caller is cancelled meanwhile.

        Returns the changed entry even if the journal fails; then nothing new is started.
        """
        facts["reason"] = redact_words(str(facts.get("reason", "")))[:MAX_REASON]
        changed = evolve(entry, state=state, at=self.clock(), **facts)
        with CancelScope(shield=True):
            try:
                return await self._store(changed, results)
            except JournalError as error:
                if state is State.STARTED:
                    self._unrecorded[entry.key] = changed
                self.journal_failed(error)
        return changed

    async def record_not_started(self, entry: Entry, reason: str) -> Entry:
        """Releases the credit of a start that certainly did not happen, and stores that."""
        self.guard.release_credit()
        return await self.record(entry, State.OPEN, reason=reason, credits=entry.credits - 1)

    async def _store(self, changed: Entry, results: StoredResults | None) -> Entry:
        """Stores an entry; first the paid id of its clip, if the journal could not store it before."""
        if changed.key in self._unrecorded:
            paid = await self._store_unrecorded(changed.key)
            changed = evolve(changed, version=paid.version)
        return await self.journal.put(changed, results)

    async def _store_unrecorded(self, key: str) -> Entry:
        """Stores a paid id that could not be stored before, on top of the current entry, which may already have the
        id."""
        stored, paid = await self.journal.get(key), self._unrecorded[key]
        if stored is None or stored.analysis_id != paid.analysis_id:
            stored = await self.journal.put(evolve(paid, version=0 if stored is None else stored.version))
        del self._unrecorded[key]
        return stored

    async def close(self) -> None:
        """Tries a last time to store the paid ids that the journal has not stored, and logs those that it cannot."""
        with CancelScope(shield=True):
            for key, paid in list(self._unrecorded.items()):
                with suppress(JournalError):
                    await self._store_unrecorded(key)
                if key in self._unrecorded:
                    names = printable(paid.analysis_id or ""), printable(paid.clip)
                    logger.error("the journal has not stored the paid analysis %s of %s", *names)

    def journal_failed(self, error: JournalError) -> None:
        """Stops new starts."""
        logger.error("the journal failed, so nothing new is started: %s", error)
        self.guard.stop(StopReason(f"Nothing new is started because the journal failed. {error}", error))


def reopened(entry: Entry, reason: str, at: datetime) -> Entry:
    """The entry as one that may be started again. Its history and its stored results stay in the journal."""
    return evolve(entry, state=State.OPEN, analysis_id=None, started_at=None, reason=reason, at=at)


def attempt_of(entry: Entry, latest: datetime) -> StartAttempt:
    """What a lookup of the entry's start needs. `latest` is when the start was over, and is used only if the entry does
    not say when."""
    return StartAttempt(
        clip=entry.name,
        view=entry.view,
        earliest=entry.earliest or entry.at,
        latest=entry.latest or latest,
        subject_id=entry.subject_id,
    )


async def remember_release(journal: Journal, entry: Entry, latest: datetime) -> None:
    """Stores a note about a start that is not looked up any more, because it was released or refused.

    Its analysis may still appear in the vendor's lists, and must not be taken for that of another start.
    """
    attempt = attempt_of(entry, latest)
    name = f"{entry.key}:{entry.version}"
    await journal.set_note(*note_of_release(name, attempt.earliest, attempt.latest, attempt.view, attempt.subject_id))


def note_of_release(
    name: str, earliest: datetime, latest: datetime, view: str, subject_id: str | None
) -> tuple[str, str]:
    """Name and value of the note about a start that may have happened although no entry says so."""
    return RELEASED + name, json.dumps([earliest.isoformat(), latest.isoformat(), view, subject_id])


async def released_starts(journal: Journal) -> list[StartAttempt]:
    """The starts that are not looked up any more."""
    return [_released(*json.loads(note)) for note in (await journal.notes(RELEASED)).values()]


def _released(earliest: str, latest: str, view: str, subject_id: str | None) -> StartAttempt:
    return StartAttempt("", view, datetime.fromisoformat(earliest), datetime.fromisoformat(latest), subject_id)
