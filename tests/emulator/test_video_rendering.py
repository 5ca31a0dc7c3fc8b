"""Rendered videos of a simulated runner: another program finds in the file what was requested."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

import pytest

from ochy_async.emulator.video_rendering import CODECS, render_video

av = pytest.importorskip("av", reason="needs the extra video: PyAV is not installed")

CONTAINERS = tuple(CODECS)


def opened(content: bytes) -> Any:
    return av.open(io.BytesIO(content))


def pictures(content: bytes) -> list[Any]:
    with opened(content) as file:
        return list(file.decode(video=0))


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_video_has_the_requested_properties(container: Any) -> None:
    """Container, codec, size, number and rate of pictures."""
    content = render_video(1, container=container, width=160, height=90, fps=30, seconds=1)
    with opened(content) as file:
        assert container in file.format.name
        assert file.streams.video[0].codec_context.name in ("h264", "mpeg4", "vp8")
        assert float(file.streams.video[0].average_rate) == pytest.approx(30, rel=0.01)
    frames = pictures(content)
    assert len(frames) == 30
    assert {(frame.width, frame.height) for frame in frames} == {(160, 90)}


@pytest.mark.parametrize("fps", [24, 25, 48, 60, 120, 240])
def test_every_usual_frame_rate_is_possible(fps: int) -> None:
    """The times between pictures are equal."""
    frames = pictures(render_video(1, width=64, height=64, fps=fps, seconds=0.5))
    times = [frame.time for frame in frames]
    assert len(frames) == fps // 2
    gaps = [after - before for before, after in pairwise(times)]
    assert gaps == pytest.approx([1 / fps] * len(gaps), abs=1e-4)


@pytest.mark.parametrize(("rotation", "decoded"), [(0, 0), (90, -90), (180, -180), (270, 90)])
@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_the_track_contains_the_rotation(container: Any, rotation: Any, decoded: int) -> None:
    """The picture is stored unrotated. `rotation` is clockwise, and FFmpeg counts counterclockwise."""
    (first, *_) = pictures(render_video(1, container=container, rotation=rotation, width=64, height=36, seconds=0.1))
    assert (first.width, first.height, first.rotation) == (64, 36, decoded)


def test_the_time_between_pictures_can_vary() -> None:
    """Every fifth picture is late."""
    times = [frame.time for frame in pictures(render_video(1, variable_rate=True, width=64, height=36, seconds=1))]
    gaps = {round(after - before, 3) for before, after in pairwise(times)}
    assert gaps == {0.033, 0.06, 0.007}


def test_a_truncated_video_is_the_beginning_of_the_complete_one() -> None:
    """It looks like an interrupted copy."""
    complete, part = render_video(1), render_video(1, truncate_to=0.5)
    assert complete.startswith(part)
    assert len(part) == round(len(complete) / 2)


def test_the_seed_determines_the_video() -> None:
    """Tests are reproducible, and videos of different seeds have different content."""
    assert render_video(1, seconds=0.2) == render_video(1, seconds=0.2) != render_video(2, seconds=0.2)


def test_the_runner_moves() -> None:
    """Successive pictures differ, and something dark is in the middle of each."""
    frames = [frame.to_ndarray(format="gray") for frame in pictures(render_video(1, seconds=0.5))]
    assert all((before != after).any() for before, after in pairwise(frames))
    assert all(frame[:, 120:200].min() < 60 < frame[:20].min() for frame in frames)


INVALID: list[dict[str, Any]] = [
    {"container": "mkv"},
    {"width": 321},
    {"height": 8},
    {"fps": 0},
    {"fps": 500},
    {"seconds": 0},
    {"truncate_to": 0},
    {"rotation": 45},
    {"rotation": 90, "container": "avi"},
]


@pytest.mark.parametrize("arguments", INVALID, ids=str)
def test_invalid_arguments_are_an_error(arguments: dict[str, Any]) -> None:
    """The message names the argument and its bounds."""
    with pytest.raises(ValueError, match=next(iter(arguments))):
        render_video(1, **arguments)
