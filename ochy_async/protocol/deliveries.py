"""Webhook deliveries as values: what the server pushes about the progress of an analysis.

Deliveries are probably unsigned (inferred), so a delivery is a hint to poll and never proof of a state.

Documented: a delivery is a POST with JSON that carries an event type, a status, a percentage, a `sequence` that rises
with each delivery about an analysis, and a timestamp; one event is `analysis.started`. Inferred: the id comes under
one of the names that it has elsewhere in the API. Not documented, and never seen by us: every other name of a key,
every other event, whether the values lie in an envelope, retries and duplicates. So keys are recognized by many
names, at the top of the object and one level down, and whatever was not expected is noted as drift.

Invariant: nothing that can be sent raises anything but `InvalidDelivery`, and every value that is taken is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from itertools import chain, islice, product
from typing import Any, Final

import orjson
from attrs import field, frozen

from ..errors import InvalidDelivery
from ..field_docs import documented
from .analysis import Status
from .answer import RawJson
from .converter import structure
from .drift import DriftLog, DriftNote, Mismatch, mismatch, note, read_at
from .redaction import contains_link
from .text_summary import Summarized, display_text, format_number, format_time

__all__ = ["MAX_DELIVERY_BYTES", "Delivery", "check_content_type", "parse_delivery"]

MAX_DELIVERY_BYTES: Final = 65_536
"""The largest body that is read."""
MAX_DEPTH: Final = 32
"""Levels of objects and arrays in a body."""
MAX_TEXT: Final = 200
"""Characters of an id, an event or a status."""
MAX_SEQUENCE: Final = 2**63
MAX_OBJECTS: Final = 32
"""Objects at the top of a body that are searched."""
MAX_TRIED: Final = 8
"""Values that are tried for one field."""


@documented
@frozen(kw_only=True)
class Delivery(Summarized):
    """What a webhook delivery says about an analysis: a hint to poll, never a fact. Every field may be None."""

    analysis_id: str | None = None
    """Printable, at most 200 characters. Key names: inferred."""
    event: str | None = None
    """The type of the event, such as `analysis.started` (documented); further events are not documented by name."""
    status: Status | str | None = None
    """A `Status`, or any other text. That a status is sent is documented, its values are not."""
    percentage: float | None = None
    """As sent: usually 0 to 100."""
    sequence: int | None = None
    """A number that rises with each delivery about one analysis (documented)."""
    timestamp: datetime | None = None
    """UTC. That a time is sent is documented, its key and format are not."""
    raw: RawJson = field(factory=RawJson, repr=False, eq=False)
    """The untouched JSON object. If a key comes twice, it holds the last one."""
    drift: frozenset[DriftNote] = field(default=frozenset(), repr=False, eq=False)
    """What was not expected: paths and types, no values."""

    @property
    def still_running(self) -> bool:
        """Whether the delivery recognizably says that the analysis is not finished, so that a poll shows no end.

        The words of `status` and `event` decide; without both, a percentage below 100 does. False for anything that
        is not recognized. The words are inferred, except those of `Status` and `analysis.started`.
        """
        words = [*_words(self.status), *_words(self.event)]
        if words:
            return not any(map(_ENDED.fullmatch, words)) and any(map(_RUNNING.fullmatch, words))
        return self.percentage is not None and self.percentage < 100

    def _summary(self) -> Iterator[str]:
        yield f"delivery: {display_text(self.event)}, analysis {display_text(self.analysis_id)}"
        yield f"  status {display_text(self.status)}, {format_number(self.percentage, '%')}"
        yield f"  sequence {display_text(self.sequence)}, sent {format_time(self.timestamp)}"


_ENDED: Final = re.compile(
    r"(succe|complet|finish|fail|error|cancel|abort|reject|expire)\w*|done|ready|end|ended|timeout", re.ASCII
)
_RUNNING: Final = re.compile(
    r"(schedul|queue|progress|milestone)\w*|accepted|created|received|pending|waiting|start|started|starting|running"
    r"|analy[sz]ing|processing",
    re.ASCII,
)


def _words(text: str | None) -> list[str]:
    """The words of `analysis.started`, `inProgress` or `QUEUED`, in lower case."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", text or "")]


# --- reading --------------------------------------------------------------------------------------------


def parse_delivery(body: bytes, headers: Mapping[str, str]) -> Delivery:
    """The body of a request to your webhook as a `Delivery`.

    Only the content type is read of the headers. Raises `InvalidDelivery`, whose `status` is the HTTP status to answer
    with: 413 for more than `MAX_DELIVERY_BYTES`, 415 for a content type that is not JSON, 400 for anything but one
    JSON object in UTF-8.
    """
    if len(body) > MAX_DELIVERY_BYTES:
        raise _invalid(413, f"it has {len(body):,} bytes, and at most {MAX_DELIVERY_BYTES:,} are read")
    check_content_type(headers)
    try:
        json = orjson.loads(body)
    except ValueError:  # the error of the parser holds the body and is not passed on
        json = None
    if not isinstance(json, dict):
        raise _invalid(400, "its body is not a JSON object in UTF-8")
    if _is_deeper_than(MAX_DEPTH, json):
        raise _invalid(400, f"its JSON is nested more than {MAX_DEPTH} levels deep")
    with DriftLog(Delivery.__name__) as log:
        fields = _read_fields(json)
    return Delivery(**fields, raw=RawJson(json), drift=log.notes())


def _invalid(status: int, why: str) -> InvalidDelivery:
    return InvalidDelivery(
        f"The request is not a webhook delivery: {why}. Nothing is lost, because a delivery is only a hint and waits "
        f"go on polling. Answer it with HTTP {status}.",
        status=status,
    )


def check_content_type(headers: Mapping[str, str]) -> None:
    """Raises `InvalidDelivery` unless the content type is JSON or not given."""
    declared = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    media_type = declared.partition(";")[0].strip().lower()
    if media_type and not re.fullmatch(r"(application|text)/([\w.+-]+\+)?json", media_type):
        raise _invalid(415, "its content type is not JSON")


def _is_deeper_than(levels: int, json: Any) -> bool:
    level = [json]
    for _ in range(levels):
        level = [value for each in level for value in _children(each)]
    return bool(level)


def _children(json: Any) -> list[Any]:
    values = json.values() if isinstance(json, dict) else json if isinstance(json, list) else ()
    return [value for value in values if isinstance(value, dict | list)]


# --- single values ----------------------------------------------------------------------------------------


_GUIDE_STATUSES: Final = frozenset({"queued", "running", "failure"})
"""Words of the vendor's guide for what polls call `pending`, `analyzing` and `failed`: they need no note."""


def _text(value: Any) -> str:
    text = structure(value, str)
    if not (0 < len(text) <= MAX_TEXT and text.isprintable()) or contains_link(text):
        raise mismatch(f"a printable text of at most {MAX_TEXT} characters", value)
    return text


def _status(value: Any) -> Status | str:
    if _text(value) in _GUIDE_STATUSES:
        return str(value)
    status: Status | str = structure(value, Status | str)  # type: ignore[arg-type]
    return status


def _number(value: Any) -> float:
    return structure(value, float)


def _whole_number(value: Any) -> int:
    number = structure(value, float)
    if not (number.is_integer() and abs(number) < MAX_SEQUENCE):
        raise mismatch("a whole number", value)
    return int(value)


def _time(value: Any) -> datetime:
    """ISO 8601 as everywhere in the API, or seconds or milliseconds since 1970, which are noted."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return structure(value, datetime)
    note("time sent as a number", value)
    try:
        return datetime.fromtimestamp(value / 1000 if abs(value) > 1e11 else value, UTC)
    except (OverflowError, ValueError, OSError):
        raise mismatch("a time", value) from None


# --- where values are found ---------------------------------------------------------------------------------

_ENVELOPES: Final = ("data", "payload", "analysis", "video", "body", "object", "resource", "attributes", "details")
"""The plain names of objects that probably hold the values, the likeliest first. Others are searched after them."""


@frozen
class _Value:
    """One value of the body, and the keys that lead to it."""

    path: tuple[str, ...]
    value: Any


_Group = dict[str, list[_Value]]
"""Values by their last key, which is written plainly (see `_plain`)."""


def _plain(key: str) -> str:
    """The key without case, `_` and `-`."""
    return key.replace("_", "").replace("-", "").lower()


@frozen
class _Values:
    """The values of a body that are neither null nor an object, at its top and one level down."""

    top: _Group
    in_envelopes: _Group
    elsewhere: _Group
    """In objects of any other name."""

    @classmethod
    def of(cls, json: dict[str, Any]) -> _Values:
        """All values of a body."""
        objects = ((key, value) for key, value in json.items() if isinstance(value, dict))
        named = [(_plain(key), _Value((key,), value)) for key, value in islice(objects, MAX_OBJECTS)]
        envelopes = [each for wanted in _ENVELOPES for name, each in named if name == wanted]
        others = [each for name, each in named if name not in _ENVELOPES]
        return cls(_members([_Value((), json)]), _members(envelopes), _members(others))

    def __iter__(self) -> Iterator[_Value]:
        groups = (self.top, self.in_envelopes, self.elsewhere)
        return chain.from_iterable(values for group in groups for values in group.values())


def _members(objects: list[_Value]) -> _Group:
    group = _Group()
    for each in objects:
        for key, value in each.value.items():
            if value is not None and not isinstance(value, dict):
                group.setdefault(_plain(key), []).append(_Value((*each.path, key), value))
    return group


@frozen
class _KeyNames:
    """How a field of a delivery is read. Names are plain (see `_plain`), the likeliest first.

    `name` is the name of nothing here: it may be that of a runner.
    """

    expected: tuple[str, ...]
    """The keys at the top that need no note."""
    read: Callable[[Any], Any]
    names: tuple[str, ...]
    vague_names: tuple[str, ...]
    """Names that often mean something else at the top, such as the id of the delivery itself: envelopes come first."""

    def candidates(self, values: _Values) -> Iterator[_Value]:
        """The values that may be meant, the likeliest first."""
        top, envelopes, others = values.top, values.in_envelopes, values.elsewhere
        for names, groups in ((self.names, (top, envelopes, others)), (self.vague_names, (envelopes, top, others))):
            for group, name in product(groups, names):
                yield from group.get(name, ())


_FIELDS: Final[dict[str, _KeyNames]] = {
    "analysis_id": _KeyNames(
        ("analysis_id", "video_id"), _text, ("analysisid", "videoid", "analysisuuid"), ("id", "uuid", "analysis")
    ),
    "event": _KeyNames(("event",), _text, ("event", "eventtype", "eventname", "type"), ("kind", "action")),
    "status": _KeyNames(("status",), _status, ("status", "analysisstatus", "newstatus"), ("state",)),
    "percentage": _KeyNames(("percentage",), _number, ("percentage", "percent", "progress", "progresspercentage"), ()),
    "sequence": _KeyNames(("sequence",), _whole_number, ("sequence", "sequencenumber", "seq"), ()),
    "timestamp": _KeyNames(
        ("timestamp",),
        _time,
        ("timestamp", "time", "occurredat", "sentat", "eventtime"),
        ("createdat", "updatedat", "created", "date"),
    ),
}


def _read_fields(json: dict[str, Any]) -> dict[str, Any]:
    """The fields of a delivery. Notes what is missing, in an unexpected place, unreadable or unknown."""
    values, tried = _Values.of(json), set[tuple[str, ...]]()
    fields = {name: _first_readable(name, field, values, tried) for name, field in _FIELDS.items()}
    for each in values:
        if each.path not in tried:
            note("unknown key", each.value, *each.path)
    return fields


def _first_readable(name: str, wanted: _KeyNames, values: _Values, tried: set[tuple[str, ...]]) -> Any:
    each = None
    for each in islice(wanted.candidates(values), MAX_TRIED):
        tried.add(each.path)
        try:
            value = _read(wanted.read, each)
        except Mismatch as error:
            note(f"expected {error.expected}", each.value, *each.path)
            continue
        if each.path[1:] or each.path[0] not in wanted.expected:
            note(f"read as {name}", each.value, *each.path)
        return value
    if each is None:
        note("missing", None, name)
    return None


def _read(read: Callable[[Any], Any], source: _Value) -> Any:
    """The value, with the path of its source before its notes."""
    for key in reversed(source.path):
        read = partial(read_at, key, read)
    return read(source.value)
