"""Where answers differ from what the vendor documents.

Invariant: a note is a path and a type, never content. Noting never fails and never loses
anything: the untouched JSON stays beside every value.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from attrs import define, field, frozen

from .outline import kind, safe_key

__all__ = ["DriftNote", "Misfit", "Reading", "at", "misfit", "note", "reading"]

T = TypeVar("T")


class Misfit(Exception):
    """A required fact is missing or of the wrong type: the answer cannot be read."""

    def __init__(self, expected: str, found: str, path: tuple[str, ...] = ()) -> None:
        super().__init__(expected, found)
        self.expected = expected
        self.found = found
        self.path = path
        """The keys that lead to it; grows at its front on the way up."""

    def __str__(self) -> str:
        return f"{_dotted(self.path)} should be {self.expected} but is {self.found}"


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


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(map(safe_key, path)) or "the answer"


@define
class _Seen:
    what: str
    path: tuple[str, ...]


@define
class Reading:
    """What was noted while an answer was read."""

    answer: str
    seen: list[_Seen] = field(factory=list)

    def notes(self) -> frozenset[DriftNote]:
        """The notes, each difference once."""
        return frozenset(DriftNote(self.answer, _dotted(each.path), each.what) for each in self.seen)


# A context variable, because cattrs hooks take no extra argument while one converter serves every
# thread and task. Structuring never awaits, so a reading is never interleaved with another.
_current: ContextVar[list[_Seen]] = ContextVar("ochy_drift")
_BOUND: Final = 100  # notes per answer: a hostile answer with a million new keys is one kind of news


@contextmanager
def reading(answer: Reading) -> Generator[Reading]:
    """Collects into `answer` the notes of everything that is read inside."""
    token = _current.set(answer.seen)
    try:
        yield answer
    finally:
        _current.reset(token)


def at(key: str, read: Callable[..., T], *args: Any) -> T:
    """What `read` gives for the value under `key`: its notes and its misfit get `key` before their path.

    Paths grow on the way up, where there is something to tell; the usual answer pays nothing for them.
    """
    seen = _current.get()
    before = len(seen)
    try:
        return read(*args)
    except Misfit as odd:
        odd.path = (key, *odd.path)
        raise
    finally:
        for each in seen[before:]:
            each.path = (key, *each.path)


def note(what: str, value: object, *path: str) -> None:
    """Notes that `value`, of which only the type is told, is not as documented."""
    seen = _current.get()
    if len(seen) < _BOUND:
        seen.append(_Seen(f"{what} ({kind(value)})", path))


def misfit(expected: str, value: object) -> Misfit:
    """The error for a `value` that cannot be what is needed here."""
    return Misfit(expected, "missing" if value is None else kind(value))
