"""Tagging subjects: each parallel start gets a subject of its own, so that an uncertain start is looked up exactly.

Invariant: a subject tags one start at a time, and none while its start is uncertain. It is stored in the journal before
it is used. It is never used again once its uncertain start was resolved by hand or its upload was refused, because the
analysis of that start may still appear under it. A worker of a shared journal uses only subjects that it has claimed,
and keeps them until it ends.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from anyio import Lock
from attrs import define, field

from ..core import SessionCore
from ..errors import JournalError
from ..policy.clip_states import UNRESOLVED, UNSENT
from ..protocol.subjects import create_subject_call
from .workers import Workers

__all__ = ["SubjectPool"]

NAME: Final = "ochy-async tagging subject"
"""What a tagging subject is called in the vendor's dashboard."""
CLAIM: Final = "subject:"


@define(eq=False)
class SubjectPool:
    """The tagging subjects of one journal. They are created as they are needed, and later runs use them again."""

    core: SessionCore
    workers: Workers
    _free: list[str] = field(factory=list, init=False)
    _unclaimed: list[str] = field(factory=list, init=False)
    """Subjects that may be free, unless another worker has claimed them."""
    _claiming: Lock = field(factory=Lock, init=False)
    _all: set[str] = field(factory=set, init=False)
    _retired: set[str] = field(factory=set, init=False)
    _from_earlier_runs: set[str] = field(factory=set, init=False)
    """Subjects of earlier runs; somebody may have deleted them since."""

    async def open(self) -> None:
        """Finds the subjects of earlier runs. Those of starts that are not resolved are not used."""
        journal = self.workers.journal
        subjects = await journal.tagging_subjects()
        self._all = set(subjects)
        self._retired = {subject_id for subject_id, usable in subjects.items() if not usable}
        used = {entry.subject_id async for entry in journal.entries(*UNRESOLVED, *UNSENT)}
        free = sorted(self._all - self._retired - used)
        self._from_earlier_runs = set(free)
        self._free, self._unclaimed = ([], free) if journal.shared else (free, [])

    async def tags(self, subject_id: str | None) -> bool:
        """Whether a subject tags starts: nothing else is ever linked to it. Raises `JournalError`.

        Another worker may have made it after this one had opened the journal.
        """
        journal = self.workers.journal
        if journal.shared and subject_id is not None and subject_id not in self._all:
            self._all.update(await journal.tagging_subjects())
        return subject_id in self._all

    async def acquire(self) -> str:
        """A subject that tags no other start. Creates one if none is free; raises what creating a subject raises."""
        if self._free:
            return self._free.pop()
        claimed = await self._claim()
        return claimed if claimed is not None else await self._create()

    async def _claim(self) -> str | None:
        """Claims a subject that may be free. If another worker has retired it, the journal refuses its next intent."""
        async with self._claiming:
            name = await self.workers.take(*(CLAIM + subject_id for subject_id in self._unclaimed))
            if name is None:
                return None
            subject_id = name.removeprefix(CLAIM)
            self._unclaimed.remove(subject_id)
            return subject_id

    async def _create(self) -> str:
        call = create_subject_call(email=None, name=NAME, height=None, weight=None)
        subject_id = (await self.core.perform(call)).subject_id
        if self.workers.journal.shared:
            await self.workers.take(CLAIM + subject_id)  # before another worker can know of it
        await self.workers.journal.add_tagging_subject(subject_id)
        self._all.add(subject_id)
        return subject_id

    def release(self, subject_id: str | None) -> None:
        """Makes a subject available again once the fate of its start is known. Ignores other subjects."""
        if subject_id in self._all - self._retired and subject_id not in self._free + self._unclaimed:
            is_ours = not self.workers.journal.shared or CLAIM + subject_id in self.workers.held
            (self._free if is_ours else self._unclaimed).append(subject_id)

    async def retire(self, subject_id: str | None) -> None:
        """Makes sure that a subject is never used again: in this run even if the journal fails."""
        if subject_id in self._all:
            self._retired.add(subject_id)
            await self.workers.journal.retire_tagging_subject(subject_id)

    async def retire_all(self) -> None:
        """Makes sure that no subject is used again that may be linked to a start of which the journal knows nothing."""
        self._free.clear()
        self._unclaimed.clear()
        for subject_id in self._all - self._retired:
            await self.retire(subject_id)

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
