"""Raw data as columns: every landmark of every frame, one array for each coordinate.

Frames that differ only in numbers, as most frames of most recordings do, are read in blocks (`frame_blocks`). Any other
frame is read by the decoder of the standard library, which can decode one frame out of a larger text; orjson would hold
the interpreter for the complete text. Names, coordinates and gaps are not documented and are taken as they were sent.

Invariant: a recording is read in slices, so that the caller can let other tasks run between them.
"""

from __future__ import annotations

import json
import math
import re
import sys
from array import array
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import Factory, define, field, frozen

from ..field_docs import documented
from .answer import Answer, RawJson, answer_class, json_keys
from .call import Call
from .converter import structure
from .drift import Mismatch, note, read_at
from .frame_blocks import FrameBlock, FrameTemplate
from .json_cursor import JsonCursor
from .json_outline import safe_key
from .routes import RAW_DATA
from .sliced_reader import SlicedReader, sliced_call
from .table_columns import UNKNOWN_UNIT, Column, category_names, distinct_names
from .tabular import Tabular
from .text_summary import Summarized, display_text, printable
from .text_summary import format_number as written
from .wire import Request

__all__ = ["LandmarkGrid", "Landmarks", "VideoInformation", "landmarks_call", "landmarks_of"]

MOST_FRAMES: Final = 100_000
MOST_NAMES: Final = 1_000
MOST_COORDINATES: Final = 32
"""Far beyond 10 s of any skeleton at 240 frames per second. A larger recording is refused."""
FRAMES_PER_SLICE: Final = 8
"""About a third of a millisecond of work for 33 landmarks."""
_RUNS_PER_SLICE: Final = 512


@documented
@frozen
class LandmarkGrid:
    """One coordinate of all landmarks in all frames: `grid[frame, landmark]`, NaN for a gap.

    `numpy.asarray(grid)` returns a two-dimensional array of float64. NumPy is not a dependency; install it yourself.
    """

    values: array[float] = field(repr=False)
    """Row by row: all landmarks of the first frame, then of the second."""
    shape: tuple[int, int]
    """(frames, landmarks)."""

    def __getitem__(self, index: tuple[int, int]) -> float:
        row, column = index
        rows, columns = self.shape
        if not (-rows <= row < rows and -columns <= column < columns):
            raise IndexError(f"{index} is outside {self.shape}")
        return self.values[row % rows * columns + column % columns]

    def row(self, frame: int) -> array[float]:
        """All landmarks of the frame at this position."""
        columns = self.shape[1]
        start = range(self.shape[0])[frame] * columns
        return self.values[start : start + columns]

    def column(self, landmark: int) -> array[float]:
        """The landmark at this position in all frames."""
        return self.values[range(self.shape[1])[landmark] :: self.shape[1]] if self.values else array("d")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        import numpy  # noqa: ICN001 # only NumPy calls this method, so it is installed

        return numpy.array(self.values, dtype=dtype or float, copy=copy).reshape(self.shape)


@answer_class
class VideoInformation(Answer):
    """Facts of the video. Resolution, frame rate and duration are documented, but not their keys."""

    layout_known = False

    resolution: Any = None
    """JSON as it was sent."""
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
class Landmarks(Tabular, Summarized):
    """The raw data of an analysis. Units and origin of the coordinates are not documented.

    As a table it has one row for each landmark of each frame: `frame`, `time` in seconds from the first frame (null
    without a frame rate), `landmark`, then the coordinates as they were sent. A gap is null.
    """

    frame_numbers: tuple[int, ...]
    """The vendor's frame numbers in ascending order; whether they begin at 0 or 1 is not documented."""
    names: tuple[str, ...]
    """The landmark names, in the order in which they first occur."""
    coordinates: Mapping[str, LandmarkGrid]
    """`x`, `y` and any other coordinate that was sent, such as `z` or `score`."""
    video: VideoInformation = Factory(VideoInformation)
    raw: RawJson = field(factory=RawJson, eq=False)
    """The untouched JSON except the frames."""
    body: bytes = field(default=b"", eq=False)
    """The untouched body, including the frames."""

    @property
    def x(self) -> LandmarkGrid | None:
        """The x coordinates; None if none were sent."""
        return self.coordinates.get("x")

    @property
    def y(self) -> LandmarkGrid | None:
        """The y coordinates; None if none were sent."""
        return self.coordinates.get("y")

    def track(self, name: str, coordinate: str) -> array[float]:
        """One coordinate of one landmark in all frames. Raises `KeyError` for an unknown name."""
        if name not in self.names:
            raise KeyError(name)
        return self.coordinates[coordinate].column(self.names.index(name))

    @property
    def times(self) -> array[float]:
        """Seconds from the first frame, for each frame; NaN without a frame rate."""
        fps = self.video.fps
        known = fps is not None and math.isfinite(fps) and fps > 0
        rate, first = (fps if known and fps else math.nan), self.frame_numbers[:1] or (0,)
        return array("d", [(number - first[0]) / rate for number in self.frame_numbers])

    def table_columns(self) -> Iterator[Column]:
        frames, names = len(self.frame_numbers), tuple(self.names)
        yield Column("frame", "integer", _repeated(array("q", self.frame_numbers), len(names)))
        yield Column("time", "number", _repeated(self.times, len(names)), "s")
        yield Column("landmark", "category", array("i", range(len(names))) * frames, categories=category_names(names))
        titles = distinct_names(map(printable, self.coordinates), _TABLE_COLUMNS, "coordinate_")
        for title, grid in zip(titles, self.coordinates.values(), strict=True):
            yield Column(title, "number", grid.values, UNKNOWN_UNIT)

    def __rich_repr__(self) -> Iterator[str]:
        # Without this method rich prints the fields of attrs classes instead of their `repr`.
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


_TABLE_COLUMNS: Final = ("frame", "time", "landmark")
"""The columns of the table before the coordinates."""


def _repeated(values: array[Any], times: int) -> array[Any]:
    """Each value this many times in a row."""
    found = array(values.typecode, bytes(values.itemsize * len(values) * times))
    for place in range(times):
        found[place::times] = values
    return found


def _gap(_: str) -> float:
    """Reads NaN and Infinity, which are not JSON but a likely spelling of a gap."""
    return math.nan


_DECODER: Final = json.JSONDecoder(parse_constant=_gap)


# --- columns ------------------------------------------------------------------------------------

_LIST_COORDINATES: Final = ("x", "y", "z", "score")
"""The coordinates of a point that is a bare list (inferred)."""
_NUMBERS: Final = frozenset({int, float})
_MAX_FLOAT: Final = sys.float_info.max
_FRAME_NUMBER: Final = re.compile(r"-?[0-9]{1,15}")
_SYNONYMS: Final = {"visibility": "score", "confidence": "score", "likelihood": "score"}
"""Other likely names of the score, which are read as `score`."""


@frozen
class _FrameRun:
    """Consecutive frames: the values of each coordinate, frame after frame."""

    numbers: Sequence[int]
    width: int
    """The number of landmarks in each of these frames: those that were known by then."""
    columns: Mapping[str, array[float]]

    def padded(self, coordinate: str, width: int) -> array[float]:
        """The values of a coordinate, with NaN for landmarks that were not known yet."""
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
    """Collects frames, and builds the columns at the end."""

    names: dict[str, int] = field(factory=dict)
    coordinates: dict[str, None] = field(factory=dict)
    numbers: list[int] = field(factory=list)
    _runs: list[_FrameRun] = field(factory=list)
    _point_keys: tuple[str, ...] = ()
    """The keys of the first point. A frame whose points all have exactly these keys is read at once."""

    def add(self, number: int, frame: Any) -> None:
        """Adds one frame."""
        rows = self._regular(frame) or self._irregular(frame)
        self._append(_FrameRun((number,), len(self.names), rows))

    def add_block(self, block: FrameBlock) -> None:
        """Adds frames that have exactly the landmarks and coordinates of the first frame."""
        width = len(block.values) // len(self._point_keys) // len(block.numbers)
        self._append(_FrameRun(block.numbers, width, self._split(block.values)))

    def _append(self, run: _FrameRun) -> None:
        self._runs.append(run)
        self.numbers.extend(run.numbers)
        self.coordinates.update(dict.fromkeys(run.columns))
        if len(self.numbers) > MOST_FRAMES or len(self.names) > MOST_NAMES or len(self.coordinates) > MOST_COORDINATES:
            raise Mismatch("a recording of a person", "implausibly large", ("frames",))

    def template(self, body: bytes, start: int, end: int) -> FrameTemplate | None:
        """The template of a frame that has exactly the landmarks and coordinates of the first frame."""
        return FrameTemplate.of(body, start, end, self.names, self._point_keys) if self._point_keys else None

    def _regular(self, frame: Any) -> dict[str, array[float]] | None:
        """The rows of a frame that has exactly the landmarks and coordinates of the first frame; None for any other."""
        keys = self._point_keys
        if not keys or not _SYNONYMS.keys().isdisjoint(keys):
            return None
        if not isinstance(frame, dict) or list(frame) != list(self.names):
            return None
        points = frame.values()
        if not all(type(point) is dict and tuple(point) == keys for point in points):
            return None
        values = [value for point in points for value in point.values()]
        if not _NUMBERS.issuperset(map(type, values)):
            return None
        try:
            flat = array("d", values)
        except OverflowError:
            return None
        return self._split(flat)

    def _split(self, flat: array[float]) -> dict[str, array[float]]:
        """The columns of points that all have the keys of the first point."""
        return {
            _SYNONYMS.get(name, name): flat[place :: len(self._point_keys)]
            for place, name in enumerate(self._point_keys)
        }

    def _irregular(self, frame: Any) -> dict[str, array[float]]:
        rows: dict[str, array[float]] = {}
        for name, point in _points(frame):
            place = self.names.setdefault(name, len(self.names))
            for coordinate, value in _coordinates(point):
                row = rows.setdefault(coordinate, array("d"))
                row.extend([math.nan] * (place + 1 - len(row)))
                row[place] = value
            if not self.numbers and isinstance(point, dict):
                self._point_keys = tuple(point)
        for row in rows.values():
            row.extend([math.nan] * (len(self.names) - len(row)))
        return rows

    def grid(self, coordinate: str) -> Generator[None, None, LandmarkGrid]:
        """One coordinate of all frames, in ascending order of their numbers."""
        width, values = len(self.names), array("d")
        for done, run in enumerate(self._runs):
            values.extend(run.padded(coordinate, width))
            if done % _RUNS_PER_SLICE == 0:
                yield
        if self.numbers != sorted(self.numbers):
            order = sorted(range(len(self.numbers)), key=self.numbers.__getitem__)
            values = yield from _reordered(values, width, order)
        return LandmarkGrid(values, (len(self.numbers), width))


def _reordered(values: array[float], width: int, order: Sequence[int]) -> Generator[None, None, array[float]]:
    ascending = array("d")
    for done, place in enumerate(order):
        ascending.extend(values[place * width : (place + 1) * width])
        if done % _RUNS_PER_SLICE == 0:
            yield
    return ascending


def _points(frame: Any) -> Iterator[tuple[str, Any]]:
    """The named points of a frame. Points in a list are named by their `name`, or by their position."""
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
        point = dict(zip(_LIST_COORDINATES, point, strict=False))
    elif not isinstance(point, dict):
        if point is not None:
            note("expected a point", point, "frames")
        return
    coordinates: dict[str, Any] = point
    for name, value in coordinates.items():
        if type(value) in _NUMBERS and not abs(value) > _MAX_FLOAT:  # true for NaN
            yield _SYNONYMS.get(name, name), float(value)
        elif value is not None and name != "name":
            note("expected a number", value, "frames", name)


def _read(body: bytes) -> Generator[None, None, Landmarks]:
    """Reads raw data, one slice for each `yield`. Raises `ValueError` if it is not JSON, `Mismatch` without frames."""
    cursor, columns, rest, found = JsonCursor(body.decode(), _DECODER), _ColumnBuilder(), RawJson(), False
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
    cursor.end()
    grids: dict[str, LandmarkGrid] = {}
    for coordinate in columns.coordinates:
        grids[coordinate] = yield from columns.grid(coordinate)
    return Landmarks(tuple(sorted(columns.numbers)), tuple(columns.names), grids, _video(rest), rest, body)


def _frames(cursor: JsonCursor, columns: _ColumnBuilder, body: bytes) -> Generator[None, None, None]:
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
        if wait < 0 and len(body) == len(cursor.text):  # ASCII only: positions in the text are positions in the body
            template = template or columns.template(body, start, cursor.position)
            yield from _blocks(cursor, columns, body, template)
            wait = FRAMES_PER_SLICE


def _blocks(
    cursor: JsonCursor, columns: _ColumnBuilder, body: bytes, template: FrameTemplate | None
) -> Generator[None, None, None]:
    """Reads all blocks that match the template, one in each slice."""
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
    """The columns of complete raw data, without pauses. Call it inside a `DriftLog`.

    Raises `ValueError` if it is not JSON, and `Mismatch` without frames.
    """
    slices = _read(body)
    while True:
        try:
            next(slices)
        except StopIteration as end:
            found: Landmarks = end.value
            return found


def landmarks_call(analysis_id: str) -> Call[SlicedReader[Landmarks]]:
    """The raw data, whose columns are read in slices of a fraction of a millisecond; the path is inferred."""
    request = Request(RAW_DATA, RAW_DATA.path(analysis_id=analysis_id))
    return sliced_call(request, _read, "Landmarks", analysis_id)
