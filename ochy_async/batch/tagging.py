"""Upload lanes: a subject for each, so that a start in doubt is looked up exactly.

Invariant: one start at a time on a lane, and a lane with an open doubt is left alone. A lane is
written down before it is used; one whose doubt was settled by hand, or whose upload was refused, is never
used again, since what comes of that start may yet appear on it.
"""

from __future__ import annotations

from contextlib import suppress

from attrs import define, field

from ..core import SessionCore
from ..errors import JournalError
from ..journal.contract import Journal
from ..policy.clip_states import State
from ..protocol.subjects import create_subject_call

__all__ = ["PREFIX", "RETIRED", "SubjectPool", "retire"]

PREFIX = "lane:"
"""Of the note about a lane."""
NAME = "ochy-async upload lane"
RETIRED = "retired"
"""What the note says of a lane that is never used again."""


async def retire(journal: Journal, subject_id: str) -> None:
    """Keeps a lane from ever being used again; a subject that is none is left alone."""
    if await journal.notes(PREFIX + subject_id):
        await journal.set_note(PREFIX + subject_id, RETIRED)


@define(eq=False)
class SubjectPool:
    """The lanes of one journal; subjects are made as they are needed, and stay for later runs."""

    core: SessionCore
    journal: Journal
    _free: list[str] = field(factory=list, init=False)
    _all: set[str] = field(factory=set, init=False)
    _retired: set[str] = field(factory=set, init=False)
    _old: set[str] = field(factory=set, init=False)
    """Lanes of earlier runs that nothing has been heard of since."""

    async def open(self) -> None:
        """Finds the lanes of earlier runs. Those with an open doubt are not used."""
        notes = await self.journal.notes(PREFIX)
        self._all = {name.removeprefix(PREFIX) for name in notes}
        self._retired = {name.removeprefix(PREFIX) for name, state in notes.items() if state == RETIRED}
        doubtful = {entry.subject_id async for entry in self.journal.entries(State.INTENDED, State.UNCERTAIN)}
        self._free = sorted(self._all - self._retired - doubtful)
        self._old = set(self._free)

    def has(self, subject_id: str | None) -> bool:
        """Whether a subject is a lane: nothing else is ever linked to it."""
        return subject_id in self._all

    async def take(self) -> str:
        """A lane that nobody uses. Raises what creating a subject raises."""
        if self._free:
            return self._free.pop()
        call = create_subject_call(email=None, name=NAME, height=None, weight=None)
        subject_id = (await self.core.perform(call)).subject_id
        await self.journal.set_note(PREFIX + subject_id, "")
        self._all.add(subject_id)
        return subject_id

    def give(self, subject_id: str | None) -> None:
        """A start has ended without a doubt: its lane, if it had one, is free."""
        if subject_id in self._all - self._retired and subject_id not in self._free:
            self._free.append(subject_id)

    async def retire(self, subject_id: str | None) -> None:
        """Keeps a lane from ever being used again, by this run even where the journal fails."""
        if subject_id in self._all:
            self._retired.add(subject_id)
            await retire(self.journal, subject_id)

    async def drop(self, subject_id: str | None) -> bool:
        """The subject of a lane is gone at the vendor's. Whether another lane may do.

        That is so for one of an earlier run, which may have been deleted since; each of them only once.
        """
        if subject_id not in self._free:
            return False
        self._free.remove(subject_id)
        with suppress(JournalError):  # then it is found out once more by the next run
            await self.retire(subject_id)
        return subject_id in self._old
