"""The verdict on a clip: a table of what was found, and of what is said to it."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from attrs import evolve

from ochy_async import BackView, SideView
from ochy_async.errors import ClipUnusable, Finding, InvalidSettings, Problem
from ochy_async.preflight.facts import ClipFacts
from ochy_async.preflight.rules import PreflightLevel, blocking, findings_for, preflight_level, raise_if_blocked
from ochy_async.protocol.containers import container_of

GOOD = ClipFacts(
    name="runner.mp4",
    size=4_000_000,
    container="mp4",
    readable=True,
    video=True,
    decodable=True,
    codec="h264",
    seconds=8.0,
    width=1920,
    height=1080,
    rotation=0,
    fps=60.0,
    varying=False,
    frames=480,
    cut_short=False,
)
UPRIGHT = evolve(GOOD, width=1080, height=1920)
BELT = SideView(treadmill=True, pace="05:30")

ERRORS: list[tuple[dict[str, Any], str]] = [
    ({"size": 30_000_001}, "too_big"),
    ({"seconds": 10.26}, "too_long"),
    ({"seconds": 3600.0}, "too_long"),
    ({"name": "runner.mkv"}, "wrong_type"),
    ({"name": "runner"}, "wrong_type"),
    ({"name": "runner.mp4.zip"}, "wrong_type"),
    ({"readable": False}, "unreadable"),
    ({"readable": None, "container": ""}, "unreadable"),
    ({"video": False}, "no_video"),
    ({"decodable": False}, "unreadable"),
]
WARNINGS: list[tuple[dict[str, Any], str]] = [
    ({"width": 1920, "height": 1088}, "too_large_picture"),
    ({"width": 3840, "height": 2160}, "too_large_picture"),
    ({"width": 1080, "height": 1920}, "orientation"),
    ({"width": 1080, "height": 1080}, "square"),
    ({"fps": 29.0}, "slow_frame_rate"),
    ({"fps": 24.0}, "slow_frame_rate"),
    ({"varying": True}, "varying_frame_rate"),
    ({"name": "runner.mov"}, "wrong_extension"),
    ({"container": "matroska"}, "wrong_extension"),
    ({"cut_short": True}, "cut_short"),
    ({"seconds": None}, "unchecked"),
    ({"width": None}, "unchecked"),
    ({"fps": None}, "unchecked"),
    ({"decodable": None}, "unchecked"),
    ({"container": "avi", "name": "runner.avi", "varying": None, "cut_short": None, "seconds": None}, "unchecked"),
]
WELL: list[dict[str, Any]] = [
    {},
    {"size": 30_000_000},
    {"seconds": 10.25},
    {"seconds": 0.5},
    {"width": 320, "height": 240},
    {"fps": 29.97},
    {"fps": 240.0},
    {"rotation": 180},
    {"name": "Runner.MP4"},
    {"varying": None},
    {"frames": None},
    *({"name": f"a.{container}", "container": container} for container in ("mov", "avi", "webm")),
]


def codes(facts: ClipFacts, request: SideView | BackView | None = None) -> list[tuple[str, str]]:
    """Severity and code of all that is found."""
    return [(each.severity, each.code) for each in findings_for(facts, request or SideView())]


@pytest.mark.parametrize(("change", "code"), ERRORS, ids=repr)
def test_a_documented_limit_is_an_error(change: dict[str, Any], code: str) -> None:
    """And nothing else is said of a clip that is well but for that."""
    assert codes(evolve(GOOD, **change)) == [("error", code)]


@pytest.mark.parametrize(("change", "code"), WARNINGS, ids=repr)
def test_all_else_is_a_warning(change: dict[str, Any], code: str) -> None:
    """What may spoil an analysis is told, and is no reason to refuse."""
    assert codes(evolve(GOOD, **change)) == [("warning", code)]


@pytest.mark.parametrize("change", WELL, ids=repr)
def test_a_clip_that_fits_is_let_pass(change: dict[str, Any]) -> None:
    """At the very limit, too, and with what nobody needs to know."""
    assert codes(evolve(GOOD, **change)) == []


@pytest.mark.parametrize(
    ("request_", "upright"),
    [
        (SideView(), False),
        (BELT, True),
        (BackView(), True),
        (BackView(treadmill=True, pace="05:30"), True),
    ],
    ids=["side", "side on a treadmill", "back", "back on a treadmill"],
)
def test_view_and_treadmill_decide_how_it_is_held(request_: SideView | BackView, upright: bool) -> None:
    """The documented table, one row each."""
    wrong = [("warning", "orientation")]
    assert codes(UPRIGHT, request_) == ([] if upright else wrong)
    assert codes(GOOD, request_) == (wrong if upright else [])
    assert codes(evolve(GOOD, width=1080), request_) == [("warning", "square")]


def test_a_recording_of_1088_pixels_is_not_refused() -> None:
    """Encoders round up to whole blocks: told, and sent all the same."""
    assert codes(evolve(UPRIGHT, width=1088), BackView()) == [("warning", "too_large_picture")]


def test_without_a_request_the_view_is_not_judged() -> None:
    """A clip alone is neither upright nor across."""
    assert findings_for(UPRIGHT) == findings_for(GOOD) == ()


def test_all_is_told_at_once_and_errors_first() -> None:
    """Nobody films three times to learn of three faults."""
    bad = evolve(GOOD, name="a.mov", size=40_000_000, seconds=12.0, width=2160, height=3840, fps=24.0, varying=True)
    found = codes(evolve(bad, cut_short=True))
    assert {code for severity, code in found if severity == "error"} == {"too_big", "too_long"}
    assert {code for _, code in found[2:]} == {
        *("wrong_extension", "too_large_picture", "orientation"),
        *("slow_frame_rate", "varying_frame_rate", "cut_short"),
    }


def test_what_cannot_be_read_is_not_judged_further() -> None:
    """A broken file has no length; size and name are told all the same."""
    assert codes(ClipFacts(name="a.txt", size=40_000_000, readable=False)) == [
        ("error", "wrong_type"),
        ("error", "too_big"),
        ("error", "unreadable"),
    ]


def test_nothing_known_is_one_warning() -> None:
    """It names what was not checked, and what to do about it."""
    (found,) = findings_for(ClipFacts(name="a.mp4", size=5, container="mp4", unread="install it"), SideView())
    assert (found.code, found.severity) == ("unchecked", "warning")
    assert "length, picture size, frame rate" in found.message
    assert "install it" in found.message


# --- what mends it -------------------------------------------------------------------------------------


MENDS = [
    ({"seconds": 12.0}, "ffmpeg -ss 0 -i x/run.mp4 -t 10 -c copy x/run-fit.mp4"),
    ({"cut_short": True}, "ffmpeg -i x/run.mp4 -c copy x/run-fit.mp4"),
    (
        {"width": 3840, "height": 2160},
        "ffmpeg -i x/run.mp4 -vf scale=-2:1080 -c:v libx264 -crf 18 -pix_fmt yuv420p -an x/run-fit.mp4",
    ),
    ({"varying": True}, "ffmpeg -i x/run.mp4 -vf fps=60 -c:v libx264 -crf 18 -pix_fmt yuv420p -an x/run-fit.mp4"),
    ({"size": 31_000_000}, "ffmpeg -i x/run.mp4 -c:v libx264 -crf 23 -pix_fmt yuv420p -an x/run-fit.mp4"),
    ({"container": "matroska"}, "ffmpeg -i x/run.mp4 -c copy x/run-fit.mp4"),
]


@pytest.mark.parametrize(("change", "command"), MENDS, ids=repr)
def test_what_can_be_mended_comes_with_the_command(change: dict[str, Any], command: str) -> None:
    """Ready for a shell, and part of the sentence."""
    (found,) = findings_for(evolve(GOOD, **change), SideView(), path="x/run.mp4")
    assert found.fix_command == command
    assert str(found).endswith(f"fix it with: {command}")


@pytest.mark.parametrize("path", ["my run's.mp4", "$(rm -r x).mp4", "-rf.mp4", "a\nb.mp4", "Läufer.mp4"])
def test_a_command_takes_a_name_for_a_name(path: str) -> None:
    """Whatever a file is called, it stays one word and no option."""
    (found,) = findings_for(evolve(GOOD, seconds=12.0), path=path)
    words = shlex.split(found.fix_command)
    assert words[4].removeprefix("./") == path
    assert len(words) == 10
    assert not words[4].startswith("-")
    assert not words[-1].startswith("-")


# --- what stops ----------------------------------------------------------------------------------------

BAD = Finding("x", "is bad", code="bad")
SO_SO = Finding("x", "is so so", code="so_so", severity="warning")


@pytest.mark.parametrize(("stops", "stopped"), [("errors", (BAD,)), ("warnings", (BAD, SO_SO)), ("off", ())], ids=str)
def test_the_caller_chooses_what_stops(stops: PreflightLevel, stopped: tuple[Finding, ...]) -> None:
    """Errors, warnings too, or nothing."""
    assert blocking((BAD, SO_SO), stops) == stopped
    assert blocking((), stops) == ()


def test_a_refusal_tells_all_that_was_found() -> None:
    """The warnings too: they would be next."""
    with pytest.raises(ClipUnusable) as caught:
        raise_if_blocked((BAD, SO_SO), "errors")
    assert caught.value.problems == (BAD, SO_SO)
    assert all(isinstance(each, Problem) for each in caught.value.problems)
    assert "nothing was sent or charged" in str(caught.value)
    raise_if_blocked((SO_SO,), "errors")
    raise_if_blocked((BAD,), "off")


@pytest.mark.parametrize("word", ["error", "", None, 1, "ERRORS", True])
def test_an_unknown_measure_is_refused(word: object) -> None:
    """A typing error must not mean that nothing is checked."""
    with pytest.raises(InvalidSettings, match="errors, warnings, off"):
        preflight_level(word)


# --- signatures ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "container"),
    [
        (b"\0\0\0\x18ftypmp42", "mp4"),
        (b"\0\0\0\x18ftyp3gp4", "mp4"),
        (b"\0\0\0\x14ftypqt  ", "mov"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "mov"),
        (b"RIFF\x01\x02\x03\x04AVI LIST", "avi"),
        (b"RIFF\x01\x02\x03\x04WAVE", ""),
        (b"\x1a\x45\xdf\xa3\x9fB\x82\x84webm", "webm"),
        (b"\x1a\x45\xdf\xa3\xa3B\x82\x88matroska", "matroska"),
        (b"hello, I am a text", ""),
        (b"", ""),
        (b"\0", ""),
    ],
)
def test_a_container_is_told_by_its_signature(head: bytes, container: str) -> None:
    """The first bytes are enough, and fewer are no trouble."""
    assert container_of(head) == container
