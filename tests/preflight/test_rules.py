"""The findings on a clip: a table of facts and of the codes that follow from them."""

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
PORTRAIT = evolve(GOOD, width=1080, height=1920)
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
FITTING: list[dict[str, Any]] = [
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
    """Severity and code of all findings."""
    return [(each.severity, each.code) for each in findings_for(facts, request or SideView())]


@pytest.mark.parametrize(("change", "code"), ERRORS, ids=repr)
def test_a_documented_limit_is_an_error(change: dict[str, Any], code: str) -> None:
    """There is no other finding on a clip with one fault."""
    assert codes(evolve(GOOD, **change)) == [("error", code)]


@pytest.mark.parametrize(("change", "code"), WARNINGS, ids=repr)
def test_everything_else_is_a_warning(change: dict[str, Any], code: str) -> None:
    """A fact that may spoil an analysis is reported, and is no reason to refuse the clip."""
    assert codes(evolve(GOOD, **change)) == [("warning", code)]


@pytest.mark.parametrize("change", FITTING, ids=repr)
def test_a_fitting_clip_has_no_findings(change: dict[str, Any]) -> None:
    """This includes values exactly at a limit, and unknown facts that no rule needs."""
    assert codes(evolve(GOOD, **change)) == []


@pytest.mark.parametrize(
    ("request_", "portrait"),
    [
        (SideView(), False),
        (BELT, True),
        (BackView(), True),
        (BackView(treadmill=True, pace="05:30"), True),
    ],
    ids=["side", "side on a treadmill", "back", "back on a treadmill"],
)
def test_view_and_treadmill_decide_the_orientation(request_: SideView | BackView, portrait: bool) -> None:
    """Each row of the documented table is tested."""
    wrong = [("warning", "orientation")]
    assert codes(PORTRAIT, request_) == ([] if portrait else wrong)
    assert codes(GOOD, request_) == (wrong if portrait else [])
    assert codes(evolve(GOOD, width=1080), request_) == [("warning", "square")]


def test_a_recording_of_1088_pixels_is_a_warning() -> None:
    """Encoders round up to complete blocks."""
    assert codes(evolve(PORTRAIT, width=1088), BackView()) == [("warning", "too_large_picture")]


def test_without_a_request_the_orientation_is_not_checked() -> None:
    """Only a request says which orientation is right."""
    assert findings_for(PORTRAIT) == findings_for(GOOD) == ()


def test_all_findings_come_at_once_errors_first() -> None:
    """Nobody has to film three times to learn of three faults."""
    bad = evolve(GOOD, name="a.mov", size=40_000_000, seconds=12.0, width=2160, height=3840, fps=24.0, varying=True)
    found = codes(evolve(bad, cut_short=True))
    assert {code for severity, code in found if severity == "error"} == {"too_big", "too_long"}
    assert {code for _, code in found[2:]} == {
        *("wrong_extension", "too_large_picture", "orientation"),
        *("slow_frame_rate", "varying_frame_rate", "cut_short"),
    }


def test_an_unreadable_clip_has_no_findings_on_its_content() -> None:
    """A damaged file has no length; its size and name are still checked."""
    assert codes(ClipFacts(name="a.txt", size=40_000_000, readable=False)) == [
        ("error", "wrong_type"),
        ("error", "too_big"),
        ("error", "unreadable"),
    ]


def test_unknown_content_is_one_warning() -> None:
    """It names what was not checked, and what to do about it."""
    (found,) = findings_for(ClipFacts(name="a.mp4", size=5, container="mp4", unread="install it"), SideView())
    assert (found.code, found.severity) == ("unchecked", "warning")
    assert "length, picture size, frame rate" in found.message
    assert "install it" in found.message


# --- fix commands --------------------------------------------------------------------------------------


FIXES = [
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


@pytest.mark.parametrize(("change", "command"), FIXES, ids=repr)
def test_a_finding_holds_its_fix_command(change: dict[str, Any], command: str) -> None:
    """It can be pasted into a shell, and it ends the sentence."""
    (found,) = findings_for(evolve(GOOD, **change), SideView(), path="x/run.mp4")
    assert found.fix_command == command
    assert str(found).endswith(f"fix it with: {command}")


@pytest.mark.parametrize("path", ["my run's.mp4", "$(rm -r x).mp4", "-rf.mp4", "a\nb.mp4", "Läufer.mp4"])
def test_a_file_name_in_a_command_is_one_operand(path: str) -> None:
    """Whatever the name, it is one word and no option."""
    (found,) = findings_for(evolve(GOOD, seconds=12.0), path=path)
    words = shlex.split(found.fix_command)
    assert words[4].removeprefix("./") == path
    assert len(words) == 10
    assert not words[4].startswith("-")
    assert not words[-1].startswith("-")


# --- levels --------------------------------------------------------------------------------------------

ERROR = Finding("x", "is bad", code="bad")
WARNING = Finding("x", "is unusual", code="unusual", severity="warning")


@pytest.mark.parametrize(
    ("level", "expected"), [("errors", (ERROR,)), ("warnings", (ERROR, WARNING)), ("off", ())], ids=str
)
def test_the_level_decides_which_findings_stop_a_clip(level: PreflightLevel, expected: tuple[Finding, ...]) -> None:
    """The levels are errors, warnings, and off."""
    assert blocking((ERROR, WARNING), level) == expected
    assert blocking((), level) == ()


def test_a_refusal_holds_all_findings() -> None:
    """It includes the warnings, which would be next."""
    with pytest.raises(ClipUnusable) as caught:
        raise_if_blocked((ERROR, WARNING), "errors")
    assert caught.value.problems == (ERROR, WARNING)
    assert all(isinstance(each, Problem) for each in caught.value.problems)
    assert "nothing was sent or charged" in str(caught.value)
    raise_if_blocked((WARNING,), "errors")
    raise_if_blocked((ERROR,), "off")


@pytest.mark.parametrize("word", ["error", "", None, 1, "ERRORS", True])
def test_an_unknown_level_is_refused(word: object) -> None:
    """A typing error must not switch the check off."""
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
def test_a_container_is_recognized_by_its_signature(head: bytes, container: str) -> None:
    """The first bytes are enough, and fewer raise nothing."""
    assert container_of(head) == container
