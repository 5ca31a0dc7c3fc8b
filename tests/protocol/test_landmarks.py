"""Raw data as columns: every likely shape of a frame, read in slices, with NaN for every gap."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Collection
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ochy_async import Landmarks
from ochy_async.errors import UnreadableAnswer
from ochy_async.protocol.drift import DriftNote
from ochy_async.protocol.landmarks import MOST_COORDINATES, MOST_NAMES, LandmarkGrid, landmarks_call
from ochy_async.protocol.sliced_reader import SlicedReader
from ochy_async.protocol.wire import Response

NAN = math.nan
MOST_FRAMES_AT_ONCE = 16
"""The most frames of one step; a frame of 33 landmarks takes some 40 microseconds."""


def reader_of(body: Any) -> SlicedReader[Landmarks]:
    """A reader of a JSON body, or of text."""
    text = body if isinstance(body, str) else json.dumps(body)
    return landmarks_call("a1").read(Response(200, {}, text.encode(errors="surrogatepass")))


def read(body: Any) -> tuple[Landmarks, Collection[DriftNote]]:
    """The columns and the drift."""
    reading = reader_of(body)
    while not reading.advance():
        pass
    return reading.result(), reading.notes


def landmarks(**frames: Any) -> Landmarks:
    """The columns of some frames: `landmarks(f0={…}, f1={…})`."""
    return read({"frames": {name[1:]: frame for name, frame in frames.items()}})[0]


def notes_of(frames: Any) -> list[str]:
    """The drift notes of some frames."""
    return [note.what for note in read({"frames": frames})[1] if note.path.startswith("frames")]


def rows(grid: LandmarkGrid | None) -> list[list[float | None]]:
    """The rows of a grid, with None for NaN."""
    assert grid is not None
    table = [grid.row(frame) for frame in range(grid.shape[0])]
    return [[None if math.isnan(value) else value for value in row] for row in table]


# --- frames and names -----------------------------------------------------------------------------


def test_frames_are_sorted_as_numbers() -> None:
    """JSON keys are texts; frame 10 comes after frame 9, whatever their order in the answer."""
    found = landmarks(**{f"f{n}": {"nose": {"x": float(n)}} for n in (10, 9, 1, 2, 100)})
    assert found.frame_numbers == (1, 2, 9, 10, 100)
    assert list(found.track("nose", "x")) == [1, 2, 9, 10, 100]


@pytest.mark.parametrize("first", [0, 1, 17])
def test_the_first_frame_has_the_vendors_number(first: int) -> None:
    """Whether the vendor counts from 0 or 1 is not documented, so its numbers are kept."""
    assert landmarks(**{f"f{first}": {}, f"f{first + 1}": {}}).frame_numbers == (first, first + 1)


def test_names_are_in_the_order_in_which_they_first_occur() -> None:
    """Each landmark is one column."""
    found = landmarks(f0={"nose": {"x": 1}, "hip": {"x": 2}}, f1={"hip": {"x": 3}, "nose": {"x": 4}, "toe": {"x": 5}})
    assert found.names == ("nose", "hip", "toe")
    assert rows(found.x) == [[1, 2, None], [4, 3, 5]]


def test_a_landmark_that_appears_late_has_gaps_before() -> None:
    """A landmark or a coordinate that the first frames do not have is NaN in them."""
    found = landmarks(f0={"nose": {"x": 1}}, f1={"nose": {"x": 2, "z": 7}}, f2={"nose": {"x": 3}, "toe": {"x": 9}})
    assert rows(found.x) == [[1, None], [2, None], [3, 9]]
    assert rows(found.coordinates["z"]) == [[None, None], [7, None], [None, None]]


@pytest.mark.parametrize(
    "gap", [{}, None, {"nose": None}, {"nose": {}}, {"nose": {"x": None, "y": None}}, []], ids=repr
)
def test_a_gap_is_nan(gap: Any) -> None:
    """A null or empty frame and a missing or null landmark have a row of NaN."""
    found = landmarks(f0={"nose": {"x": 1, "y": 2}}, f1=gap, f2={"nose": {"x": 3, "y": 4}})
    assert found.frame_numbers == (0, 1, 2)
    assert rows(found.x) == [[1], [None], [3]]
    assert rows(found.y) == [[2], [None], [4]]


@pytest.mark.parametrize(
    ("point", "coordinates"),
    [
        ({"x": 1, "y": 2}, {"x": 1, "y": 2}),
        ([1, 2], {"x": 1, "y": 2}),
        ([1, 2, 3], {"x": 1, "y": 2, "z": 3}),
        ([1, 2, 3, 0.5], {"x": 1, "y": 2, "z": 3, "score": 0.5}),
        ([1, 2, 3, 0.5, 99], {"x": 1, "y": 2, "z": 3, "score": 0.5}),
        ({"x": 1, "y": 2, "z": 3, "score": 0.5}, {"x": 1, "y": 2, "z": 3, "score": 0.5}),
        ({"x": 1, "visibility": 0.5}, {"x": 1, "score": 0.5}),
        ({"x": 1, "confidence": 0.5}, {"x": 1, "score": 0.5}),
        ({"x": 1, "likelihood": 0.5}, {"x": 1, "score": 0.5}),
        ({"x": 1, "depth": 4}, {"x": 1, "depth": 4}),
        ({"name": "nose", "x": 1}, {"x": 1}),
    ],
    ids=repr,
)
def test_points_of_all_likely_shapes_are_read(point: Any, coordinates: dict[str, float]) -> None:
    """Pairs, triples, objects, and every likely name of the score."""
    found = landmarks(f0={"nose": point})
    assert {name: grid[0, 0] for name, grid in found.coordinates.items()} == coordinates


def test_a_frame_may_be_a_list_of_points() -> None:
    """Points in a list are named by their `name` or their position, and this is noted."""
    points = [{"name": "nose", "x": 1}, [2, 3]]
    found = landmarks(f0=points)
    assert found.names == ("nose", "1")
    assert rows(found.x) == [[1, 2]]
    assert notes_of({"0": points}) == ["frame sent as a list (array)"]


@pytest.mark.parametrize(
    ("frame", "note"),
    [
        (7, "expected an object (number)"),
        ("gone", "expected an object (text)"),
        ({"nose": 7}, "expected a point (number)"),
        ({"nose": "gone"}, "expected a point (text)"),
        ({"nose": {"x": "1"}}, "expected a number (text)"),
        ({"nose": {"x": True}}, "expected a number (boolean)"),
        ({"nose": {"x": [1]}}, "expected a number (array)"),
    ],
    ids=repr,
)
def test_an_invalid_point_is_a_gap_and_noted(frame: Any, note: str) -> None:
    """It is NaN, has one note with its type, and does not affect other points."""
    frames = {"0": {"nose": {"x": 1}}, "1": frame, "2": {"nose": {"x": 3}}}
    assert rows(read({"frames": frames})[0].x) == [[1], [None], [3]]
    assert notes_of(frames) == [note]


@pytest.mark.parametrize("number", ["first", "", "1.5", "--5", "-", "+1", "1e3", "0x1", "²", "9" * 5_000])
def test_a_frame_without_a_number_is_left_out_and_noted(number: str) -> None:
    """Its key does not hide the frames that have a number."""
    frames = {number: {"nose": {"x": 9}}, "3": {"nose": {"x": 1}}}
    found, _ = read({"frames": frames})
    assert found.frame_numbers == (3,)
    assert rows(found.x) == [[1]]
    assert ["key is no number" in note for note in notes_of(frames)] == [True]


@pytest.mark.parametrize("value", ["1" + "0" * 400, "-1" + "0" * 400, "NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("before", ['"0": {"nose": {"x": 1}},', ""], ids=["regular", "first"])
def test_an_infinite_or_invalid_number_is_a_gap(value: str, before: str) -> None:
    """A number that no float can hold, and NaN, which is not JSON, are no errors."""
    found, _ = read('{"frames": {' + before + '"7": {"nose": {"x": ' + value + '}}, "8": {"nose": {"x": 2}}}}')
    assert found.frame_numbers[-2:] == (7, 8)
    assert found.track("nose", "x")[-1] == 2
    assert not math.isfinite(found.track("nose", "x")[-2])


@pytest.mark.parametrize("name", ["visibility", "confidence", "likelihood"])
def test_an_infinite_score_under_a_synonym_is_a_gap(name: str) -> None:
    """A number that no float can hold is noted in a later frame too."""
    frames = ",".join(f'"{n}": {{"nose": {{"{name}": {value}}}}}' for n, value in enumerate(("0.5", "1e999", "1")))
    found, notes = read('{"frames": {' + frames + "}}")
    assert rows(found.coordinates["score"]) == [[0.5], [None], [1]]
    assert [note.what for note in notes] == ["expected a number (number)"]


def test_a_recording_without_frames_is_read() -> None:
    """A recording in which nobody was detected is valid."""
    found = landmarks()
    assert (found.frame_numbers, found.names, found.x, found.y) == ((), (), None, None)


def test_frames_without_landmarks_are_kept() -> None:
    """Frames in which nobody was detected still have numbers."""
    found = landmarks(f0={}, f1=None)
    assert (found.frame_numbers, found.names, dict(found.coordinates)) == ((0, 1), (), {})


# --- the columns ------------------------------------------------------------------------------------

GRID = LandmarkGrid(array("d", [0, 1, 2, 10, 11, 12]), (2, 3))


def test_a_grid_is_read_by_frame_and_landmark() -> None:
    """Indices count from the front, and negative ones from the back."""
    assert [[GRID[row, column] for column in range(3)] for row in range(2)] == [[0, 1, 2], [10, 11, 12]]
    assert (GRID[-1, -1], GRID[-2, 0], GRID[1, -3]) == (12, 0, 10)


@pytest.mark.parametrize("place", [(2, 0), (0, 3), (-3, 0), (0, -4), (99, 99)])
def test_an_index_outside_the_grid_is_an_error(place: tuple[int, int]) -> None:
    """An index beyond its row never reads from the next row."""
    with pytest.raises(IndexError, match=r"outside \(2, 3\)"):
        GRID[place]


def test_a_grid_has_rows_and_columns() -> None:
    """A row is a frame, and a column is a landmark in all frames."""
    assert (list(GRID.row(1)), list(GRID.row(-2))) == ([10, 11, 12], [0, 1, 2])
    assert (list(GRID.column(1)), list(GRID.column(-1))) == ([1, 11], [2, 12])
    assert list(LandmarkGrid(array("d"), (0, 3)).column(1)) == []


@pytest.mark.parametrize("index", [2, -3, 3, -4])
def test_a_row_or_column_outside_the_grid_is_an_error(index: int) -> None:
    """The shape bounds both."""
    if index in (2, -3):
        with pytest.raises(IndexError):
            GRID.row(index)
    else:
        with pytest.raises(IndexError):
            GRID.column(index)


def test_a_grid_is_an_array_for_numpy() -> None:
    """`numpy.asarray` returns frames by landmarks with NaN, as float64 or the requested type."""
    numpy = pytest.importorskip("numpy", reason="needs NumPy, of the extra dev")
    found = landmarks(f0={"nose": {"x": 1}}, f1={"toe": {"x": 2}})
    table = numpy.asarray(found.x)
    assert (table.shape, table.dtype) == ((2, 2), numpy.float64)
    assert numpy.array_equal(table, [[1, NAN], [NAN, 2]], equal_nan=True)
    assert numpy.asarray(found.x, dtype="float32").dtype == numpy.float32
    copied = numpy.array(GRID, copy=True)
    copied[0, 0] = 99
    assert GRID[0, 0] == 0


def test_a_track_follows_one_landmark() -> None:
    """It is one coordinate of one landmark in all frames; an unknown name is an error."""
    found = landmarks(f0={"nose": [1, 2]}, f1={"nose": [3, 4]})
    assert list(found.track("nose", "y")) == [2, 4]
    with pytest.raises(KeyError):
        found.track("tail", "x")
    with pytest.raises(KeyError):
        found.track("nose", "z")


def test_the_video_is_described() -> None:
    """Resolution, frame rate and duration are documented but not their keys, so no key is drift."""
    video = {"resolution": [1920, 1080], "frame_rate": 60, "duration_seconds": 4.5, "width": "1920", "codec": "h264"}
    found, notes = read({"video_input_information": video, "frames": {}, "model": "m1"})
    assert (found.video.resolution, found.video.fps, found.video.duration) == ([1920, 1080], 60, 4.5)
    assert (found.video.width, found.video.height) == (1920, None)
    assert found.video.raw == video
    assert found.raw == {"video_input_information": video, "model": "m1"}
    assert [note.path for note in notes] == ["video_input_information.width"]


@pytest.mark.parametrize("video", [None, "1080p", [], 7, {}], ids=repr)
def test_an_invalid_description_of_the_video_does_not_hide_the_landmarks(video: Any) -> None:
    """The landmarks are what was paid for."""
    found, _ = read({"frames": {"0": {"nose": [1, 2]}}, "video_input_information": video})
    assert (found.video.fps, rows(found.x)) == (None, [[1]])


def test_an_infinite_frame_rate_is_none() -> None:
    """A number that no float can hold is no frame rate."""
    found, _ = read('{"video_input_information": {"fps": 1' + "0" * 400 + '}, "frames": {}}')
    assert found.video.fps is None


def test_the_untouched_answer_stays_beside_the_columns() -> None:
    """`body` is the answer byte by byte."""
    body = '{ "frames" : {"0":{"nose":[1,2]}} , "more": 1 }'
    found, _ = read(body)
    assert (found.body, found.raw) == (body.encode(), {"more": 1})


def test_the_repr_shows_sizes_and_names_only() -> None:
    """Landmarks are health data, and a key that does not look like a name may be data too."""
    found = landmarks(f0={"nose": {"x": 123.25, "Ada Lovelace 1815": 4}})
    assert repr(found).startswith("<Landmarks: 1 frames of 1 landmarks (")
    assert "123" not in repr(found) + repr(found.x)
    assert "Ada" not in repr(found)


def test_there_is_no_result_before_the_end() -> None:
    """Requesting it too early is a programming error and raises one."""
    reading = reader_of({"frames": {}})
    with pytest.raises(RuntimeError, match="advance"):
        reading.result()


# --- slices -------------------------------------------------------------------------------------------


def steps_until_broken(frames: int) -> int:
    """How many steps a reader needs to reach the end of a text that ends after some frames."""
    text = ",".join(f'"{n}":{{"nose":[{n},0]}}' for n in range(frames))
    reading = reader_of('{"frames":{' + text)
    for steps in count():
        try:
            reading.advance()
        except UnreadableAnswer:
            return steps
    raise AssertionError("the text has no end")


def test_no_step_reads_more_than_a_few_frames() -> None:
    """Every further 16 frames of a long recording need at least one more step, so other tasks can run."""
    counts = [steps_until_broken(frames) for frames in range(0, 601, MOST_FRAMES_AT_ONCE)]
    assert all(before < after for before, after in pairwise(counts))


def test_ten_seconds_at_240_frames_are_many_steps() -> None:
    """This is the longest possible recording, with 2,400 frames."""
    reading = reader_of({"frames": {str(n): {"nose": [n, n]} for n in range(2_400)}})
    steps = 1
    while not reading.advance():
        steps += 1
    assert steps >= 2_400 / MOST_FRAMES_AT_ONCE
    assert list(reading.result().track("nose", "y")) == list(range(2_400))


# --- unreadable answers -----------------------------------------------------------------------------------

WHOLE = '{"video_input_information": {"fps": 60}, "frames": {"0": {"nose": {"x": 1, "y": 2}}}}'


@pytest.mark.parametrize("cut", range(0, len(WHOLE), 7))
def test_a_truncated_answer_cannot_be_read(cut: int) -> None:
    """It is never taken for a shorter recording."""
    with pytest.raises(UnreadableAnswer, match="not JSON"):
        read(WHOLE[:cut])


@pytest.mark.parametrize("more", ["x", "{}", ",", "}", "\x00"])
def test_text_after_the_end_cannot_be_read(more: str) -> None:
    """It is not JSON."""
    with pytest.raises(UnreadableAnswer, match="not JSON"):
        read(WHOLE + more)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"frames": ' + "[" * 100_000,
        '{"frames": {"0": ' + '{"a":' * 100_000,
        '{"frames": {"0": ' + "[" * 100_000 + "]" * 100_000 + "}}",
        '{"deep": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"frames": {7: {}}}',
        '{"frames": {"0" {}}}',
        '{"frames": {"0": {},}}',
        '{"frames": {"0": {}} "more": 1}',
        "",
        "[]",
        "null",
        "<html>",
        '{"frames": {"0": \ud800}}',
    ],
    ids=lambda text: repr(text[:20]),
)
def test_only_a_json_object_can_be_read(text: str) -> None:
    """Deep, corrupt, empty and other values are unreadable answers, and raise nothing else."""
    with pytest.raises(UnreadableAnswer):
        read(text)


@pytest.mark.parametrize("body", [{}, {"frames": None}, {"frames": []}, {"frames": [{"nose": [1, 2]}]}, {"frames": 7}])
def test_an_answer_without_frames_is_unreadable(body: Any) -> None:
    """Frames are an object keyed by number; without them the error holds the outline of the answer."""
    with pytest.raises(UnreadableAnswer, match="keyed by frame number") as caught:
        read(body)
    error = caught.value
    assert (error.status, error.analysis_id) == (200, "a1")
    assert error.route == "GET /analysis/{analysis_id}/results/raw_data"
    assert "paid" in str(error)


# --- compared with a simple reader -------------------------------------------------------------------------

Table = dict[str, list[list[float]]]
SCORES = {"visibility": "score", "confidence": "score", "likelihood": "score"}


def has_name(point: Any) -> bool:
    """Whether a point in a list has a name."""
    return isinstance(point, dict) and isinstance(point.get("name"), str)


def read_simply(body: Any) -> tuple[list[int], list[str], Table]:
    """Numbers, names and coordinates, read in the slow and obvious way."""
    points: dict[tuple[int, str, str], float] = {}
    names: dict[str, None] = {}
    coordinates: dict[str, None] = {}
    for number, frame in body["frames"].items():
        named: list[tuple[str, Any]] = list(frame.items()) if isinstance(frame, dict) else []
        if isinstance(frame, list):
            named = [(str(point["name"] if has_name(point) else place), point) for place, point in enumerate(frame)]
        for name, point in named:
            names[name] = None
            if isinstance(point, list):
                point = dict(zip(("x", "y", "z", "score"), point, strict=False))
            for key, value in point.items() if isinstance(point, dict) else ():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    coordinate = SCORES.get(str(key), str(key))
                    coordinates[coordinate] = None
                    points[int(number), name, coordinate] = float(value)
    numbers = sorted(map(int, body["frames"]))
    table = {
        coordinate: [[points.get((number, name, coordinate), NAN) for name in names] for number in numbers]
        for coordinate in coordinates
    }
    return numbers, list(names), table


values = st.one_of(
    st.floats(-1e6, 1e6),
    st.integers(-(10**6), 10**6),
    st.sampled_from([None, NAN, True, False, "5", [1], 2**70]),
)
points = st.one_of(
    st.fixed_dictionaries({"x": st.floats(-9, 9), "y": st.floats(-9, 9)}),
    st.fixed_dictionaries({"x": values, "y": values}),
    st.dictionaries(st.sampled_from(["x", "y", "z", "score", "visibility", "name", "ü"]), values, max_size=4),
    st.lists(values, max_size=5),
    st.sampled_from([None, 7, "gone", True]),
)
names = st.sampled_from(["nose", "hip", "toe", "0", ""])
regular = st.fixed_dictionaries(
    {name: st.fixed_dictionaries({"x": st.floats(-9, 9), "y": values}) for name in ("nose", "hip")}
)
any_frame: st.SearchStrategy[Any] = st.one_of(
    regular,
    st.dictionaries(names, points, max_size=4),
    st.lists(points | st.fixed_dictionaries({"name": names, "x": values}), max_size=3),
    st.sampled_from([None, 7, {}]),
)
numbers = st.integers(-3, 12).map(str)
recordings = st.dictionaries(numbers, regular, max_size=6) | st.dictionaries(numbers, any_frame, max_size=12)


@given(recordings, st.sampled_from([None, 1]))
@settings(max_examples=120, deadline=None)
def test_the_columns_equal_a_simple_reading(recording: dict[str, Any], indent: int | None) -> None:
    """Slices, fast paths and gaps make no difference."""
    text = json.dumps({"frames": recording}, indent=indent)
    found, _ = read(text)
    numbers, named, table = read_simply(json.loads(text))
    assert (list(found.frame_numbers), list(found.names)) == (numbers, named)
    assert found.coordinates.keys() == table.keys()
    for coordinate, grid in found.coordinates.items():
        assert grid.shape == (len(numbers), len(named))
        assert [list(map(repr, grid.row(frame))) for frame in range(len(numbers))] == [
            list(map(repr, row)) for row in table[coordinate]
        ]


@pytest.mark.parametrize(
    "frames",
    [
        {str(n): {"nose": {f"c{n}": 1}} for n in range(MOST_COORDINATES + 2)},
        {"0": {f"n{n}": {"x": 1} for n in range(MOST_NAMES + 1)}},
    ],
    ids=["coordinates", "names"],
)
def test_an_implausibly_large_recording_is_refused(frames: dict[str, Any]) -> None:
    """Names and coordinates are bounded, so that a small answer cannot grow to gigabytes."""
    with pytest.raises(UnreadableAnswer, match="implausibly large"):
        read({"frames": frames})
