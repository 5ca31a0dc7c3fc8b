"""The undocumented shapes of responses as options; each default is the vendor's sample, or assumed if there is none.

Invariant: pure. An option changes how a response looks, never what the service does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

from attrs import field, frozen
from attrs.validators import ge, in_, le, optional
from attrs.validators import instance_of as a

__all__ = ["ResponseShapes"]

IdKey = Literal["id", "video_id", "analysis_id"]
Wrapper = Literal["bare", "analyses", "data"]
ItemKind = Literal["objects", "strings"]
Styles = Literal["object", "array"]
Scale = Literal["fraction", "percent"]
Ranges = Literal["pair", "pairs"]
LandmarkShape = Literal["xy", "pair", "xyz_score"]
Gaps = Literal["none", "missing", "null", "frames"]
Percentage = Literal["number", "absent", "null", "float", "over", "falling"]
UnrequestedJoints = Literal["absent", "null", "empty"]

RANGE_KEYS = ("range_bad", "range_good", "range_okay")
UNREQUESTED = ("knee_adduction", "pelvic_drop")
UNKNOWN_KEY = "x_unknown"


@frozen(kw_only=True)
class ResponseShapes:
    """How responses look where the documentation does not say or has two samples."""

    id_key: IdKey = field(default="video_id", validator=in_(get_args(IdKey)))
    """The key of an analysis's id in the responses to a start and to results."""

    list_id_key: IdKey = field(default="video_id", validator=in_(get_args(IdKey)))
    """The key of an analysis's id in lists."""

    lists: Wrapper = field(default="analyses", validator=in_(get_args(Wrapper)))
    """Lists of analyses: bare, or under `analyses` or `data`."""

    items: ItemKind = field(default="objects", validator=in_(get_args(ItemKind)))
    """The items of `GET /analysis`."""

    subject_items: ItemKind = field(default="strings", validator=in_(get_args(ItemKind)))
    """The items of `GET /analysis/subjects/{subject_id}`."""

    newest_first: bool = field(default=True, validator=a(bool))
    """The order of lists of analyses."""

    running_styles: Styles = field(default="object", validator=in_(get_args(Styles)))
    """The running style as an object, or in an array of one."""

    running_percentage: Scale = field(default="percent", validator=in_(get_args(Scale)))
    """The running style's `percentage` as 0-1 or as 0-100."""

    ranges: Ranges = field(default="pair", validator=in_(get_args(Ranges)))
    """A range as `[low, high]` or as `[[low, high]]`."""

    landmarks: LandmarkShape = field(default="xyz_score", validator=in_(get_args(LandmarkShape)))
    """A landmark as `{x, y}`, `[x, y]` or `{x, y, z, score}`."""

    first_frame: Literal[0, 1] = field(default=0, validator=in_((0, 1)))
    """The number of the first frame."""

    gaps: Gaps = field(default="none", validator=in_(get_args(Gaps)))
    """In every fifth frame a landmark is missing or null, or the frame itself is missing."""

    percentage: Percentage = field(default="number", validator=in_(get_args(Percentage)))
    """`absent` and `null` apply while pending, `over` exceeds 100, `falling` decreases half-way."""

    unrequested_joints: UnrequestedJoints = field(default="absent", validator=in_(get_args(UnrequestedJoints)))
    """Knee adduction and pelvic drop in a back view requested with `full_body=false`."""

    extra_keys: bool = field(default=False, validator=a(bool))
    """Whether every object has an unknown key, except frames and landmarks, whose keys are data."""

    unknown_status: str | None = field(default=None, validator=optional(a(str)))
    """An unknown status, such as `queued_v2`, that every analysis has at first."""

    unknown_status_seconds: float = field(default=5.0, validator=[ge(0), le(86_400)])
    """Seconds from the start for which an analysis has the `unknown_status`, if it takes that long."""

    foot_strike_pattern: str | None = field(default=None, validator=optional(a(str)))
    """Replaces every foot strike pattern of results."""

    error_codes: bool = field(default=True, validator=a(bool))
    """Whether error bodies have a `code` where it is documented."""


def percentage_field(shapes: ResponseShapes, fraction: float | None, level: float) -> dict[str, Any]:
    """The `percentage` of an unfinished analysis, or an empty dict.

    `fraction` (0-1) is the share of its time that has passed, None while pending. From 35 % to 65 % of that time the
    percentage stays at `level` (0-100).
    """
    if fraction is None and shapes.percentage in ("absent", "null"):
        return {} if shapes.percentage == "absent" else {"percentage": None}
    fraction = fraction or 0.0
    return {"percentage": _PERCENTAGES[shapes.percentage](_curve(fraction, level), fraction)}


def fraction_at(percentage: float, level: float) -> float:
    """The share (0-1) of an analysis's time after which it shows `percentage` (0-100)."""
    if percentage <= level:
        return 0.35 * percentage / level
    return min(1.0, 0.65 + 0.35 * (percentage - level) / (99 - level))


def _curve(fraction: float, level: float) -> float:
    if fraction < 0.35:
        return level * fraction / 0.35
    if fraction < 0.65:
        return level
    return level + (99 - level) * (fraction - 0.65) / 0.35


_PERCENTAGES: Mapping[str, Callable[[float, float], float]] = {
    "number": lambda value, _: int(value),
    "absent": lambda value, _: int(value),
    "null": lambda value, _: int(value),
    "float": lambda value, _: round(value, 3),
    "over": lambda value, _: int(value * 1.5),
    "falling": lambda value, fraction: int(value if fraction < 0.5 else value / 2),
}


def shape_analysis(shapes: ResponseShapes, analysis: Mapping[str, Any]) -> dict[str, Any]:
    """A `biomechanical_analysis` or calculated data in the chosen shapes."""
    shaped = {key: _shaped(shapes, key, value) for key, value in analysis.items()}
    if "running_styles" in shaped:
        shaped["running_styles"] = _styles(shapes, shaped["running_styles"])
    return shaped


def _shaped(shapes: ResponseShapes, key: str, value: Any) -> Any:
    if key in RANGE_KEYS and shapes.ranges == "pairs":
        return [value]
    if key == "foot_strike_pattern" and shapes.foot_strike_pattern is not None:
        return shapes.foot_strike_pattern
    if isinstance(value, Mapping):
        return {inner: _shaped(shapes, inner, item) for inner, item in value.items()}
    return value


def _styles(shapes: ResponseShapes, style: Any) -> Any:
    if isinstance(style, Mapping) and shapes.running_percentage == "fraction" and "percentage" in style:
        style = {**style, "percentage": style["percentage"] / 100}
    return [style] if shapes.running_styles == "array" else style


def with_unrequested_joints(shapes: ResponseShapes, analysis: Mapping[str, Any]) -> dict[str, Any]:
    """A back view requested with `full_body=false`, with the two joints that were not requested as chosen."""
    if shapes.unrequested_joints == "absent":
        return dict(analysis)
    filler: Any = None if shapes.unrequested_joints == "null" else {}
    content = {**analysis["analysis_content"], **dict.fromkeys(UNREQUESTED, filler)}
    return {**analysis, "analysis_content": content}


def shape_frames(shapes: ResponseShapes, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Raw data in the chosen shapes: numbering, gaps and landmarks."""
    ordered = [raw["frames"][key] for key in sorted(raw["frames"], key=int)]
    frames = {
        str(number): _frame(shapes, index, frame)
        for index, (number, frame) in enumerate(enumerate(ordered, shapes.first_frame))
        if not (shapes.gaps == "frames" and _is_gap(index))
    }
    return {**raw, "frames": frames}


def _is_gap(index: int) -> bool:
    return index % 5 == 4


def _frame(shapes: ResponseShapes, index: int, frame: Mapping[str, Any]) -> dict[str, Any]:
    shape = _LANDMARKS[shapes.landmarks]
    shaped: dict[str, Any] = {name: shape(point) for name, point in frame.items()}
    if shaped and _is_gap(index):
        hidden = list(shaped)[index % len(shaped)]
        if shapes.gaps == "missing":
            del shaped[hidden]
        elif shapes.gaps == "null":
            shaped[hidden] = None
    return shaped


_LANDMARKS: Mapping[str, Callable[[Mapping[str, float]], Any]] = {
    "xy": lambda point: {"x": point["x"], "y": point["y"]},
    "pair": lambda point: [point["x"], point["y"]],
    "xyz_score": dict,
}


def shape_list(shapes: ResponseShapes, items: Sequence[Mapping[str, Any]], kind: ItemKind) -> Any:
    """A list in the chosen shapes; `items` are oldest first, with their id under `list_id_key`."""
    ordered = list(reversed(items)) if shapes.newest_first else list(items)
    content: list[Any] = [item[shapes.list_id_key] for item in ordered] if kind == "strings" else ordered
    return content if shapes.lists == "bare" else {shapes.lists: content}


def with_unknown_keys(value: Any) -> Any:
    """The same JSON with an unknown key in every object, except frames and their content."""
    if isinstance(value, list):
        return [with_unknown_keys(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    inner = {key: item if key == "frames" else with_unknown_keys(item) for key, item in value.items()}
    return {**inner, UNKNOWN_KEY: {"nested": [1, None, "?"]}}
