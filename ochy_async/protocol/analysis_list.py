"""Lists of analyses: those of the account, and those of a subject.

Invariant: a list is read in slices, because an account may have more analyses than can be read at once without
blocking the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from datetime import datetime
from typing import Any, ClassVar, Final

from attrs import field, frozen

from ..field_docs import documented
from .analysis import Status
from .answer import ID_KEYS, Answer, answer_class, json_keys
from .call import Call
from .converter import read_time, structure
from .drift import Mismatch, mismatch, note, read_at
from .json_pieces import ITEMS_PER_SLICE, JsonPieces
from .routes import LIST_ANALYSES, LIST_SUBJECT_ANALYSES
from .sliced_reader import SlicedReader, sliced_call
from .text_summary import Summarized, count_of, display_text, format_time, list_summary
from .views import view_title
from .wire import Request

__all__ = ["AnalysisList", "ItemFacts", "ListedAnalysis", "list_call"]


@answer_class
class ListedAnalysis(Answer):
    """One analysis in a list. Source: `subject_id` is documented, everything else is inferred."""

    layout_known: ClassVar[bool] = False

    analysis_id: str = field(metadata=json_keys(*ID_KEYS))
    subject_id: str | None = None
    """The subject to which it is linked, if any."""
    view: str | None = field(default=None, metadata=json_keys("analysis_type"))
    """The vendor's `analysis_type`; the key is a guess."""
    status: Status | str | None = None
    created_at: datetime | None = None
    """UTC; the key is a guess."""

    def _summary(self) -> Iterator[str]:
        view, status = display_text(view_title(self.view), 16), display_text(self.status, 16)
        yield f"{display_text(self.analysis_id)}  {view}  {status}  {format_time(self.created_at)}"


@documented
@frozen(repr=False)
class AnalysisList(Summarized):
    """A list of analyses in the order of the answer. Whether the vendor pages its lists is not documented."""

    analyses: tuple[ListedAnalysis, ...]
    raw: Any = field(default=None, repr=False, eq=False)
    """The untouched JSON, including the wrapper."""

    def __iter__(self) -> Iterator[ListedAnalysis]:
        return iter(self.analyses)

    def __len__(self) -> int:
        return len(self.analyses)

    def __repr__(self) -> str:
        return f"<AnalysisList: {count_of(len(self.analyses), 'analysis', 'analyses')}>"

    def __rich_repr__(self) -> Iterator[str]:
        yield count_of(len(self.analyses), "analysis", "analyses")

    def _summary(self) -> Iterator[str]:
        return list_summary("analyses", self.analyses)

    @property
    def ids(self) -> frozenset[str]:
        """The ids of all analyses in the list."""
        return frozenset(each.analysis_id for each in self.analyses)


@frozen
class ItemFacts:
    """What an item of a list says before it is read completely."""

    analysis_id: str | None
    created_at: datetime | None

    @classmethod
    def of(cls, item: Any) -> ItemFacts:
        """The facts as far as they are sent as expected; None for any other."""
        if not isinstance(item, dict):
            return cls(item if isinstance(item, str) else None, None)
        analysis_id = next((item[key] for key in ID_KEYS if item.get(key)), None)
        try:
            created_at = read_time(item.get("created_at"))
        except Mismatch:
            created_at = None
        return cls(analysis_id if isinstance(analysis_id, str) else None, created_at)


_WRAPPERS: Final = ("analyses", "analysis", "analysis_ids", "videos", "video_ids", "results", "items", "data")


def list_call(
    subject_id: str | None = None, keep: Callable[[Any], bool] | None = None
) -> Call[SlicedReader[AnalysisList]]:
    """All analyses of the account, or those linked to a subject.

    `keep` says of each item, as it was sent, whether it is read; all others are dropped, also from `raw`.
    """
    route = LIST_ANALYSES if subject_id is None else LIST_SUBJECT_ANALYSES
    path = route.path() if subject_id is None else route.path(subject_id=subject_id)
    return sliced_call(Request(route, path), lambda body: _listing(body, keep), "AnalysisList")


def _listing(body: bytes, keep: Callable[[Any], bool] | None) -> Generator[None, None, AnalysisList]:
    pieces = JsonPieces(body)
    raw = yield from _body(pieces, keep)
    pieces.end()
    items, name = _unwrapped(raw)
    analyses = list[ListedAnalysis]()
    for first in range(0, len(items), ITEMS_PER_SLICE):
        part = items[first : first + ITEMS_PER_SLICE]
        objects = [{"analysis_id": item} if isinstance(item, str) else item for item in part]
        analyses += read_at(name, structure, objects, tuple[ListedAnalysis, ...])
        yield
    return AnalysisList(tuple(analyses), raw=raw)


def _body(pieces: JsonPieces, keep: Callable[[Any], bool] | None) -> Generator[None, None, Any]:
    """The JSON. `keep` selects the elements of the array that it is, or of the arrays that are its members."""
    if pieces.peek() == "[":
        return (yield from pieces.array(keep))
    if pieces.peek() == "{":
        return (yield from pieces.object(keep))
    return (yield from pieces.value())


def _unwrapped(body: Any) -> tuple[list[Any], str]:
    """The items of a list that came bare, under one of the likely names, or as the only array, with that name."""
    if isinstance(body, list):
        return body, "items"
    if not isinstance(body, dict):
        raise mismatch("a list", body)
    arrays = [name for name, value in body.items() if isinstance(value, list)]
    chosen = next((name for name in _WRAPPERS if name in arrays), arrays[0] if len(arrays) == 1 else None)
    if chosen is None:
        raise mismatch("a list", body)
    for name in body.keys() - {chosen}:
        note("unknown key", body[name], name)
    return body[chosen], chosen
