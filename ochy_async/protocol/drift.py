"""Drift: differences between an answer and the vendor's documentation.

Invariant: a note holds a path and a type, never a value, and the untouched JSON stays beside every parsed value.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any, Final, Self, TypeVar

from attrs import define, field, frozen

from .json_outline import json_type, safe_key

__all__ = ["DriftLog", "DriftNote", "Mismatch", "mismatch", "note", "read_at"]

T = TypeVar("T")


class Mismatch(Exception):
    """A required value is missing or of the wrong type, so the answer cannot be read."""

    def __init__(self, expected: str, found: str, path: tuple[str, ...] = ()) -> None:
        super().__init__(expected, found)
        self.expected = expected
        self.found = found
        self.path = path
        """The keys that lead to the value. `read_at` prepends one key at each level."""

    def __str__(self) -> str:
        return f"{_dotted(self.path)} should be {self.expected} but is {self.found}"


@frozen(order=True)
class DriftNote:
    """One difference between an answer and the vendor's documentation: a path and a type, no content."""

    answer: str
    """The class that was read, such as `SideViewResults`."""

    path: str
    """The dotted path inside the answer."""

    what: str
    """The difference, such as `unknown key (text)`."""

    def __str__(self) -> str:
        return f"{self.answer}: {self.path}: {self.what}"


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(map(safe_key, path)) or "the answer"


@define
class _Difference:
    what: str
    path: tuple[str, ...]


# A context variable, because cattrs hooks take no extra argument while one converter serves every
# thread and task. Structuring never awaits, so two logs are never interleaved.
_current: ContextVar[list[_Difference]] = ContextVar("ochy_drift")
_MOST_NOTES: Final = 100  # per answer: a hostile answer may have a million unknown keys


@define
class DriftLog:
    """The differences that are noted while an answer is read: those inside its `with` blocks."""

    answer: str
    differences: list[_Difference] = field(factory=list)
    _token: Token[list[_Difference]] | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        self._token = _current.set(self.differences)
        return self

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            _current.reset(self._token)

    def notes(self) -> frozenset[DriftNote]:
        """The notes, without duplicates."""
        return frozenset([DriftNote(self.answer, _dotted(each.path), each.what) for each in self.differences])


def read_at(key: str, read: Callable[..., T], *args: Any) -> T:
    """`read(*args)` for the value under `key`: its notes and its `Mismatch` get `key` as the first part of their path.

    Paths are built only where there is a difference, so a documented answer pays nothing for them.
    """
    differences = _current.get()
    before = len(differences)
    try:
        return read(*args)
    except Mismatch as error:
        error.path = (key, *error.path)
        raise
    finally:
        for each in differences[before:]:
            each.path = (key, *each.path)


def note(what: str, value: object, *path: str) -> None:
    """Notes that `value` differs from the documentation. Only its type is stored."""
    differences = _current.get()
    if len(differences) < _MOST_NOTES:
        differences.append(_Difference(f"{what} ({json_type(value)})", path))


def mismatch(expected: str, value: object) -> Mismatch:
    """The error for a `value` that is not what is expected."""
    return Mismatch(expected, "missing" if value is None else json_type(value))
