"""The books of a batch: what the journal is told, and when.

Invariant: intent before deed. An intent that cannot be written is a start that is not made; what
is paid is remembered as long as the process lives, even where the journal fails.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from anyio import CancelScope
from attrs import define, evolve, field

from ..errors import JournalError, StartAttempt
from ..journal.contract import Entry, Journal, StoredResults
from ..policy.clip_states import State
from ..policy.credit_guard import CreditGuard, StopReason
from ..protocol.redaction import redact_words
from ..protocol.text_summary import printable

__all__ = ["Recorder", "attempt_of", "note_of_release", "opened", "released_starts", "remember_release"]

logger = logging.getLogger("ochy_async")
LONGEST_REASON = 1_000
RELEASED = "released:"
PAID = (State.STARTED, State.ANALYZED, State.FAILED)


@define(eq=False)
class Recorder:
    """Journal, guard and clock of one batch."""

    journal: Journal
    guard: CreditGuard
    clock: Callable[[], datetime]
    charged: int = field(default=0, init=False)
    """Credits that are surely spent, those of earlier runs included: analyses whose id is known."""
    _owed: dict[str, Entry] = field(factory=dict, init=False)
    """Paid ids that the journal would not take so far, by the key of their clip."""

    async def open(self) -> None:
        """Counts what earlier runs have spent, and what they may have."""
        tally = await self.journal.totals()
        self.guard.spent_earlier = tally.credits
        self.charged = sum(tally.entries.get(state, 0) for state in PAID)
        if self.charged != tally.credits:  # doubts, refusals, clips that were paid more than once
            self.charged = len(await self.journal.analysis_ids())

    async def find(self, key: str) -> Entry | None:
        """What is known of a clip. Where the journal fails nothing new is bought."""
        try:
            return await self.journal.get(key)
        except JournalError as trouble:
            self.fails(trouble)
            raise

    async def intend(self, before: Entry | None, **facts: Any) -> Entry:
        """Writes down that a start is about to be sent; to be called before its first byte.

        Raises `JournalError`: then it must not be sent.
        """
        now = self.clock()
        fresh: dict[str, Any] = {"state": State.INTENDED, "at": now, "earliest": now, "latest": None, "reason": ""}
        if before is None:
            entry = Entry(credits=1, **fresh, **facts)
        else:
            entry = evolve(before, credits=before.credits + 1, **fresh, **facts)
        try:
            return await self.journal.put(entry)
        except JournalError as trouble:
            self.fails(trouble)
            raise

    async def record(self, entry: Entry, state: State, kept: StoredResults | None = None, **facts: Any) -> Entry:
        """Writes down what became of a clip, whatever happens to the caller meanwhile."""
        facts["reason"] = redact_words(str(facts.get("reason", "")))[:LONGEST_REASON]
        changed = evolve(entry, state=state, at=self.clock(), **facts)
        with CancelScope(shield=True):
            try:
                return await self._stored(changed, kept)
            except JournalError as trouble:
                if state is State.STARTED:
                    self._owed[entry.key] = changed
                self.fails(trouble)
        return changed

    async def _stored(self, changed: Entry, kept: StoredResults | None) -> Entry:
        """Stores a change; before it the paid id, if the journal would not take that when it came."""
        if changed.key in self._owed:
            paid = await self._made_good(changed.key)
            changed = evolve(changed, version=paid.version)
        return await self.journal.put(changed, kept)

    async def _made_good(self, key: str) -> Entry:
        """Stores a paid id late, on top of whatever the journal holds by now; that may be the id itself."""
        stored, paid = await self.journal.get(key), self._owed[key]
        if stored is None or stored.analysis_id != paid.analysis_id:
            stored = await self.journal.put(evolve(paid, version=0 if stored is None else stored.version))
        del self._owed[key]
        return stored

    async def close(self) -> None:
        """A last try to store the paid ids that the journal would not take: nobody knows them after this."""
        with CancelScope(shield=True):
            for key in list(self._owed):
                await self._made_good_at_last(key)

    async def _made_good_at_last(self, key: str) -> None:
        paid = self._owed[key]
        with suppress(JournalError):
            await self._made_good(key)
        if key in self._owed:
            told = printable(paid.analysis_id or ""), printable(paid.clip)
            logger.error("the journal has not stored the paid analysis %s of %s", *told)

    async def give_up(self, entry: Entry, reason: str) -> Entry:
        """The start surely did not happen: its credit is free again."""
        self.guard.release_credit()
        return await self.record(entry, State.OPEN, reason=reason, credits=entry.credits - 1)

    def fails(self, trouble: JournalError) -> None:
        """The journal has failed: nothing new is bought."""
        logger.error("the journal fails, so nothing new is bought: %s", trouble)
        self.guard.stop(StopReason(f"Nothing new is bought while the journal fails. {trouble}", trouble))


def opened(entry: Entry, reason: str, at: datetime) -> Entry:
    """The entry as one that may be bought again; its past, and what was kept of it, stay."""
    return evolve(entry, state=State.OPEN, analysis_id=None, started_at=None, reason=reason, at=at)


def attempt_of(entry: Entry, latest: datetime) -> StartAttempt:
    """What a lookup of an entry's start needs; it ended at `latest` at the latest, unless the entry knows better."""
    return StartAttempt(
        clip=entry.name,
        view=entry.view,
        earliest=entry.earliest or entry.at,
        latest=entry.latest or latest,
        subject_id=entry.subject_id,
    )


async def remember_release(journal: Journal, entry: Entry, latest: datetime) -> None:
    """Remembers a start that nobody looks up any more, released unsolved or refused: what became of it may yet turn up
    in the lists."""
    attempt = attempt_of(entry, latest)
    name = f"{entry.key}:{entry.version}"
    await journal.set_note(*note_of_release(name, attempt.earliest, attempt.latest, attempt.view, attempt.subject_id))


def note_of_release(
    name: str, earliest: datetime, latest: datetime, view: str, subject_id: str | None
) -> tuple[str, str]:
    """Name and value of the note of a start that may have happened, and that no entry stands for."""
    return RELEASED + name, json.dumps([earliest.isoformat(), latest.isoformat(), view, subject_id])


async def released_starts(journal: Journal) -> list[StartAttempt]:
    """The starts that nobody looks up any more."""
    return [_ghost(*json.loads(upload_limit)) for upload_limit in (await journal.notes(RELEASED)).values()]


def _ghost(earliest: str, latest: str, view: str, subject_id: str | None) -> StartAttempt:
    return StartAttempt("", view, datetime.fromisoformat(earliest), datetime.fromisoformat(latest), subject_id)
