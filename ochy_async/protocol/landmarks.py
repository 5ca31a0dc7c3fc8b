"""Raw data as columns: every landmark of every frame, one array per coordinate.

Invariant: a long recording is read in slices, so that whoever drives the reading can let
others go on in between. What the vendor leaves open (names, coordinates, gaps) is taken as it comes.

Frames that differ from one another in numbers only, which is most of most recordings, are read in
blocks (`FrameTemplate`). Any other is read alone, by the decoder of the standard library, which can decode one
frame out of a larger text: orjson holds the interpreter for the whole of it.
"""

from __future__ import annotations

import json
import math
import re
import sys
from array import array
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, Final, cast

from attrs import Factory, define, field, frozen

from ..field_docs import documented
from .answer import Answer, RawJson, answer_class, json_keys
from .call import Call
from .converter import structure
from .drift import DriftLog, DriftNote, Mismatch, note, read_at, recording
from .error_mapping import parse_json, unreadable_answer
from .frame_blocks import FrameBlock, FrameTemplate
from .outline import safe_key
from .routes import RAW_DATA
from .text_summary import Summarized, display_text
from .text_summary import format_number as written
from .wire import Request, Response

__all__ = ["LandmarkGrid", "Landmarks", "LandmarksReading", "VideoInformation", "landmarks_call", "landmarks_of"]

MOST_FRAMES: Final = 100_000
MOST_NAMES: Final = 1_000
MOST_COORDINATES: Final = 32
"""Far beyond 10 s at 240 frames per second of any skeleton: what is more is not read, but refused."""
FRAMES_PER_SLICE: Final = 8
"""About a third of a millisecond of work for 33 landmarks."""
_PARTS_PER_SLICE: Final = 512


@documented
@frozen
class LandmarkGrid:
    """One coordinate of all landmarks in all frames: `grid[frame, landmark]`, NaN where there is none.

    `numpy.asarray(grid)` gives a two-dimensional array of float64 (NumPy is yours to install).
    """

    values: array[float] = field(repr=False)
    """Row after row: all landmarks of the first frame, then of the second."""
    shape: tuple[int, int]
    """(frames, landmarks)."""

    def __getitem__(self, place: tuple[int, int]) -> float:
        row, column = place
        rows, columns = self.shape
        if not (-rows <= row < rows and -columns <= column < columns):
            raise IndexError(f"{place} is outside of {self.shape}")
        return self.values[row % rows * columns + column % columns]

    def row(self, frame: int) -> array[float]:
        """All landmarks of the frame in this position."""
        columns = self.shape[1]
        start = range(self.shape[0])[frame] * columns
        return self.values[start : start + columns]

    def column(self, landmark: int) -> array[float]:
        """The landmark in this position through all frames."""
        return self.values[range(self.shape[1])[landmark] :: self.shape[1]] if self.values else array("d")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        import numpy  # noqa: ICN001 # only NumPy itself calls this, so it is there

        return numpy.array(self.values, dtype=dtype or float, copy=copy).reshape(self.shape)


@answer_class
class VideoInformation(Answer):
    """Facts of the video. Resolution, frame rate and duration are documented, their key names are not."""

    layout_known = False

    resolution: Any = None
    """JSON as it came."""
    width: float | None = None
    """Pixels (inferred)."""
    height: float | None = None
    """Pixels (inferred)."""
    fps: float | None = field(default=None, metadata=json_keys("fps", "frame_rate", "frames_per_second"))
    """Frames per second."""
    duration: float | None = field(default=None, metadata=json_keys("duration", "duration_seconds", "duration_s"))
    """Seconds (inferred)."""


@documented
@frozen(repr=False)
class Landmarks(Summarized):
    """The raw data of an analysis. Units and origin of the coordinates are not documented."""

    frame_numbers: tuple[int, ...]
    """The vendor's frame numbers in rising order; whether they begin at 0 or 1 is not documented."""
    names: tuple[str, ...]
    """The landmark names, once each, in the order in which they were first seen."""
    coordinates: Mapping[str, LandmarkGrid]
    """`x`, `y` and whatever else was sent, such as `z` or `score`."""
    video: VideoInformation = Factory(VideoInformation)
    raw: RawJson = field(factory=RawJson, eq=False)
    """The untouched JSON of everything but the frames."""
    body: bytes = field(default=b"", eq=False)
    """The untouched answer, frames included."""

    @property
    def x(self) -> LandmarkGrid | None:
        """The x coordinates, if any were sent."""
        return self.coordinates.get("x")

    @property
    def y(self) -> LandmarkGrid | None:
        """The y coordinates, if any were sent."""
        return self.coordinates.get("y")

    def track(self, name: str, coordinate: str) -> array[float]:
        """One coordinate of one landmark through all frames. Raises `KeyError` for an unknown name."""
        if name not in self.names:
            raise KeyError(name)
        return self.coordinates[coordinate].column(self.names.index(name))

    def __rich_repr__(self) -> Iterator[str]:
        # rich prints attrs classes by their fields and passes their repr by.
        yield repr(self)

    def __repr__(self) -> str:
        kinds = ", ".join(map(safe_key, sorted(self.coordinates)))
        return f"<Landmarks: {len(self.frame_numbers)} frames of {len(self.names)} landmarks ({kinds})>"

    def _summary(self) -> Iterator[str]:
        frames = len(self.frame_numbers)
        span = f", numbered {self.frame_numbers[0]} to {self.frame_numbers[-1]}" if frames else ""
        yield f"landmarks: {frames:,} frames of {len(self.names):,} landmarks{span}"
        yield f"  video: {written(self.video.fps, 'fps')}, {written(self.video.duration, 's', 1)}"
        yield f"  coordinates: {display_text(', '.join(sorted(self.coordinates)[:20]))}"
        yield f"  landmarks: {display_text(', '.join(self.names[:20]), 64)}"


# --- walking a JSON text one member at a time -----------------------------------------------------


def _gap(_: str) -> float:
    """NaN and Infinity are no JSON, but the likeliest thing for a gap to be sent as."""
    return math.nan


_DECODER: Final = json.JSONDecoder(parse_constant=_gap)
_SPACE: Final = re.compile(r"[ \t\r\n]*")


@define
class _JsonCursor:
    """A place in a JSON text. Every method raises `ValueError` where the text is not JSON."""

    text: str
    position: int = 0

    def peek(self) -> str:
        self.position = cast("re.Match[str]", _SPACE.match(self.text, self.position)).end()
        return self.text[self.position : self.position + 1]

    def take(self, wanted: str) -> None:
        if self.peek() != wanted:
            raise ValueError(f"expected {wanted!r} at character {self.position}")
        self.position += 1

    def value(self) -> Any:
        self.peek()
        try:
            found, self.position = _DECODER.raw_decode(self.text, self.position)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        return found

    def members(self) -> Iterator[str]:
        """The keys of the object here; the caller takes each value before asking for the next."""
        self.take("{")
        if self.peek() != "}":
            while True:
                name = self.value()
                if not isinstance(name, str):
                    raise ValueError("an object's key must be a text")
                self.take(":")
                yield name
                if self.peek() != ",":
                    break
                self.position += 1
        self.take("}")


# --- columns ------------------------------------------------------------------------------------

_LISTED: Final = ("x", "y", "z", "score")
"""What the places of a bare list are taken for (inferred)."""
_NUMBERS: Final = frozenset({int, float})
_LARGEST: Final = sys.float_info.max
_FRAME_NUMBER: Final = re.compile(r"-?[0-9]{1,15}")
_SAME: Final = {"visibility": "score", "confidence": "score", "likelihood": "score"}
"""Other likely names of the score."""


@frozen
class _FrameRun:
    """Some frames in a row: of each coordinate their values, frame after frame."""

    numbers: Sequence[int]
    width: int
    """How many landmarks each frame has here: those that were known by then."""
    columns: Mapping[str, array[float]]

    def filled(self, coordinate: str, width: int) -> array[float]:
        """The values of a coordinate with NaN for landmarks that were not known yet."""
        column = self.columns.get(coordinate)
        if column is None:
            return array("d", [math.nan]) * (width * len(self.numbers))
        if self.width == width:
            return column
        gap = array("d", [math.nan]) * (width - self.width)
        frames = range(0, len(column), self.width)
        return array("d", b"".join(column[start : start + self.width] + gap for start in frames))


@define
class _ColumnBuilder:
    """What was read so far."""

    names: dict[str, int] = field(factory=dict)
    coordinates: dict[str, None] = field(factory=dict)
    numbers: list[int] = field(factory=list)
    _parts: list[_FrameRun] = field(factory=list)
    _form: tuple[str, ...] = ()
    """The keys of the first point: as long as all points have them, a frame is taken at a stroke."""

    def add(self, number: int, frame: Any) -> None:
        rows = self._regular(frame) or self._irregular(frame)
        self._take(_FrameRun((number,), len(self.names), rows))

    def add_block(self, block: FrameBlock) -> None:
        """Takes frames that have just the landmarks and coordinates of the first."""
        width = len(block.values) // len(self._form) // len(block.numbers)
        self._take(_FrameRun(block.numbers, width, self._apart(block.values)))

    def _take(self, part: _FrameRun) -> None:
        self._parts.append(part)
        self.numbers.extend(part.numbers)
        self.coordinates.update(dict.fromkeys(part.columns))
        if len(self.numbers) > MOST_FRAMES or len(self.names) > MOST_NAMES or len(self.coordinates) > MOST_COORDINATES:
            raise Mismatch("a recording of a person", "larger than any could be", ("frames",))

    def template(self, body: bytes, start: int, end: int) -> FrameTemplate | None:
        """The template of a frame that has just the landmarks and coordinates of the first."""
        return FrameTemplate.of(body, start, end, self.names, self._form) if self._form else None

    def _regular(self, frame: Any) -> dict[str, array[float]] | None:
        """The rows of a frame that has just the landmarks and coordinates of the first; None for any other."""
        form = self._form
        if not form or not _SAME.keys().isdisjoint(form):
            return None
        if not isinstance(frame, dict) or list(frame) != list(self.names):
            return None
        points = frame.values()
        if not all(type(point) is dict and tuple(point) == form for point in points):
            return None
        values = [value for point in points for value in point.values()]
        if not _NUMBERS.issuperset(map(type, values)):
            return None
        try:
            flat = array("d", values)
        except OverflowError:
            return None
        return self._apart(flat)

    def _apart(self, flat: array[float]) -> dict[str, array[float]]:
        """The coordinates of points that all have the form of the first."""
        return {_SAME.get(name, name): flat[place :: len(self._form)] for place, name in enumerate(self._form)}

    def _irregular(self, frame: Any) -> dict[str, array[float]]:
        rows: dict[str, array[float]] = {}
        for name, point in _points(frame):
            place = self.names.setdefault(name, len(self.names))
            for coordinate, value in _coordinates(point):
                row = rows.setdefault(coordinate, array("d"))
                row.extend([math.nan] * (place + 1 - len(row)))
                row[place] = value
            if not self.numbers and isinstance(point, dict):
                self._form = tuple(point)
        for row in rows.values():
            row.extend([math.nan] * (len(self.names) - len(row)))
        return rows

    def grid(self, coordinate: str) -> Generator[None, None, LandmarkGrid]:
        """One coordinate of all frames in rising order of their numbers."""
        width, values = len(self.names), array("d")
        for done, part in enumerate(self._parts):
            values.extend(part.filled(coordinate, width))
            if done % _PARTS_PER_SLICE == 0:
                yield
        if self.numbers != sorted(self.numbers):
            order = sorted(range(len(self.numbers)), key=self.numbers.__getitem__)
            values = yield from _reordered(values, width, order)
        return LandmarkGrid(values, (len(self.numbers), width))


def _reordered(values: array[float], width: int, order: Sequence[int]) -> Generator[None, None, array[float]]:
    rising = array("d")
    for done, place in enumerate(order):
        rising.extend(values[place * width : (place + 1) * width])
        if done % _PARTS_PER_SLICE == 0:
            yield
    return rising


def _points(frame: Any) -> Iterator[tuple[str, Any]]:
    """The named points of a frame. A list of points is read by their `name`, or by their place."""
    if isinstance(frame, dict):
        yield from frame.items()
    elif isinstance(frame, list):
        note("frame sent as a list", frame, "frames")
        for place, point in enumerate(frame):
            name = point.get("name") if isinstance(point, dict) else None
            yield (name if isinstance(name, str) else str(place)), point
    elif frame is not None:
        note("expected an object", frame, "frames")


def _coordinates(point: Any) -> Iterator[tuple[str, float]]:
    if isinstance(point, list):
        point = dict(zip(_LISTED, point, strict=False))
    elif not isinstance(point, dict):
        if point is not None:
            note("expected a point", point, "frames")
        return
    places: dict[str, Any] = point
    for name, value in places.items():
        if type(value) in _NUMBERS and not abs(value) > _LARGEST:  # written so that NaN passes
            yield _SAME.get(name, name), float(value)
        elif value is not None and name != "name":
            note("expected a number", value, "frames", name)


def _read(body: bytes) -> Generator[None, None, Landmarks]:
    """Reads raw data in slices, one a `yield`. Raises `ValueError` for no JSON, `Mismatch` without frames."""
    cursor, columns, rest, found = _JsonCursor(body.decode()), _ColumnBuilder(), RawJson(), False
    yield
    for name in cursor.members():
        if name == "frames":
            if cursor.peek() != "{":
                break
            found = True
            yield from _frames(cursor, columns, body)
        else:
            rest[name] = cursor.value()
    if not found:
        raise Mismatch("an object keyed by frame number", "missing or something else", ("frames",))
    if cursor.peek():
        raise ValueError("more text after the end")
    grids: dict[str, LandmarkGrid] = {}
    for coordinate in columns.coordinates:
        grids[coordinate] = yield from columns.grid(coordinate)
    return Landmarks(tuple(sorted(columns.numbers)), tuple(columns.names), grids, _video(rest), rest, body)


def _frames(cursor: _JsonCursor, columns: _ColumnBuilder, body: bytes) -> Generator[None, None, None]:
    template, wait = None, 0
    for done, number in enumerate(cursor.members()):
        cursor.peek()
        start = cursor.position
        frame = cursor.value()
        if _FRAME_NUMBER.fullmatch(number):
            columns.add(int(number), frame)
        else:
            note("frame left out, its key is no number", frame, "frames")
        if done % FRAMES_PER_SLICE == 0:
            yield
        wait -= 1
        if wait < 0 and len(body) == len(cursor.text):  # ASCII: a place in the text is a place in the bytes
            template = template or columns.template(body, start, cursor.position)
            yield from _blocks(cursor, columns, body, template)
            wait = FRAMES_PER_SLICE


def _blocks(
    cursor: _JsonCursor, columns: _ColumnBuilder, body: bytes, template: FrameTemplate | None
) -> Generator[None, None, None]:
    """Takes all blocks that look like the template, one a slice."""
    block = template and template.block(body, cursor.position)
    while template and block:
        columns.add_block(block)
        cursor.position = block.end
        yield
        block = template.block(body, cursor.position)


def _video(rest: RawJson) -> VideoInformation:
    given = rest.get("video_input_information")
    if isinstance(given, dict):
        found: VideoInformation = read_at("video_input_information", structure, given, VideoInformation)
        return found
    if given is not None:
        note("expected an object", given, "video_input_information")
    return VideoInformation()


def landmarks_of(body: bytes) -> Landmarks:
    """The columns of raw data that are all here, read at once. Call it inside `drift.recording`.

    Raises `ValueError` for what is no JSON, `Mismatch` where there are no frames.
    """
    slices = _read(body)
    while True:
        try:
            next(slices)
        except StopIteration as end:
            found: Landmarks = end.value
            return found


@define(eq=False)
class LandmarksReading:
    """Raw data on its way into columns: call `advance` until it is True, then take the `result`."""

    _response: Response = field(repr=False)
    _analysis_id: str
    _seen: DriftLog = field(factory=lambda: DriftLog("Landmarks"))
    _slices: Generator[None, None, Landmarks] = field(init=False, repr=False)
    _landmarks: Landmarks | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self._slices = _read(self._response.body)

    def advance(self) -> bool:
        """Reads one slice, a fraction of a millisecond of work; True once all is read.

        Raises `UnreadableAnswer`.
        """
        why = None
        try:
            with recording(self._seen):
                next(self._slices)
        except StopIteration as end:
            self._landmarks = end.value
        except ValueError:
            why = "it is not JSON"
        except Mismatch as misfit:
            why = str(misfit)
        if why is not None:  # outside of the handlers: errors of the decoder hold the whole text
            raise unreadable_answer(RAW_DATA, self._response, why, self._analysis_id)
        return self._landmarks is not None

    @property
    def notes(self) -> frozenset[DriftNote]:
        """The drift seen so far."""
        return self._seen.notes()

    def result(self) -> Landmarks:
        """The columns. Raises `RuntimeError` before all is read."""
        if self._landmarks is None:
            raise RuntimeError("advance until it is True, then ask for the result")
        return self._landmarks


def landmarks_call(analysis_id: str) -> Call[LandmarksReading]:
    """The raw data; the path is inferred. The answer is read by whoever drives the `LandmarksReading`."""
    return Call(
        Request(RAW_DATA, RAW_DATA.path(analysis_id=analysis_id)),
        lambda response: LandmarksReading(response, analysis_id),
        "Landmarks",
        repeatable=True,
        analysis_id=analysis_id,
        json=lambda response: response if 200 <= response.status < 300 else parse_json(response),
    )
