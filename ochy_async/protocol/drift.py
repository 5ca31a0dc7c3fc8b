"""Where answers differ from what the vendor documents.

Law of this room: a note is a path and a type, never content. Noting never fails and never loses
anything: the untouched JSON stays beside every value.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from attrs import define, field, frozen

from .outline import kind, safe_key

__all__ = ["DriftNote", "Misfit", "misfit", "note", "reading", "step"]


class Misfit(Exception):
    """A required fact is missing or of the wrong type: the answer cannot be read."""

    def __init__(self, where: str, expected: str, found: str) -> None:
        super().__init__(where, expected, found)
        self.where = where
        self.expected = expected
        self.found = found

    def __str__(self) -> str:
        return f"{self.where} should be {self.expected} but is {self.found}"


@frozen(order=True)
class DriftNote:
    """One way in which an answer differs from what the vendor documents: path and type, no content."""

    answer: str
    """What was read, such as `SideViewResults`."""

    path: str
    """The dotted path inside the answer."""

    what: str
    """What differs, such as `unknown key (text)`."""

    def __str__(self) -> str:
        return f"{self.answer}: {self.path}: {self.what}"


@define
class _Reading:
    answer: str
    path: list[str] = field(factory=list)
    notes: set[DriftNote] = field(factory=set)

    def where(self, *more: str) -> str:
        return ".".join([*self.path, *more]) or "the answer"


# A context variable, because cattrs hooks take no extra argument while one converter serves every
# thread and task. Structuring never awaits, so a reading is never interleaved with another.
_current: ContextVar[_Reading] = ContextVar("ochy_reading")
_BOUND: Final = 100  # notes per answer: a hostile answer with a million new keys is one kind of news


@contextmanager
def reading(answer: str, notes: set[DriftNote] | None = None) -> Generator[set[DriftNote]]:
    """Collects the notes of everything that is read inside, under the name `answer`; into `notes` if given."""
    current = _Reading(answer, notes=set() if notes is None else notes)
    token = _current.set(current)
    try:
        yield current.notes
    finally:
        _current.reset(token)


@contextmanager
def step(name: str) -> Generator[None]:
    """Goes one key down the path for the time of the block."""
    path = _current.get().path
    path.append(safe_key(name))
    try:
        yield
    finally:
        path.pop()


def note(what: str, value: object, *below: str) -> None:
    """Notes that `value`, of which only the type is told, is not as documented."""
    current = _current.get()
    if len(current.notes) < _BOUND:
        where = current.where(*map(safe_key, below))
        current.notes.add(DriftNote(current.answer, where, f"{what} ({kind(value)})"))


def misfit(expected: str, value: object) -> Misfit:
    """The error for a `value` that cannot be what the current path needs."""
    return Misfit(_current.get().where(), expected, "missing" if value is None else kind(value))
