"""The base class of every answer: typed values with the untouched JSON beside them.

Invariant: answers are values and hold no client. Their `repr`, which logs, tracebacks and asserts use, shows neither
health data nor links; `print` shows a summary.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final, Self, TypeVar, cast, dataclass_transform

from attrs import field, fields, frozen

from ..field_docs import documented
from .json_outline import outline, safe_key
from .redaction import redact_signed_links
from .text_summary import Summarized

__all__ = ["ID_KEYS", "Answer", "RawJson", "SignedUrl", "answer_class", "json_keys"]

T = TypeVar("T")

ID_KEYS: Final = ("video_id", "analysis_id", "id")
"""The keys of the id of an analysis: one id with two names (documented), or a plain `id` (inferred)."""


SHARED: Final = "_json"
"""The attribute of an answer that shares its JSON with the answer around it, instead of a copy in `raw`.

It holds the method `copy` of the JSON object and not the object, whose `repr` would show signed links.
"""


class RawJson(dict[str, Any]):
    """The untouched JSON object: a dict whose `repr` shows only keys and types."""

    def __repr__(self) -> str:
        return f"RawJson({outline(dict(self))})"

    def __reduce__(self) -> tuple[type[RawJson], tuple[Any]]:
        return RawJson, (redact_signed_links(dict(self)),)

    def __rich_repr__(self) -> Iterator[str]:
        yield outline(dict(self))


@frozen(repr=False)
class SignedUrl:
    """A signed link to a stored file: a secret while it is valid (1 hour, documented). It cannot be pickled."""

    _url: str = field(repr=False)

    def reveal(self) -> str:
        """The URL. Anyone who has it can fetch the file, so keep it out of logs."""
        return self._url

    def __repr__(self) -> str:
        return "SignedUrl(…)"

    def __reduce__(self) -> Any:
        raise TypeError("a signed link cannot be pickled; request the results again in the other process")

    def __copy__(self) -> SignedUrl:
        return self

    def __deepcopy__(self, _: object) -> SignedUrl:
        return self


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def answer_class(cls: type[T]) -> type[T]:
    """Makes a frozen attrs class with keyword fields and no `repr` of its own, which would show values.

    The class itself has the None of optional fields, so an instance need not store it.
    """
    made = documented(frozen(kw_only=True, repr=False, slots=False)(cls))
    for each in fields(cast("Any", made)):
        if each.default is None:
            setattr(made, each.name, None)
    return made


@answer_class
class Answer(Summarized):
    """An answer of the server as a value. Pickling removes its signed links, as storing does."""

    raw: RawJson = field(factory=RawJson, eq=False)
    """The untouched JSON object, including keys that the class does not know."""

    known_keys: ClassVar[frozenset[str]] = frozenset()
    """Keys that are expected although no field reads them."""

    layout_known: ClassVar[bool] = True
    """False if the vendor does not document the keys; then no key counts as drift."""

    def __getstate__(self) -> dict[str, Any]:
        return {each.name: _pickled(getattr(self, each.name)) for each in fields(cast("Any", type(self)))}

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(map(safe_key, self.raw)) or 'empty'}>"

    def __rich_repr__(self) -> Iterator[str]:
        # Without this method rich prints the fields of attrs classes instead of their `repr`.
        yield from map(safe_key, self.raw)


class _SharedRaw:
    """`Answer.raw` of an answer that shares its JSON: made when it is used first, because few are ever used."""

    def __get__(self, answer: Answer | None, _: type[Answer]) -> Any:
        if answer is None:
            return self
        raw = vars(answer)["raw"] = RawJson(vars(answer)[SHARED]())
        return raw


Answer.raw = _SharedRaw()  # type: ignore[assignment] # it has no `__set__`, so the value in an instance hides it


def _pickled(value: Any) -> Any:
    if isinstance(value, SignedUrl):
        return None
    return value if isinstance(value, RawJson) else redact_signed_links(value)


def json_keys(*names: str) -> dict[str, tuple[str, ...]]:
    """Field metadata: the JSON keys of the field. The first one that has a value is read."""
    return {"keys": names}
