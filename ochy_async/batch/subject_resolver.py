"""The subjects of a batch's clips: that their ids exist, or which ids their names have, before anything is uploaded.

Invariant: it spends nothing. A name that was once resolved stays what it was for this journal, since the id is part of
what a clip is known by: another one would buy its clips again.
"""

from __future__ import annotations

import hashlib
import logging
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

from attrs import define, evolve, field

from ..core import SessionCore
from ..errors import InvalidRequest, NotFound, Problem, RequestRefused
from ..events import SubjectCreated
from ..journal.contract import Journal
from ..policy.clip_states import State
from ..protocol.subjects import Subject, create_subject_call, get_subject_call, list_subjects_call
from ..protocol.text_summary import printable
from .sources import BatchItem

__all__ = ["Subjects"]

logger = logging.getLogger("ochy_async")
NOTE: Final = "subject:"
MISSING: Final = "there is no such subject at the vendor's; it may have been deleted"
LIKE_AN_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@define(eq=False)
class Subjects:
    """Looks up what the items of one input call their subjects."""

    core: SessionCore
    journal: Journal
    _problems: list[Problem] = field(factory=list, init=False)

    async def resolved(self, items: Sequence[BatchItem], *, create: bool, ask: bool) -> tuple[BatchItem, ...]:
        """The items with the ids of their subjects.

        Raises `InvalidRequest` with every subject that cannot be used; what the network raises where the server cannot
        be asked. Without `ask` nothing is sent: names that the journal does not know stay as they are.
        """
        wanted = {text: item for item in reversed(items) if (text := _subject(item)) is not None}  # the first of each
        if not wanted:
            return tuple(items)
        ids = await self._remembered(wanted, create=create)
        unknown = [text for text in dict.fromkeys(map(_subject, items)) if text is not None and text not in ids]
        if unknown and ask:
            ids |= await (self._named(unknown, wanted) if create else self._existing(unknown, wanted))
        if self._problems:
            told = "".join(f"\n  - {problem}" for problem in self._problems)
            said = f"The subjects of the clips cannot be used. No clip was sent and nothing was charged.{told}"
            raise InvalidRequest(said, problems=tuple(self._problems))
        return tuple(_with(item, ids) for item in items)

    async def _remembered(self, wanted: Mapping[str, BatchItem], *, create: bool) -> dict[str, str]:
        """What needs no look: subjects that starts were sent with, and names that were resolved before.

        What is paid is collected, and what is in doubt looked up, whatever became of its subject since.
        """
        sent = [each for each in State if each not in (State.OPEN, State.REFUSED)]
        paid = {each.subject_id async for each in self.journal.entries(*sent)}
        notes = await self.journal.notes(NOTE) if create else {}
        names = {text: notes[note] for text in wanted if (note := _note(text)) in notes}
        return {**names, **{text: text for text in wanted if text in paid}}

    async def _existing(self, unknown: Sequence[str], wanted: Mapping[str, BatchItem]) -> dict[str, str]:
        """Those that are ids of subjects: one is asked for, of many all are listed."""
        there = set[str]()
        if len(unknown) > 1:
            listed = await self.core.perform(list_subjects_call())
            there = {each.subject_id for each in listed}
        for text in unknown:
            # Whether the vendor pages its lists is not documented, so no list alone says that one is missing.
            if text not in there and not await self._is_there(text):
                self._problem(wanted[text], f"{text!r}: {MISSING}. --subjects create takes names (create=True)")
        return {text: text for text in unknown}

    async def _is_there(self, subject_id: str) -> bool:
        try:
            await self.core.perform(get_subject_call(subject_id))
        except (InvalidRequest, NotFound, RequestRefused):  # what is no id at all may be refused as such
            return False
        return True

    async def _named(self, unknown: Sequence[str], wanted: Mapping[str, BatchItem]) -> dict[str, str]:
        """The id of each; a name that nobody has becomes a new subject, once all others are known to be right."""
        listed = await self.core.perform(list_subjects_call())
        found = {text: self._match(text, wanted[text], listed.subjects) for text in unknown}
        if not self._problems:
            made: dict[str, str] = {}
            for text in (text for text in unknown if not found[text]):
                if _folded(text) not in made:
                    made[_folded(text)] = await self._created(text, wanted[text])
                found[text] = made[_folded(text)]
            for text, subject_id in found.items():
                if text != subject_id:
                    await self.journal.set_note(_note(text), subject_id)
        return found

    def _match(self, text: str, item: BatchItem, known: Sequence[Subject]) -> str:
        """The id that a text is, or that its name has; empty where a subject is to be made."""
        if any(each.subject_id == text for each in known):
            return text
        if LIKE_AN_ID.fullmatch(text):
            self._problem(item, f"{text!r}: {MISSING}; it looks like an id, so none is made of this name")
            return ""
        exact = [each.subject_id for each in known if each.name == text]
        alike = exact or [each.subject_id for each in known if each.name and _folded(each.name) == _folded(text)]
        if len(alike) > 1:
            self._problem(item, f"{len(alike)} subjects have this name: give one of the ids {', '.join(alike)}")
        return alike[0] if alike else ""

    async def _created(self, name: str, item: BatchItem) -> str:
        """A new subject. Never repeated on a doubt: the next run finds it by its name, if it was made."""
        call = create_subject_call(email=None, name=name, height=None, weight=None)
        subject_id = (await self.core.perform(call)).subject_id
        self.core.emit(SubjectCreated(item.told, subject_id))
        logger.info("created the subject %s for %s", printable(subject_id), printable(item.told))
        return subject_id

    def _problem(self, item: BatchItem, why: str) -> None:
        self._problems.append(Problem(f"{item.told}, subject", why))


def _subject(item: BatchItem) -> str | None:
    return None if item.request is None else item.request.subject_id


def _with(item: BatchItem, ids: Mapping[str, str]) -> BatchItem:
    text = _subject(item)
    if item.request is None or text is None or ids.get(text, text) == text:
        return item
    return evolve(item, request=evolve(item.request, subject_id=ids[text]), subject=text)


def _folded(name: str) -> str:
    """A name as people compare it: without regard to capitals, blanks and how letters are composed."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _note(name: str) -> str:
    """Under which a journal remembers a name, without telling it."""
    return NOTE + hashlib.sha256(_folded(name).encode()).hexdigest()[:32]
