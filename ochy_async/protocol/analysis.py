"""The life of an analysis: started, polled, finished, listed.

Invariant: an unknown status is a state like any other, and a body with a `status` is a state whatever its HTTP status.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar, cast

import orjson
from attrs import field, fields, frozen

from ..errors import InvalidRequest, Problem
from ..field_docs import documented
from .answer import ID_KEYS, Answer, RawJson, answer_class, json_keys
from .call import Call, is_state
from .converter import structure
from .drift import mismatch
from .request import AnalysisRequest
from .routes import CALCULATED_DATA, RESULTS, START
from .text_summary import Summarized, display_text, format_number, format_time
from .views import VIEWS, Calculated, Results, recognized_view, view_title
from .wire import Request, Upload

__all__ = [
    "AnalysisState",
    "Started",
    "Status",
    "analysis_id_of",
    "calculated_call",
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

    known_keys: ClassVar[frozenset[str]] = frozenset(
        {*ID_KEYS, "thumbnail", "output_video", "biomechanical_analysis", "message"}
    )


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
