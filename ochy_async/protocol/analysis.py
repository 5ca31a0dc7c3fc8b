"""The life of an analysis: started, polled, finished, listed.

Invariant: an unknown status is a state like any other, and a body with a `status` is a state whatever its HTTP status.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, Generic, TypeVar, cast

import orjson
from attrs import field, fields, frozen

from ..errors import InvalidRequest, Problem
from ..field_docs import documented
from .answer import ID_KEYS, Answer, RawJson, answer_class, json_keys
from .call import Call, is_state
from .converter import structure
from .drift import mismatch, note, read_at
from .request import AnalysisRequest
from .routes import CALCULATED_DATA, LIST_ANALYSES, LIST_SUBJECT_ANALYSES, RESULTS, START
from .text_summary import Summarized, count_of, display_text, format_number, format_time, list_summary
from .views import VIEWS, Calculated, Results, recognized_view, view_title
from .wire import Request, Upload

__all__ = [
    "AnalysisList",
    "AnalysisState",
    "ListedAnalysis",
    "Started",
    "Status",
    "analysis_id_of",
    "calculated_call",
    "list_call",
    "results_call",
    "start_call",
]

R = TypeVar("R", bound=Answer, covariant=True)
C = TypeVar("C", bound=Answer, covariant=True)
R2 = TypeVar("R2", bound=Answer)
C2 = TypeVar("C2", bound=Answer)


class Status(enum.StrEnum):
    """The status of an analysis. An open set: an unknown status stays text, and waiting continues."""

    PENDING = "pending"
    ANALYZING = "analyzing"
    SUCCESS = "success"
    FAILED = "failed"


# --- starting -----------------------------------------------------------------------------------


def _field_problems(values: dict[str, Any]) -> Iterator[Problem]:
    if not isinstance(values.get("analysis_id"), str) or not values["analysis_id"]:
        yield Problem("analysis_id", "must be a non-empty text")
    if not isinstance(values.get("view"), str) or values["view"] not in VIEWS:
        yield Problem("view", f"must be one of {', '.join(VIEWS)}")


@documented
@frozen(kw_only=True)
class Started(Summarized, Generic[R, C]):
    """An analysis that was started and paid for. Store it as JSON; any process can continue with it."""

    analysis_id: str
    view: str
    """The vendor's `analysis_type`, such as `side_view`. Answers do not name it, so it is stored here."""
    started_at: datetime | None = None
    """UTC, by our clock, when the server's answer arrived."""
    clip: str | None = None
    """The file name that was sent with the video."""
    subject_id: str | None = None

    def __attrs_post_init__(self) -> None:
        problems = tuple(_field_problems({"analysis_id": self.analysis_id, "view": self.view}))
        if problems:
            raise InvalidRequest.of("Started", problems)

    def _summary(self) -> Iterator[str]:
        yield f"analysis {display_text(self.analysis_id)}: {view_title(self.view)}"
        yield f"  started {format_time(self.started_at)}, clip {display_text(self.clip, 32)}"
        if self.subject_id is not None:
            yield f"  subject {display_text(self.subject_id)}"

    @classmethod
    def of(cls, analysis_id: str, request: type[AnalysisRequest[R2, C2]]) -> Started[R2, C2]:
        """An analysis of which only the id and the view are known: `Started.of("a1b2c3d4", SideView)`."""
        return Started[R2, C2](analysis_id=analysis_id, view=request.view)

    def to_json(self) -> str:
        """One line of JSON without secrets."""
        values = {each.name: getattr(self, each.name) for each in fields(Started)}
        return orjson.dumps({name: value for name, value in values.items() if value is not None}).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> Started[Results, Calculated]:
        """Reads what `to_json` wrote. Raises `InvalidRequest` for anything else."""
        try:
            values = orjson.loads(text)
        except ValueError:
            raise InvalidRequest.of("Started", (Problem("text", "is not JSON"),)) from None
        problems = tuple(_json_problems(values))
        if problems:
            raise InvalidRequest.of("Started", problems)
        started_at = values.get("started_at")
        return Started(
            analysis_id=values["analysis_id"],
            view=values["view"],
            started_at=datetime.fromisoformat(started_at) if started_at else None,
            clip=values.get("clip"),
            subject_id=values.get("subject_id"),
        )


def _json_problems(values: Any) -> Iterator[Problem]:
    if not isinstance(values, dict):
        yield Problem("text", "must be a JSON object")
        return
    yield from _field_problems(values)
    for name in ("started_at", "clip", "subject_id"):
        if not isinstance(values.get(name), str | None):
            yield Problem(name, "must be a text or left out")
    try:
        datetime.fromisoformat(values.get("started_at") or "2000-01-01")
    except (TypeError, ValueError):
        yield Problem("started_at", "must be an ISO 8601 time")


@answer_class
class StartAnswer(Answer):
    """The answer to an accepted start: 202 with an id."""

    video_id: str = field(metadata=json_keys(*ID_KEYS))
    message: str | None = None


def start_call(upload: Upload) -> Call[StartAnswer]:
    """The start of an analysis. It costs a credit and must never be repeated unless it surely did not happen."""
    request = Request(START, START.path(), upload=upload)
    return Call(request, lambda body: structure(body, StartAnswer), "StartAnswer", repeatable=False)


# --- polling ------------------------------------------------------------------------------------


@documented
@frozen(kw_only=True)
class AnalysisState(Summarized, Generic[R]):
    """The state of an analysis at one poll."""

    analysis_id: str
    status: Status | str
    """A `Status`, or the text of a status that nobody knows yet."""
    percentage: float | None = None
    """As sent: usually 0 to 100, but it may be missing, fall, or exceed 100."""
    results: R | None = field(default=None, repr=False)
    """Present once the status is `success`."""
    raw: RawJson = field(factory=RawJson, repr=False, eq=False)
    """The untouched JSON of the answer."""

    @property
    def finished(self) -> bool:
        """Whether the analysis has succeeded or failed, so that further polls show nothing new."""
        return self.status in (Status.SUCCESS, Status.FAILED)

    def _summary(self) -> Iterator[str]:
        progress = "" if self.percentage is None else f", {format_number(self.percentage)} %"
        yield f"analysis {display_text(self.analysis_id)}: {display_text(self.status)}{progress}"
        if self.results is not None:
            yield from str(self.results).splitlines()


@answer_class
class _StateAnswer(Answer):
    status: Status | str
    percentage: float | None = None

    known_keys = frozenset({*ID_KEYS, "thumbnail", "output_video", "biomechanical_analysis", "message"})


def analysis_id_of(started: Started[Any, Any] | str) -> str:
    """The id of an analysis, which may itself be a bare id."""
    return started if isinstance(started, str) else started.analysis_id


def results_call(started: Started[R2, Any] | str) -> Call[AnalysisState[R2]]:
    """One poll of an analysis. For a bare id the view is recognized by the keys of the answer."""
    analysis_id = analysis_id_of(started)
    cls = None if isinstance(started, str) else VIEWS[started.view].results
    return Call(
        Request(RESULTS, RESULTS.path(analysis_id=analysis_id)),
        lambda body: cast("AnalysisState[R2]", _state(analysis_id, cls, body)),
        cls.__name__ if cls else "Results",
        repeatable=True,
        accepts=lambda status, body: is_state(status, body) or 200 <= status < 300,
        analysis_id=analysis_id,
    )


def _state(analysis_id: str, cls: type[Answer] | None, body: Any) -> AnalysisState[Answer]:
    state = structure(body, _StateAnswer)
    succeeded = state.status == Status.SUCCESS
    return AnalysisState(
        analysis_id=analysis_id,
        status=state.status,
        percentage=state.percentage,
        results=structure(body, cls or recognized_view(body).results) if succeeded else None,
        raw=RawJson(body),
    )


def calculated_call(started: Started[Any, C2] | str) -> Call[C2]:
    """The calculated data. For a bare id the view is recognized by the keys of the answer."""
    analysis_id = analysis_id_of(started)
    cls = None if isinstance(started, str) else VIEWS[started.view].calculated

    def read(body: Any) -> C2:
        if not isinstance(body, dict):
            raise mismatch("an object", body)
        return cast("C2", structure(body, cls or recognized_view(body).calculated))

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
    """One analysis in a list. Source: `subject_id` is documented, everything else is inferred."""

    layout_known = False

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
