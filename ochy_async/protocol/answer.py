"""What every answer has in common: the untouched JSON beside it, and a repr that tells nothing.

Invariant: results are values. They hold no client, and no repr shows health data or a link: that is what
logs, tracebacks and asserts show. Whoever prints an answer gets its summary.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final, Self, TypeVar, dataclass_transform

from attrs import field, frozen

from ..field_docs import documented
from .outline import outline, safe_key
from .redaction import redact_signed_links
from .text_summary import Summarized

__all__ = ["ID_KEYS", "Answer", "RawJson", "SignedUrl", "answer_class", "json_keys"]

T = TypeVar("T")

ID_KEYS: Final = ("video_id", "analysis_id", "id")
"""The names under which the id of an analysis may come: one id, two names (documented), or a plain `id`."""


class RawJson(dict[str, Any]):
    """The untouched JSON object: a plain dict in all but its repr, which shows keys and types only."""

    def __repr__(self) -> str:
        return f"RawJson({outline(dict(self))})"

    def __reduce__(self) -> tuple[type[RawJson], tuple[Any]]:
        return RawJson, (redact_signed_links(dict(self)),)

    def __rich_repr__(self) -> Iterator[str]:
        yield outline(dict(self))


@frozen(repr=False)
class SignedUrl:
    """A storage link: a secret for as long as it lives (1 hour, documented). It cannot be pickled."""

    _url: str = field(repr=False)

    def reveal(self) -> str:
        """The URL itself. Whoever holds it can fetch the file: keep it out of logs."""
        return self._url

    def __repr__(self) -> str:
        return "SignedUrl(…)"

    def __reduce__(self) -> Any:
        raise TypeError("a signed link cannot be pickled; ask for the results again in the other process")

    def __copy__(self) -> SignedUrl:
        return self

    def __deepcopy__(self, _: object) -> SignedUrl:
        return self


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def answer_class(cls: type[T]) -> type[T]:
    """A frozen attrs class with keyword fields and the repr of `Answer`; a generated one shows values."""
    return documented(frozen(kw_only=True, repr=False, slots=False)(cls))


@answer_class
class Answer(Summarized):
    """Something the server said, as a value. Pickled results come back without their links, like kept ones."""

    raw: RawJson = field(factory=RawJson, eq=False)
    """The untouched JSON object, with every key that the class does not know."""

    known_keys: ClassVar[frozenset[str]] = frozenset()
    """Keys that are expected though no field reads them."""

    layout_known: ClassVar[bool] = True
    """False where the vendor does not say what keys there are: then none is drift."""

    def __getstate__(self) -> dict[str, Any]:
        return {name: _pickled(each) for name, each in vars(self).items()}

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(map(safe_key, self.raw)) or 'empty'}>"

    def __rich_repr__(self) -> Iterator[str]:
        # rich prints attrs classes by their fields and passes their repr by.
        yield from map(safe_key, self.raw)


def _pickled(value: Any) -> Any:
    if isinstance(value, SignedUrl):
        return None
    return value if isinstance(value, RawJson) else redact_signed_links(value)


def json_keys(*names: str) -> dict[str, tuple[str, ...]]:
    """Field metadata: the JSON keys under which the field is looked for, in order."""
    return {"keys": names}
