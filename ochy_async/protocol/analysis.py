"""The life of an analysis: started, looked at, finished, listed.

Invariant: a status that nobody knows is a state like any other, and a body with a `status`
is a state whatever its HTTP status says.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, Generic, TypeVar, cast

import orjson
from attrs import field, frozen

from ..errors import InvalidRequest, Problem
from ..field_docs import documented
from .answer import ID_KEYS, Answer, RawJson, answer_class, json_keys
from .back_view import BackView, BackViewCalculated, BackViewResults
from .call import Call, is_state
from .converter import structure
from .drift import mismatch, note, read_at
from .request import AnalysisRequest
from .routes import CALCULATED_DATA, LIST_ANALYSES, LIST_SUBJECT_ANALYSES, RESULTS, START
from .side_view import SideView, SideViewCalculated, SideViewResults
from .text_summary import Summarized, display_text, format_number, format_time, list_summary, view_words
from .wire import Request, Upload

__all__ = [
    "VIEWS",
    "AnalysisList",
    "AnalysisState",
    "Calculated",
    "ListedAnalysis",
    "Results",
    "Started",
    "Status",
    "calculated_call",
    "list_call",
    "results_call",
    "start_call",
    "view_of",
]

R = TypeVar("R", bound=Answer, covariant=True)
C = TypeVar("C", bound=Answer, covariant=True)
R2 = TypeVar("R2", bound=Answer)
C2 = TypeVar("C2", bound=Answer)

Results = SideViewResults | BackViewResults
"""The results of either view: what is known of an analysis that another program started."""
Calculated = SideViewCalculated | BackViewCalculated
"""The calculated data of either view."""

VIEWS: Final[dict[str, type[AnalysisRequest[Any, Any]]]] = {view.view: view for view in (SideView, BackView)}


class Status(enum.StrEnum):
    """Where an analysis stands. An open set: unknown statuses stay text and wait on."""

    PENDING = "pending"
    ANALYZING = "analyzing"
    SUCCESS = "success"
    FAILED = "failed"


# --- starting -----------------------------------------------------------------------------------


def _some_id(_: object, __: object, analysis_id: str) -> None:
    if not isinstance(analysis_id, str) or not analysis_id:
        raise InvalidRequest.of("Started", (Problem("analysis_id", "must be a non-empty text"),))


def _known_view(_: object, __: object, view: str) -> None:
    if not isinstance(view, str) or view not in VIEWS:
        raise InvalidRequest.of("Started", (Problem("view", f"must be one of {', '.join(VIEWS)}"),))


@documented
@frozen(kw_only=True)
class Started(Summarized, Generic[R, C]):
    """An analysis that was started and paid for. Store it as JSON; any process can pick it up."""

    analysis_id: str = field(validator=_some_id)
    view: str = field(validator=_known_view)
    """`side_view` or `back_view`: answers do not echo it, so it is remembered here."""
    started_at: datetime | None = None
    """UTC, by our clock, when the server's answer came."""
    clip: str | None = None
    """The name that was sent with the video."""
    subject_id: str | None = None

    def _summary(self) -> Iterator[str]:
        yield f"analysis {display_text(self.analysis_id)}: {view_words(self.view)}"
        yield f"  started {format_time(self.started_at)}, clip {display_text(self.clip, 32)}"
        if self.subject_id is not None:
            yield f"  subject {display_text(self.subject_id)}"

    @classmethod
    def of(cls, analysis_id: str, request: type[AnalysisRequest[R2, C2]]) -> Started[R2, C2]:
        """An analysis of which only the id and the view are known: `Started.of("a1b2c3d4", SideView)`."""
        return Started[R2, C2](analysis_id=analysis_id, view=request.view)

    def to_json(self) -> str:
        """One line of JSON, without secrets."""
        facts = {name: getattr(self, name) for name in _STARTED}
        return orjson.dumps({name: fact for name, fact in facts.items() if fact is not None}).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Started[Results, Calculated]:
        """What `to_json` wrote. Raises `InvalidRequest` for anything else."""
        try:
            found = orjson.loads(text)
        except ValueError:
            raise InvalidRequest.of("Started", (Problem("text", "is not JSON"),)) from None
        problems = tuple(_started_problems(found))
        if problems:
            raise InvalidRequest.of("Started", problems)
        moment = found.get("started_at")
        return Started(
            analysis_id=found["analysis_id"],
            view=found["view"],
            started_at=datetime.fromisoformat(moment) if moment else None,
            clip=found.get("clip"),
            subject_id=found.get("subject_id"),
        )


_STARTED: Final = ("analysis_id", "view", "started_at", "clip", "subject_id")


def _started_problems(found: Any) -> Iterator[Problem]:
    if not isinstance(found, dict):
        yield Problem("text", "must be a JSON object")
        return
    if not isinstance(found.get("analysis_id"), str) or not found["analysis_id"]:
        yield Problem("analysis_id", "must be a non-empty text")
    if not isinstance(found.get("view"), str) or found["view"] not in VIEWS:
        yield Problem("view", f"must be one of {', '.join(VIEWS)}")
    for name in ("started_at", "clip", "subject_id"):
        if not isinstance(found.get(name), str | None):
            yield Problem(name, "must be a text or left out")
    try:
        datetime.fromisoformat(found.get("started_at") or "2000-01-01")
    except (TypeError, ValueError):
        yield Problem("started_at", "must be an ISO 8601 time")


@answer_class
class StartAnswer(Answer):
    """What the server says to an accepted start: 202 with an id."""

    video_id: str = field(metadata=json_keys(*ID_KEYS))
    message: str | None = None


def start_call(upload: Upload) -> Call[StartAnswer]:
    """The start of an analysis. Costs a credit and must never be repeated unless it surely did not happen."""
    request = Request(START, START.path(), upload=upload)
    return Call(request, lambda body: structure(body, StartAnswer), "StartAnswer", repeatable=False)


# --- looking ------------------------------------------------------------------------------------


@documented
@frozen(kw_only=True)
class AnalysisState(Summarized, Generic[R]):
    """What one look at an analysis showed."""

    analysis_id: str
    status: Status | str
    """A `Status`, or the text of a status that nobody knows yet."""
    percentage: float | None = None
    """As it came: most often 0 to 100, but it may be missing, fall, or exceed 100."""
    results: R | None = field(default=None, repr=False)
    """Present once the status is `success`."""
    raw: RawJson = field(factory=RawJson, repr=False, eq=False)
    """The untouched JSON of the answer."""

    @property
    def finished(self) -> bool:
        """Whether looking again is of no use: succeeded or failed."""
        return self.status in (Status.SUCCESS, Status.FAILED)

    def _summary(self) -> Iterator[str]:
        done = "" if self.percentage is None else f", {format_number(self.percentage)} %"
        yield f"analysis {display_text(self.analysis_id)}: {display_text(self.status)}{done}"
        if self.results is not None:
            yield from str(self.results).splitlines()


@answer_class
class _StateAnswer(Answer):
    status: Status | str
    percentage: float | None = None

    known_keys = frozenset({*ID_KEYS, "thumbnail", "output_video", "biomechanical_analysis", "message"})


def results_call(started: Started[R2, Any] | str) -> Call[AnalysisState[R2]]:
    """One look at an analysis; with a bare id the view is told by the keys of the answer."""
    analysis_id = started if isinstance(started, str) else started.analysis_id
    cls = None if isinstance(started, str) else VIEWS[started.view].results_type
    return Call(
        Request(RESULTS, RESULTS.path(analysis_id=analysis_id)),
        lambda body: cast("AnalysisState[R2]", _state(analysis_id, cls, body)),
        cls.__name__ if cls else "Results",
        repeatable=True,
        accepts=lambda status, body: is_state(status, body) or 200 <= status < 300,
        analysis_id=analysis_id,
    )


def _state(analysis_id: str, cls: type[Answer] | None, body: Any) -> AnalysisState[Answer]:
    seen = structure(body, _StateAnswer)
    succeeded = seen.status == Status.SUCCESS
    return AnalysisState(
        analysis_id=analysis_id,
        status=seen.status,
        percentage=seen.percentage,
        results=structure(body, cls or view_of(body).results_type) if succeeded else None,
        raw=RawJson(body),
    )


def view_of(body: Any) -> type[AnalysisRequest[Any, Any]]:
    """The view that the keys of results or calculated data belong to."""
    analysis = body.get("biomechanical_analysis")
    content = analysis.get("analysis_content") if isinstance(analysis, dict) else None
    back = {"pronation", "knee_adduction", "pelvic_drop"}
    return BackView if "gait_cycle" in body or (isinstance(content, dict) and back & content.keys()) else SideView


def calculated_call(started: Started[Any, C2] | str) -> Call[C2]:
    """The calculated data; with a bare id the view is told by the keys of the answer."""
    analysis_id = started if isinstance(started, str) else started.analysis_id
    cls = None if isinstance(started, str) else VIEWS[started.view].calculated_type

    def read(body: Any) -> C2:
        if not isinstance(body, dict):
            raise mismatch("an object", body)
        return cast("C2", structure(body, cls or view_of(body).calculated_type))

    return Call(
        Request(CALCULATED_DATA, CALCULATED_DATA.path(analysis_id=analysis_id)),
        read,
        cls.__name__ if cls else "Calculated",
        repeatable=True,
        analysis_id=analysis_id,
    )


# --- listing ------------------------------------------------------------------------------------


@answer_class
class ListedAnalysis(Answer):
    """One analysis in a list. Source: `subject_id` documented, everything else inferred."""

    layout_known = False

    analysis_id: str = field(metadata=json_keys(*ID_KEYS))
    subject_id: str | None = None
    """The subject it is linked to, if any."""
    view: str | None = field(default=None, metadata=json_keys("analysis_type"))
    """`side_view` or `back_view`; the key is a guess."""
    status: Status | str | None = None
    created_at: datetime | None = None
    """UTC; the key is a guess."""

    def _summary(self) -> Iterator[str]:
        view, status = view_words(self.view), display_text(self.status, 16)
        yield f"{display_text(self.analysis_id)}  {display_text(view, 16)}  {status}  {format_time(self.created_at)}"


@documented
@frozen(repr=False)
class AnalysisList(Summarized):
    """A list of analyses in the order it came. Whether the vendor pages its lists is not documented."""

    analyses: tuple[ListedAnalysis, ...]
    raw: Any = field(default=None, repr=False, eq=False)
    """The untouched JSON, wrapper included."""

    def __iter__(self) -> Iterator[ListedAnalysis]:
        return iter(self.analyses)

    def __len__(self) -> int:
        return len(self.analyses)

    def __repr__(self) -> str:
        return f"<AnalysisList: {len(self.analyses)} analyses>"

    def __rich_repr__(self) -> Iterator[str]:
        yield f"{len(self.analyses)} analyses"

    def _summary(self) -> Iterator[str]:
        return list_summary("analyses", self.analyses)

    @property
    def ids(self) -> frozenset[str]:
        """The ids of all analyses in the list."""
        return frozenset(each.analysis_id for each in self.analyses)


_WRAPPERS: Final = ("analyses", "analysis", "analysis_ids", "videos", "video_ids", "results", "items", "data")


def list_call(subject_id: str | None = None) -> Call[AnalysisList]:
    """All analyses of the account, or those linked to a subject."""
    route = LIST_ANALYSES if subject_id is None else LIST_SUBJECT_ANALYSES
    path = route.path() if subject_id is None else route.path(subject_id=subject_id)
    return Call(Request(route, path), _listing, "AnalysisList", repeatable=True)


def _listing(body: Any) -> AnalysisList:
    items, name = _unwrapped(body)
    objects = [{"analysis_id": item} if isinstance(item, str) else item for item in items]
    return AnalysisList(read_at(name, structure, objects, tuple[ListedAnalysis, ...]), raw=body)


def _unwrapped(body: Any) -> tuple[list[Any], str]:
    """The items of a list that came bare, or under one of the likely names, or as the only array."""
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
