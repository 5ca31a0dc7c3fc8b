"""Writes what happens to the clips of a batch into the journal, in the order that keeps credits safe.

Invariant: an intent is stored before its start is sent, and the permission to send its last chunk before that chunk is
sent; what cannot be stored is not sent. An id that is paid for is remembered as long as the process lives, even if the
journal fails.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from anyio import CancelScope
from anyio.lowlevel import checkpoint
from attrs import define, evolve, field

from ..errors import JournalConflict, JournalError, LimitReached, StartAttempt
from ..journal.contract import Entry, Journal, StoredResults
from ..policy.clip_states import State
from ..policy.credit_guard import CreditGuard, StopReason
from ..protocol.redaction import redact_words
from ..protocol.text_summary import printable
from .moved_entries import on_top_of

__all__ = [
    "MAX_CONFLICTS",
    "Recorder",
    "attempt_of",
    "note_of_release",
    "released_starts",
    "remember_release",
    "reopened",
]

logger: logging.Logger = logging.getLogger("ochy_async")
MAX_REASON: Final = 1_000
RELEASED: Final = "released-until:"
"""The prefix of the notes about released starts. When the start was over follows, so the names are in that order."""
_RELEASED_WITHOUT_TIME: Final = "released:"
"""The prefix of these notes in journals of earlier versions."""
NOTES_AT_ONCE: Final = 500
"""Notes that are read without a checkpoint: about two milliseconds of work."""
MAX_CONFLICTS: Final = 5
"""How often a change is decided anew because its entry has changed meanwhile."""
_MOVED: Final = "The journal entry has changed meanwhile. Run again: what is paid for is in the journal."


@define(eq=False)
class Recorder:
    """Writes to the journal of one batch, and stops new starts if the journal fails.

    If an entry has changed since it was read, the journal has not failed: then every method raises `JournalConflict`,
    and the entry must be read again.
    """

    journal: Journal
    guard: CreditGuard
    clock: Callable[[], datetime]
    charged: int = field(default=0, init=False)
    """Credits that are certainly spent, earlier runs included: analyses whose id is known."""
    _tokens: dict[str, str] = field(factory=dict, init=False)
    """The tokens of the attempts that asked for `SENDING`, by the key of their clip, until it is known whether it was
    stored: the transport may cancel the task that waits for it."""
    _unrecorded: dict[str, Entry] = field(factory=dict, init=False)
    """Entries with a paid id that the journal has not stored so far, by the key of their clip."""

    async def open(self) -> None:
        """Counts the credits that earlier runs have spent, and those that they may have spent."""
        totals = await self.journal.totals()
        self.guard.spent_earlier, self.charged = totals.committed, totals.analyses

    async def find(self, key: str) -> Entry | None:
        """The entry of a clip, or None. If the journal fails, nothing new is started and `JournalError` is raised."""
        try:
            return await self.journal.get(key)
        except JournalError as error:
            self.journal_failed(error)
            raise

    async def record_intent(self, before: Entry | None, **facts: Any) -> Entry:
        """Stores that a start is about to be sent. Must be called before its first byte.

        Raises `JournalError`: then the start must not be sent. It is `LimitReached` if all workers of a shared journal
        together have committed the credits that they may spend.
        """
        now = self.clock()
        fresh: dict[str, Any] = {"state": State.INTENDED, "at": now, "earliest": now, "latest": None, "reason": ""}
        fresh["token"] = None
        if before is None:
            entry = Entry(credits=1, **fresh, **facts)
        else:
            entry = evolve(before, credits=before.credits + 1, **fresh, **facts)
        try:
            if self.journal.shared:
                return await self.journal.put(entry, most=self.guard.limit)
            return await self.journal.put(entry)
        except (JournalConflict, LimitReached):
            raise
        except JournalError as error:
            self.journal_failed(error)
            raise

    async def record_sending(self, entry: Entry) -> Entry:
        """Stores that the last chunk of an attempt is about to be sent, with a token of its own.

        Raises `JournalError`: then the chunk must not be sent.
        """
        token = self._tokens[entry.key] = secrets.token_hex(16)
        try:
            return await self.journal.put(evolve(entry, state=State.SENDING, token=token, at=self.clock()))
        except JournalConflict:
            raise
        except JournalError as error:
            self.journal_failed(error)
            raise

    async def record_cut_short(self, entry: Entry) -> Entry:
        """Stores that an attempt certainly did not happen although its last chunk had been permitted.

        Raises `JournalError`: then no other attempt must be made.
        """
        try:
            with CancelScope(shield=True):
                entry = await self._confirmed(entry)
                if entry.state is State.SENDING:
                    withdrawn = evolve(entry, state=State.INTENDED, token=None, at=self.clock())
                    entry = await self.journal.put(withdrawn)
        except JournalConflict:
            raise
        except JournalError as error:
            self.journal_failed(error)
            raise
        return entry

    async def record(self, entry: Entry, state: State, results: StoredResults | None = None, **facts: Any) -> Entry:
        """Stores a new state of a clip, even if the caller is cancelled meanwhile.

        Returns the changed entry even if the journal fails; then nothing new is started. If the entry has changed
        meanwhile, stores what must not be lost of this change, and raises `JournalConflict` unless the entry is in the
        new state then.
        """
        facts["reason"] = redact_words(str(facts.get("reason", "")))[:MAX_REASON]
        changed, token = evolve(entry, state=state, at=self.clock(), **facts), entry.token
        with CancelScope(shield=True):
            try:
                stored = await self._confirmed(entry)
                token = stored.token
                return await self._store(evolve(changed, version=stored.version, token=stored.token), results)
            except JournalConflict:
                raise
            except JournalError as error:
                if state is State.STARTED:
                    self._unrecorded[entry.key] = evolve(changed, token=self._tokens.get(entry.key, token))
                self.journal_failed(error)
        return changed

    async def record_not_started(self, entry: Entry, reason: str) -> Entry:
        """Releases the credit of a start that certainly did not happen, and stores that."""
        self.guard.release_credit()
        return await self.record(entry, State.OPEN, reason=reason, credits=entry.credits - 1)

    async def _confirmed(self, entry: Entry) -> Entry:
        """The entry, or the stored one if that has become `SENDING` by an attempt that did not learn of it."""
        token = self._tokens.get(entry.key)
        if token is not None and token != entry.token:
            stored = await self.journal.get(entry.key)
            if stored is not None and stored.token == token:
                entry = stored
        self._tokens.pop(entry.key, None)
        return entry

    async def _store(self, changed: Entry, results: StoredResults | None) -> Entry:
        """Stores an entry; first the paid id of its clip, if the journal could not store it before."""
        if changed.key in self._unrecorded:
            paid = await self._store_unrecorded(changed.key)
            changed = evolve(changed, version=paid.version, credits=paid.credits)
        try:
            return await self.journal.put(changed, results)
        except JournalConflict as conflict:
            return await self._store_on_top(changed, results, conflict)

    async def _store_unrecorded(self, key: str) -> Entry:
        """Stores a paid id that could not be stored before, on top of the current entry, which may already have the
        id."""
        stored, paid = await self.journal.get(key), self._unrecorded[key]
        if stored is None:
            stored = await self.journal.put(evolve(paid, version=0))
        elif stored.analysis_id != paid.analysis_id:
            try:
                stored = await self._store_on_top(paid, None, None)
            except JournalConflict:  # the id is stored, but the entry is about something else
                del self._unrecorded[key]
                raise
        del self._unrecorded[key]
        return stored

    async def _store_on_top(
        self, changed: Entry, results: StoredResults | None, conflict: JournalConflict | None
    ) -> Entry:
        """Stores what must not be lost of a change although its entry has changed. Raises `JournalConflict` unless the
        entry is in the new state then."""
        for _ in range(MAX_CONFLICTS):
            stored = await self.journal.get(changed.key)
            if stored is None:
                raise conflict or JournalConflict(_MOVED)
            try:
                stored = await self._add_to(stored, changed, results)
            except JournalConflict as error:
                conflict = error
            else:
                if (stored.state, stored.analysis_id) == (changed.state, changed.analysis_id):
                    return stored
                break
        if changed.state is State.STARTED and changed.analysis_id is not None:
            await self.journal.add_analysis(changed.key, changed.analysis_id, changed.reason)
        raise conflict or JournalConflict(_MOVED)

    async def _add_to(self, stored: Entry, changed: Entry, results: StoredResults | None) -> Entry:
        analysis_id, is_new = changed.analysis_id, changed.state is State.STARTED
        if is_new and analysis_id is not None and await self.journal.known({analysis_id}):
            return stored
        steps = on_top_of(stored, changed)
        if is_new and analysis_id is not None and len(steps) != 1:
            stored = await self.journal.add_analysis(changed.key, analysis_id, changed.reason)
            steps = on_top_of(stored, changed)
        elif changed.state is State.UNCERTAIN and changed.token is None and not steps:
            await self._remember_doubt(changed)
        for step in steps:
            stored = await self.journal.put(step, results)
        return stored

    async def _remember_doubt(self, entry: Entry) -> None:
        """Stores that a start may have been charged whose entry is about another start by now."""
        await remember_release(self.journal, entry, self.clock())
        if entry.subject_id is not None:
            await self.journal.retire_tagging_subject(entry.subject_id)

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
    """Name and value of the note about a start that may have happened although no entry says so.

    Without a view it is about starts of which nothing is known: they may have had any subject.
    """
    value = json.dumps([earliest.isoformat(), latest.isoformat(), view, subject_id])
    return f"{_released_until(latest)}:{name}", value


def _released_until(latest: datetime) -> str:
    return RELEASED + latest.astimezone(UTC).isoformat(timespec="seconds")


async def released_starts(journal: Journal, since: datetime) -> list[StartAttempt]:
    """The starts that are not looked up any more, without most of those that were over before `since`."""
    notes = [*(await journal.notes(_RELEASED_WITHOUT_TIME)).values()]
    notes += (await journal.notes(RELEASED, _released_until(since))).values()
    starts = list[StartAttempt]()
    for first in range(0, len(notes), NOTES_AT_ONCE):
        starts += (_released(*json.loads(note)) for note in notes[first : first + NOTES_AT_ONCE])
        await checkpoint()
    return starts


def _released(earliest: str, latest: str, view: str, subject_id: str | None) -> StartAttempt:
    return StartAttempt("", view, datetime.fromisoformat(earliest), datetime.fromisoformat(latest), subject_id)
