"""Tagging subjects: each parallel start gets a subject of its own, so that an uncertain start is looked up exactly.

Invariant: a subject tags one start at a time, and none while its start is uncertain. It is stored in the journal before
it is used. It is never used again once its uncertain start was resolved by hand or its upload was refused, because the
analysis of that start may still appear under it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from attrs import define, field

from ..core import SessionCore
from ..errors import JournalError
from ..journal.contract import Journal
from ..policy.clip_states import State
from ..protocol.subjects import create_subject_call

__all__ = ["PREFIX", "RETIRED", "SubjectPool", "retire"]

PREFIX: Final = "lane:"
"""The prefix of the notes in the journal, one for each tagging subject."""
NAME: Final = "ochy-async tagging subject"
"""What a tagging subject is called in the vendor's dashboard."""
RETIRED: Final = "retired"
"""The note's value for a subject that is never used again."""


async def retire(journal: Journal, subject_id: str) -> None:
    """Stores that a tagging subject is never used again; other subjects are left alone."""
    if await journal.notes(PREFIX + subject_id):
        await journal.set_note(PREFIX + subject_id, RETIRED)


@define(eq=False)
class SubjectPool:
    """The tagging subjects of one journal. They are created as they are needed, and later runs use them again."""

    core: SessionCore
    journal: Journal
    _free: list[str] = field(factory=list, init=False)
    _all: set[str] = field(factory=set, init=False)
    _retired: set[str] = field(factory=set, init=False)
    _from_earlier_runs: set[str] = field(factory=set, init=False)
    """Subjects of earlier runs; somebody may have deleted them since."""

    async def open(self) -> None:
        """Finds the subjects of earlier runs. Those of uncertain starts are not used."""
        notes = await self.journal.notes(PREFIX)
        self._all = {name.removeprefix(PREFIX) for name in notes}
        self._retired = {name.removeprefix(PREFIX) for name, value in notes.items() if value == RETIRED}
        uncertain = {entry.subject_id async for entry in self.journal.entries(State.INTENDED, State.UNCERTAIN)}
        self._free = sorted(self._all - self._retired - uncertain)
        self._from_earlier_runs = set(self._free)

    def __contains__(self, subject_id: object) -> bool:
        """Whether a subject tags starts: nothing else is ever linked to it."""
        return subject_id in self._all

    async def acquire(self) -> str:
        """A subject that tags no other start. Creates one if none is free; raises what creating a subject raises."""
        if self._free:
            return self._free.pop()
        call = create_subject_call(email=None, name=NAME, height=None, weight=None)
        subject_id = (await self.core.perform(call)).subject_id
        await self.journal.set_note(PREFIX + subject_id, "")
        self._all.add(subject_id)
        return subject_id

    def release(self, subject_id: str | None) -> None:
        """Makes a subject available again once the fate of its start is known. Ignores other subjects."""
        if subject_id in self._all - self._retired and subject_id not in self._free:
            self._free.append(subject_id)

    async def retire(self, subject_id: str | None) -> None:
        """Makes sure that a subject is never used again: in this run even if the journal fails."""
        if subject_id in self._all:
            self._retired.add(subject_id)
            await retire(self.journal, subject_id)

    async def drop_missing(self, subject_id: str | None) -> bool:
        """Drops a subject that does not exist any more. Returns whether trying another one makes sense.

        That is so for a subject of an earlier run, which may have been deleted since; each is dropped only once.
        """
        if subject_id not in self._free:
            return False
        self._free.remove(subject_id)
        with suppress(JournalError):  # then the next run finds it out again
            await self.retire(subject_id)
        return subject_id in self._from_earlier_runs
