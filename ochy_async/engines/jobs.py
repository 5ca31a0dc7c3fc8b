"""A job as plain JSON, which any engine can store: one clip, by its path or URL, and its request; and its result.

Invariant: a job holds no secret, and a result no health data. A job that cannot be carried out is refused when it is
read, with all of its problems.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Self

from attrs import asdict, field, frozen

from ..batch.outcomes import Outcome, Unfinished
from ..batch.sources import Item, label_of
from ..clips import Clip, ClipSource
from ..errors import InvalidRequest, Problem
from ..field_docs import documented
from ..object_store.listing import is_object_url, is_plain_object_url
from ..protocol.redaction import redact_links
from ..protocol.request import AnalysisRequest
from ..protocol.views import BY_WORD, VIEW_WORDS, VIEWS

__all__ = ["Job", "JobResult"]

KEYS: Final = ("clip", "view", "extra")
"""The keys of a job besides the fields of its request."""
PLACES: Final = "a path, or a URL such as s3://bucket/clip.mp4 without credentials, that other machines can read"


@documented
@frozen
class Job:
    """One clip for a worker of an engine, with its request."""

    clip: str
    """An absolute path that every worker can read, or a URL such as `s3://lab/clips/a.mp4`."""
    request: AnalysisRequest[Any, Any] = field(repr=False)
    extra: Mapping[str, str] = field(factory=dict, repr=False)
    """Further texts by name, which come back as `outcome.extra`."""

    @classmethod
    def of(cls, item: Item) -> Self:
        """The job for a clip of a batch. Raises `InvalidRequest` for a clip that has neither a path nor a URL."""
        place, request, extra = _place(item.clip), item.request, item.extra
        del item  # a traceback shows the variables of this frame, and what was refused may be a secret
        if not place:
            raise InvalidRequest.of("The job", (Problem("clip", f"must be {PLACES}"),))
        return cls(place, request, extra)

    @classmethod
    def from_json(cls, values: object) -> Self:
        """Reads what `to_json` returned. Raises `InvalidRequest` with every problem."""
        given: dict[str, Any] = dict(values) if isinstance(values, Mapping) else {}
        problems = [*_problems(values, given)]
        request = None if problems else _request(given, problems)
        clip, extra = given.get("clip", ""), given.get("extra", {})
        if request is not None:
            return cls(clip, request, extra)
        del values, given, clip, extra  # see `of`
        raise InvalidRequest.of("The job", tuple(problems))

    @classmethod
    def from_bytes(cls, text: bytes | None) -> Self:
        """Reads what `to_bytes` returned. Raises `InvalidRequest` with every problem."""
        try:
            values = json.loads(text or b"")
        except ValueError:
            values = None
        return cls.from_json(values)

    def to_json(self) -> dict[str, Any]:
        """The job as JSON values. They hold the runner's height and weight, and no secret."""
        fields = {name: value for name, value in asdict(self.request, recurse=False).items() if value is not None}
        extra = {"extra": dict(self.extra)} if self.extra else {}
        return {"clip": self.clip, "view": VIEWS[self.request.view].word, **fields, **extra}

    def to_bytes(self) -> bytes:
        """The job as JSON text, the same for the same job."""
        return json.dumps(self.to_json(), sort_keys=True, separators=(",", ":")).encode()

    @property
    def digest(self) -> str:
        """The same for the same clip with the same request."""
        return sha256(self.to_bytes()).hexdigest()


@documented
@frozen(kw_only=True)
class JobResult:
    """The outcome of a job, without results: those are in the journal."""

    clip: str
    outcome: str
    """The outcome in one word: `analyzed`, `refused`, `failed`, `uncertain` or `unfinished`, as in a batch."""
    key: str | None = None
    """The clip's key in the journal."""
    analysis_id: str | None = None
    bought: bool = False
    """Whether this worker spent a credit on it."""
    reason: str = ""
    """Why there are no results, as text for people."""

    @classmethod
    def of(cls, job: Job, outcome: Outcome[Any, Any]) -> Self:
        """The result of a job from the outcome of its clip."""
        return cls(
            clip=job.clip,
            outcome=outcome.word,
            key=outcome.key,
            analysis_id=outcome.analysis_id,
            bought=outcome.bought,
            reason=redact_links(outcome.reason),
        )

    @classmethod
    def unfinished(cls, job: Job, reason: str) -> Self:
        """The result of a job that another worker can take, or that this one can try again."""
        return cls(clip=job.clip, outcome=Unfinished.word, reason=reason)

    @property
    def is_final(self) -> bool:
        """Whether the job is done. If not, the engine should bring it back."""
        return self.outcome != Unfinished.word

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return asdict(self)


def _place(clip: ClipSource) -> str:
    """Where other machines find the clip; empty if they cannot."""
    place = label_of(clip) if isinstance(clip, str | os.PathLike) or _is_remote(clip) else ""
    if is_object_url(place):
        return place if is_plain_object_url(place) else ""
    return place and str(Path(place).absolute())


def _is_remote(clip: ClipSource) -> bool:
    return isinstance(clip, Clip) and clip.remote is not None


def _problems(values: object, given: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the parts of a job besides the fields of its request. No problem quotes a value."""
    if not isinstance(values, Mapping):
        yield Problem("job", "must be a JSON object")
        return
    clip, extra = given.get("clip"), given.get("extra", {})
    if not isinstance(clip, str) or not (is_plain_object_url(clip) or Path(clip).is_absolute()):
        yield Problem("clip", f"must be {PLACES}")
    if given.get("view") not in VIEW_WORDS:
        yield Problem("view", f"must be {' or '.join(VIEW_WORDS)}")
    if not isinstance(extra, Mapping) or not all(isinstance(each, str) for each in (*extra, *extra.values())):
        yield Problem("extra", "must be an object of texts")


def _request(given: Mapping[str, Any], problems: list[Problem]) -> AnalysisRequest[Any, Any] | None:
    view = BY_WORD[given["view"]]
    fields = {str(name): value for name, value in given.items() if name not in KEYS}
    unknown = sorted(fields.keys() - view.fields)
    problems += [Problem("job", f"has the unknown key {name!r} for the {view.word} view") for name in unknown]
    request = None
    try:
        request = view.request(**{name: value for name, value in fields.items() if name in view.fields})
    except InvalidRequest as error:
        problems += error.problems
    return None if problems else request
