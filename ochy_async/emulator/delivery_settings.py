"""How deliveries to the webhook look and arrive: two frozen values, validated when they are made.

Invariant: pure. The vendor documents little about deliveries, so everything else is a field here, and its docstring
says whether the default is documented, assumed or unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from attrs import field, frozen
from attrs.validators import and_, deep_iterable, ge, gt, in_, le, lt, min_len, optional
from attrs.validators import instance_of as a

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from attrs import Attribute

__all__ = ["DeliverySettings", "DeliveryShapes", "Forgery", "UpdateKind"]

UpdateKind = Literal["queued", "started", "progress", "success", "failure", "test"]
Forgery = Literal["success", "failure", "percentage", "sequence", "unknown_id", "rubbish"]
Enveloped = Literal["state", "everything"]
StatusWords = Literal["guide", "api"]
Scale = Literal["percent", "fraction"]
Timestamps = Literal["iso", "seconds", "milliseconds"]

HOUR = 3_600.0
KEYS = ("id_key", "event_key", "status_key", "percentage_key", "sequence_key", "timestamp_key")


def _key(default: str | None) -> Any:
    return field(default=default, validator=optional(and_(a(str), min_len(1))))


def _event(default: str) -> Any:
    return field(default=default, validator=a(str))


@frozen(kw_only=True)
class DeliveryShapes:
    """How the JSON of a delivery looks. A key that is None is left out."""

    id_key: str | None = _key("video_id")
    """The key of the analysis's id. Unknown; assumed to be that of the answers."""

    event_key: str | None = _key("event")
    """The key of the event's name. Unknown."""

    status_key: str | None = _key("status")
    """The key of the status. Unknown."""

    percentage_key: str | None = _key("percentage")
    """The key of the percentage. Unknown."""

    sequence_key: str | None = _key("sequence")
    """The key of the number that rises with each update of an analysis. Documented."""

    timestamp_key: str | None = _key("timestamp")
    """The key of the time of the update. Unknown."""

    envelope: str | None = _key(None)
    """The key of an object inside, such as `data`; None for none. Unknown."""

    enveloped: Enveloped = field(default="state", validator=in_(get_args(Enveloped)))
    """What is in the `envelope`: the id, the status and the percentage, or everything. Unknown."""

    queued_event: str = _event("analysis.queued")
    """Unknown."""

    started_event: str = _event("analysis.started")
    """Documented."""

    progress_event: str = _event("analysis.progress")
    """Unknown; that there is an event for progress is documented."""

    success_event: str = _event("analysis.completed")
    """Unknown; that there is an event for success is documented."""

    failure_event: str = _event("analysis.failed")
    """Unknown; that there is an event for failure is documented."""

    test_event: str = _event("webhook.test")
    """Unknown; that the dashboard can send a test event is documented."""

    status_words: StatusWords = field(default="guide", validator=in_(get_args(StatusWords)))
    """`guide`: queued, running, success, failed. `api`: pending, analyzing, success, failed. Unknown; updates run from
    queued to running to success or failure (documented)."""

    percentages: Scale = field(default="percent", validator=in_(get_args(Scale)))
    """The percentage as 0-100 or as 0-1. Unknown."""

    timestamps: Timestamps = field(default="iso", validator=in_(get_args(Timestamps)))
    """ISO 8601 in UTC, or seconds or milliseconds since the epoch. Unknown."""

    extra_keys: bool = field(default=False, validator=a(bool))
    """Whether every object has an unknown key."""

    def __attrs_post_init__(self) -> None:
        used = [key for key in (getattr(self, name) for name in KEYS) if key is not None]
        if len(used) != len(set(used)):
            raise ValueError(f"{', '.join(KEYS)}: two of them are the same key")


def _seconds(default: tuple[float, float]) -> Any:
    return field(default=default, validator=_is_range, converter=tuple)


def _is_range(_: object, attribute: Attribute[tuple[float, float]], seconds: tuple[float, ...]) -> None:
    if len(seconds) != 2 or not 0 <= seconds[0] <= seconds[1] <= HOUR:
        raise ValueError(f"{attribute.name}: 0 <= shortest <= longest <= {HOUR:.0f} seconds, not {seconds!r}")


def _tuple(seconds: Iterable[float]) -> tuple[float, ...]:
    return tuple(seconds)


def _share() -> Any:
    return field(default=0.0, validator=[ge(0.0), le(1.0)])


def _set(values: Iterable[str]) -> frozenset[Any]:
    if isinstance(values, str):
        raise TypeError("expected a set of strings, such as {'...'}, not one string")
    return frozenset(values)


def _headers(_: object, __: Attribute[Mapping[str, str]], headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not (isinstance(value, str) and name and (name + value).isascii() and (name + value).isprintable()):
            raise ValueError("headers: names and values must be printable ASCII")


@frozen(kw_only=True)
class DeliverySettings:
    """When and how often the emulator delivers to the webhook.

    The defaults deliver every update once and in order. The rates are shares of the updates, drawn from the seed.
    """

    kinds: frozenset[UpdateKind] = field(
        default=frozenset(get_args(UpdateKind)), converter=_set, validator=deep_iterable(in_(get_args(UpdateKind)))
    )
    """The updates that are delivered. Documented: from queued to running, through milestones, to success or failure."""

    milestones: tuple[float, ...] = field(
        default=(25, 50, 75), converter=_tuple, validator=deep_iterable([gt(0.0), lt(100.0)])
    )
    """Percentages at which an update is delivered. Assumed; that there are milestones is documented."""

    first_sequence: int = field(default=1, validator=a(int))
    """The sequence number of an analysis's first update. Assumed; that it rises is documented."""

    latency_seconds: tuple[float, float] = _seconds((0.1, 1.0))
    """Shortest and longest time between an update and its delivery. Updates do not overtake each other. Assumed."""

    timeout_seconds: float = field(default=10.0, validator=[gt(0.0), le(HOUR)])
    """Seconds, of real time, in which the receiver must answer. Unknown."""

    retry_seconds: tuple[float, ...] = field(
        default=(1.0, 5.0, 30.0), converter=_tuple, validator=deep_iterable([ge(0.0), le(HOUR)])
    )
    """Pauses before each repetition of a delivery that was not answered with a 2xx; empty for no repetitions.
    Unknown."""

    loss_rate: float = _share()
    """Share of the updates that are never delivered. Unknown; delivery issues are documented."""

    duplicate_rate: float = _share()
    """Share of the updates that are delivered twice. Unknown."""

    duplicate_seconds: tuple[float, float] = _seconds((0.0, 2.0))
    """Shortest and longest time between an update and its duplicate."""

    shuffle_rate: float = _share()
    """Share of the updates that are held back, so that later ones arrive first. Unknown."""

    shuffle_seconds: tuple[float, float] = _seconds((1.0, 10.0))
    """Shortest and longest time for which they are held back."""

    forgeries_per_second: float = field(default=0.0, validator=[ge(0.0), le(1000.0)])
    """Forged deliveries per second for each analysis, from its start to a little after its end. Deliveries carry no
    signature (inferred), so anybody who knows the URL can send them."""

    forgeries: frozenset[Forgery] = field(
        default=frozenset(get_args(Forgery)), converter=_set, validator=deep_iterable(in_(get_args(Forgery)))
    )
    """What they are: a false success or failure, a wrong percentage, a huge sequence number, an unknown id, or
    something that is no delivery at all."""

    headers: Mapping[str, str] = field(factory=dict, validator=_headers)
    """Headers of every delivery, besides `content-type` and `user-agent`. Unknown."""

    shapes: DeliveryShapes = field(factory=DeliveryShapes, validator=a(DeliveryShapes))
    """How the JSON of a delivery looks."""
