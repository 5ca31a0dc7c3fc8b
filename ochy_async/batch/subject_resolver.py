"""Checks the subjects of a batch's clips before anything is uploaded: whether ids exist, and which ids names have.

Invariant: it costs nothing. A name keeps its id for as long as the journal exists, because the id is part of a clip's
identity: with another id the clip would be bought again.
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

__all__ = ["SubjectResolver"]

logger: logging.Logger = logging.getLogger("ochy_async")
NOTE: Final = "subject:"
"""The prefix of the notes about resolved names."""
MISSING: Final = "there is no such subject in the account; it may have been deleted"
UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@define(eq=False)
class SubjectResolver:
    """Finds the ids of the subjects of one input."""

    core: SessionCore
    journal: Journal
    _problems: list[Problem] = field(factory=list, init=False)

    async def resolve(self, items: Sequence[BatchItem], *, create: bool, ask: bool) -> tuple[BatchItem, ...]:
        """The items with the ids of their subjects.

        Raises `InvalidRequest` with every subject that cannot be used, and what a call raises if the server cannot be
        reached. Without `ask` nothing is sent: names that the journal does not know stay as they are.
        """
        wanted = {
            text: item for item in reversed(items) if (text := _subject(item)) is not None
        }  # the first item of each subject
        if not wanted:
            return tuple(items)
        ids = await self._known(wanted, create=create)
        unknown = [text for text in dict.fromkeys(map(_subject, items)) if text is not None and text not in ids]
        if unknown and ask:
            ids |= await (self._resolve_names(unknown, wanted) if create else self._check_ids(unknown, wanted))
        if self._problems:
            lines = "".join(f"\n  - {problem}" for problem in self._problems)
            text = f"The subjects of the clips cannot be used. No clip was sent and nothing was charged.{lines}"
            raise InvalidRequest(text, problems=tuple(self._problems))
        return tuple(_with(item, ids) for item in items)

    async def _known(self, wanted: Mapping[str, BatchItem], *, create: bool) -> dict[str, str]:
        """Subjects that need no request: those of earlier starts, and names that were resolved before.

        Paid clips are collected and uncertain ones looked up even if their subject was deleted since.
        """
        sent = [each for each in State if each not in (State.OPEN, State.REFUSED)]
        paid = {each.subject_id async for each in self.journal.entries(*sent)}
        notes = await self.journal.notes(NOTE) if create else {}
        names = {text: notes[note] for text in wanted if (note := _note(text)) in notes}
        return {**names, **{text: text for text in wanted if text in paid}}

    async def _check_ids(self, unknown: Sequence[str], wanted: Mapping[str, BatchItem]) -> dict[str, str]:
        """Checks that the ids exist: asks for a single one, lists all subjects for several."""
        existing = set[str]()
        if len(unknown) > 1:
            listed = await self.core.perform(list_subjects_call())
            existing = {each.subject_id for each in listed}
        for text in unknown:
            # Whether the vendor pages its lists is not documented, so an id that is not listed is asked for as well.
            if text not in existing and not await self._exists(text):
                self._problem(wanted[text], f"{text!r}: {MISSING}. To give names, use --subjects create (create=True)")
        return {text: text for text in unknown}

    async def _exists(self, subject_id: str) -> bool:
        try:
            await self.core.perform(get_subject_call(subject_id))
        except (InvalidRequest, NotFound, RequestRefused):  # the server may refuse a text that cannot be an id
            return False
        return True

    async def _resolve_names(self, unknown: Sequence[str], wanted: Mapping[str, BatchItem]) -> dict[str, str]:
        """The id of each. Creates a subject for each new name, but only once no other subject has a problem."""
        listed = await self.core.perform(list_subjects_call())
        found = {text: self._match(text, wanted[text], listed.subjects) for text in unknown}
        if not self._problems:
            created: dict[str, str] = {}
            for text in (text for text in unknown if not found[text]):
                if _folded(text) not in created:
                    created[_folded(text)] = await self._create(text, wanted[text])
                found[text] = created[_folded(text)]
            for text, subject_id in found.items():
                if text != subject_id:
                    await self.journal.set_note(_note(text), subject_id)
        return found

    def _match(self, text: str, item: BatchItem, known: Sequence[Subject]) -> str:
        """The id that the text is, or that the subject of this name has; empty if a subject has to be created."""
        if any(each.subject_id == text for each in known):
            return text
        if UUID.fullmatch(text):
            self._problem(item, f"{text!r}: {MISSING}; it looks like an id, so no subject is created with this name")
            return ""
        exact = [each.subject_id for each in known if each.name == text]
        alike = exact or [each.subject_id for each in known if each.name and _folded(each.name) == _folded(text)]
        if len(alike) > 1:
            self._problem(item, f"{len(alike)} subjects have this name: give one of the ids {', '.join(alike)}")
        return alike[0] if alike else ""

    async def _create(self, name: str, item: BatchItem) -> str:
        """Creates a subject. This is not repeated if it may have happened: the next run finds the subject by its
        name."""
        call = create_subject_call(email=None, name=name, height=None, weight=None)
        subject_id = (await self.core.perform(call)).subject_id
        self.core.emit(SubjectCreated(item.display_name, subject_id))
        logger.info("created the subject %s for %s", printable(subject_id), printable(item.display_name))
        return subject_id

    def _problem(self, item: BatchItem, why: str) -> None:
        self._problems.append(Problem(f"{item.display_name}, subject", why))


def _subject(item: BatchItem) -> str | None:
    return None if item.request is None else item.request.subject_id


def _with(item: BatchItem, ids: Mapping[str, str]) -> BatchItem:
    text = _subject(item)
    if item.request is None or text is None or ids.get(text, text) == text:
        return item
    return evolve(item, request=evolve(item.request, subject_id=ids[text]), subject=text)


def _folded(name: str) -> str:
    """A name as people compare it: without regard to case, blanks and how letters are composed."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _note(name: str) -> str:
    """The name of the note about a resolved name; it does not contain the name itself."""
    return NOTE + hashlib.sha256(_folded(name).encode()).hexdigest()[:32]
