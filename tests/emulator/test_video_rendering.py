"""Films of a made-up runner: what was asked for is what another program finds in the file."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

import pytest

from ochy_async.emulator.video_rendering import CODECS, render_video

av = pytest.importorskip("av", reason="needs the extra video: PyAV is not installed")

KINDS = tuple(CODECS)


def opened(content: bytes) -> Any:
    return av.open(io.BytesIO(content))


def pictures(content: bytes) -> list[Any]:
    with opened(content) as found:
        return list(found.decode(video=0))


@pytest.mark.parametrize("kind", KINDS)
def test_a_film_is_what_was_asked_for(kind: Any) -> None:
    """Container, codec, size, number and rate of pictures."""
    content = render_video(1, kind=kind, width=160, height=90, fps=30, seconds=1)
    with opened(content) as found:
        assert kind in found.format.name
        assert found.streams.video[0].codec_context.name in ("h264", "mpeg4", "vp8")
        assert float(found.streams.video[0].average_rate) == pytest.approx(30, rel=0.01)
    frames = pictures(content)
    assert len(frames) == 30
    assert {(frame.width, frame.height) for frame in frames} == {(160, 90)}


@pytest.mark.parametrize("fps", [24, 25, 48, 60, 120, 240])
def test_every_usual_frame_rate_can_be_had(fps: int) -> None:
    """Pictures come at even times."""
    frames = pictures(render_video(1, width=64, height=64, fps=fps, seconds=0.5))
    times = [frame.time for frame in frames]
    assert len(frames) == fps // 2
    gaps = [after - before for before, after in pairwise(times)]
    assert gaps == pytest.approx([1 / fps] * len(gaps), abs=1e-4)


@pytest.mark.parametrize(("rotation", "read"), [(0, 0), (90, -90), (180, -180), (270, 90)])
@pytest.mark.parametrize("kind", ["mp4", "mov"])
def test_a_phone_held_upright_says_so(kind: Any, rotation: Any, read: int) -> None:
    """The picture is stored as it is and the track says how it is turned (FFmpeg counts the other way round)."""
    (first, *_) = pictures(render_video(1, kind=kind, rotation=rotation, width=64, height=36, seconds=0.1))
    assert (first.width, first.height, first.rotation) == (64, 36, read)


def test_the_time_between_pictures_may_vary() -> None:
    """Every fifth picture comes late."""
    times = [frame.time for frame in pictures(render_video(1, varying=True, width=64, height=36, seconds=1))]
    gaps = {round(after - before, 3) for before, after in pairwise(times)}
    assert gaps == {0.033, 0.06, 0.007}


def test_a_film_that_is_cut_short_is_a_part_of_the_whole() -> None:
    """As if copying had been broken off."""
    whole, part = render_video(1), render_video(1, keep=0.5)
    assert whole.startswith(part)
    assert len(part) == round(len(whole) / 2)


def test_the_same_seed_is_the_same_film_and_another_is_another() -> None:
    """So that a test can be repeated, and clips can be told apart by their content."""
    assert render_video(1, seconds=0.2) == render_video(1, seconds=0.2) != render_video(2, seconds=0.2)


def test_the_runner_moves() -> None:
    """Picture after picture is another one, and there is something dark in the middle of it."""
    frames = [frame.to_ndarray(format="gray") for frame in pictures(render_video(1, seconds=0.5))]
    assert all((before != after).any() for before, after in pairwise(frames))
    assert all(frame[:, 120:200].min() < 60 < frame[:20].min() for frame in frames)


NONSENSE: list[dict[str, Any]] = [
    {"kind": "mkv"},
    {"width": 321},
    {"height": 8},
    {"fps": 0},
    {"fps": 500},
    {"seconds": 0},
    {"keep": 0},
    {"rotation": 45},
    {"rotation": 90, "kind": "avi"},
]


@pytest.mark.parametrize("asked", NONSENSE, ids=str)
def test_nonsense_is_refused(asked: dict[str, Any]) -> None:
    """With the bound in the message."""
    with pytest.raises(ValueError, match=next(iter(asked)) if "kind" not in asked else "kind|rotation"):
        render_video(1, **asked)
