"""What every answer has in common: the untouched JSON beside it, and a repr that tells nothing.

Law of this room: results are values. They hold no client, and no repr shows health data or a link: that is what
logs, tracebacks and asserts show. Whoever prints an answer gets its summary.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final, TypeVar, dataclass_transform

from attrs import field, frozen

from ..documented import documented
from .outline import outline, safe_key
from .summary import Summarized

__all__ = ["ID_KEYS", "Answer", "RawJson", "SignedUrl", "answer", "key"]

T = TypeVar("T")

ID_KEYS: Final = ("video_id", "analysis_id", "id")
"""The names under which the id of an analysis may come: one id, two names (documented), or a plain `id`."""


class RawJson(dict[str, Any]):
    """The untouched JSON object: a plain dict in all but its repr, which shows keys and types only."""

    def __repr__(self) -> str:
        return f"RawJson({outline(dict(self))})"

    def __rich_repr__(self) -> Iterator[str]:
        yield outline(dict(self))


@frozen(repr=False)
class SignedUrl:
    """A storage link: a secret for as long as it lives (1 hour, documented)."""

    _url: str = field(repr=False)

    def reveal(self) -> str:
        """The URL itself. Whoever holds it can fetch the file: keep it out of logs."""
        return self._url

    def __repr__(self) -> str:
        return "SignedUrl(…)"


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def answer(cls: type[T]) -> type[T]:
    """A frozen attrs class with keyword fields and the repr of `Answer`; a generated one shows values."""
    return documented(frozen(kw_only=True, repr=False, slots=False)(cls))


@answer
class Answer(Summarized):
    """Something the server said, as a value."""

    raw: RawJson = field(factory=RawJson, eq=False)
    """The untouched JSON object, with every key that the class does not know."""

    known_keys: ClassVar[frozenset[str]] = frozenset()
    """Keys that are expected though no field reads them."""

    layout_known: ClassVar[bool] = True
    """False where the vendor does not say what keys there are: then none is drift."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(map(safe_key, self.raw)) or 'empty'}>"

    def __rich_repr__(self) -> Iterator[str]:
        # rich prints attrs classes by their fields and passes their repr by.
        yield from map(safe_key, self.raw)


def key(*names: str) -> dict[str, tuple[str, ...]]:
    """Field metadata: the JSON keys under which the field is looked for, in order."""
    return {"keys": names}
