"""What `print` shows: scores on one screen, whatever the server sent; and what `repr` does not show."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from ochy_async import AnalysisState, Analyzed, Landmarks, Refused, SideView, SideViewResults, Started
from ochy_async.batch.report import Report
from ochy_async.protocol.analysis_list import AnalysisList, ListedAnalysis
from ochy_async.protocol.answer import Answer
from ochy_async.protocol.assessment import Ranges
from ochy_async.protocol.back_view import BackViewCalculated, BackViewResults, Legs
from ochy_async.protocol.converter import structure
from ochy_async.protocol.drift import DriftLog
from ochy_async.protocol.exercises import Exercise
from ochy_async.protocol.landmarks import landmarks_call
from ochy_async.protocol.side_view import Metrics, SideViewCalculated
from ochy_async.protocol.subjects import CreatedSubject, Message, Subject, SubjectList
from ochy_async.protocol.text_summary import summary_text
from ochy_async.protocol.wire import Response

LINK = "https://storage.example/a?signature=4f1d"
RED = "\x1b[31m\r\x07\u202e"


def read(cls: Any, body: dict[str, Any]) -> Any:
    """An answer as the session returns it."""
    with DriftLog("test"):
        return structure(body, cls)


def side_view(text: str = "well done", styles: int = 1) -> dict[str, Any]:
    part = {"score_number": 0.5, "range_good": [1, 2], "range_okay": [[0, 1], [2, 3]], "texts": {"position": text}}
    parts = ("arm", "back_cycle", "forward_cycle", "head", "trunk")
    content = {**dict.fromkeys(parts, part), "foot": {**part, "foot_strike_pattern": text}}
    style = {"title": text, "percentage": 83}
    analysis = {"analysis_content": content, "total_score": 0.71, "running_styles": [style] * styles}
    return {"video_id": text, "thumbnail": LINK, "biomechanical_analysis": analysis}


def back_view(text: str = "well done") -> dict[str, Any]:
    leg = {"score_number": 0.25, "texts": {"position": text}}
    content = {part: {"left": leg, "right": leg} for part in ("pronation", "knee_adduction", "pelvic_drop")}
    return {"video_id": text, "biomechanical_analysis": {"analysis_content": content, "total_score": 0.66}}


def raw_data(text: str = "nose", landmarks: int = 2) -> Landmarks:
    point = '{"x": 1.5, "y": 2.5}'
    names = ", ".join(f'"{text}{n}": {point}' for n in range(landmarks))
    body = f'{{"video_input_information": {{"fps": 60}}, "frames": {{"0": {{{names}}}, "1": {{{names}}}}}}}'
    raw = landmarks_call("a1").read(Response(200, {}, body.encode()))
    while not raw.advance():
        pass
    return raw.result()


def everything(text: str, many: int) -> Iterator[Any]:
    """One of each printable class, with `text` wherever the server may send any."""
    side = read(SideViewResults, side_view(text, many))
    yield side
    yield side.foot
    yield side.running_styles[0]
    yield read(BackViewResults, back_view(text))
    yield read(BackViewResults, back_view(text)).pronation
    yield read(SideViewCalculated, {"metrics": {"speed_meter_per_second": 3}, "overstride": {"score": text}})
    yield read(BackViewCalculated, {"gait_cycle": {f"{text[:2_000]}{n}": 1.5 for n in range(min(many, 1_000))}})
    yield raw_data("nose", min(many, 900))
    yield read(SubjectList, {"subjects": [{"id": text, "name": text, "email": text}] * many})
    yield read(Subject, {"id": text, "name": text, "email": text})
    yield read(CreatedSubject, {"subject_id": text})
    yield read(Message, {"message": text})
    yield read(Exercise, {"title": text, "kind": text, "difficulty": text})
    yield AnalysisList((read(ListedAnalysis, {"id": text, "status": text, "analysis_type": text}),) * many)
    yield AnalysisState(analysis_id=text, status=text, percentage=1e300, results=side)
    yield Started(analysis_id=text, view="side_view", clip=text, subject_id=text, started_at=datetime.now(UTC))
    yield Ranges(((1.0, 2.0),) * many)


def width(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in line)


@pytest.mark.parametrize(
    "text", ["x" * 1_000_000, "足" * 10_000, "a\nb" * 5_000, RED * 1_000, "é" * 900, "[bold] [/x]"]
)
def test_a_summary_fits_a_screen(text: str) -> None:
    """At most 20 lines of 80 columns and no control characters, even from a hostile server."""
    for each in everything(text, 10_000):
        lines = str(each).split("\n")
        assert len(lines) <= 20, type(each)
        assert max(map(width, lines)) <= 80, type(each)
        assert all(letter.isprintable() for line in lines for letter in line), type(each)


@pytest.mark.parametrize("text", [LINK, f"see {LINK}", "x" * 500 + LINK, f"{'y' * 30} {LINK}"])
def test_no_link_is_ever_shown(text: str) -> None:
    """A link in any text is masked before the text is cut."""
    for each in everything(text, 30):
        assert "storage.example" not in str(each), type(each)
        assert "signature" not in str(each), type(each)


def test_a_side_view_shows_its_scores_and_highlights() -> None:
    """Total score, each part with score and position, foot strike, running style."""
    shown = str(read(SideViewResults, {**side_view("midfoot"), "video_id": "a1b2"}))
    assert shown.splitlines()[:3] == [
        "side view a1b2: total score 0.71",
        "  head           0.50  midfoot",
        "  trunk          0.50  midfoot",
    ]
    assert shown.splitlines()[-2:] == ["  foot strike: midfoot", "  running style: midfoot, 83 %"]


def test_a_back_view_shows_both_legs() -> None:
    """A leg that was not sent is left out."""
    body = back_view()
    del body["biomechanical_analysis"]["analysis_content"]["pelvic_drop"]
    body["biomechanical_analysis"]["analysis_content"]["knee_adduction"] = {"left": {"score_number": 0.5}}
    assert str(read(BackViewResults, {**body, "video_id": "a1b2"})).splitlines() == [
        "back view a1b2: total score 0.66",
        "  pronation, left       0.25  well done",
        "  pronation, right      0.25  well done",
        "  knee adduction, left  0.50  –",
    ]


def test_calculated_data_have_units() -> None:
    """A metric that was not sent is a dash."""
    shown = str(read(SideViewCalculated, {"metrics": {"speed_meter_per_second": 2.5, "ground_contact_time_ms": 280}}))
    assert "  speed                2.50 m/s\n  pace                 6:40 /km\n  cadence              –" in shown
    assert str(Metrics(speed=2.5)).startswith("metrics\n  speed                2.50 m/s")


def test_landmarks_show_their_size() -> None:
    """Frames, landmarks and frame rate, but no coordinate."""
    assert str(raw_data()).splitlines() == [
        "landmarks: 2 frames of 2 landmarks, numbered 0 to 1",
        "  video: 60 fps, –",
        "  coordinates: x, y",
        "  landmarks: nose0, nose1",
    ]


def test_a_list_shows_its_size_and_the_first_few() -> None:
    """Ten thousand subjects are ten lines."""
    shown = str(read(SubjectList, {"subjects": [{"id": f"s{n}", "name": "Ada"} for n in range(10_000)]})).splitlines()
    assert (shown[0], shown[1], shown[-1]) == ("subjects: 10,000", "  subject s0: Ada", "  … and 9,992 more")


def test_an_outcome_shows_its_results_or_its_reason() -> None:
    """A clip that was given as bytes is not printed as a whole."""
    facts: dict[str, Any] = {"clip": b"\0" * 1_000_000, "index": 0, "label": "run.mp4", "request": SideView()}
    results = read(SideViewResults, side_view())
    analyzed = Analyzed(**facts, analysis_id="a1", results=results)
    assert str(analyzed) == f"run.mp4: analyzed\n{results}"
    refused = Refused(**facts, reason="It cannot be sent:\n  - height: " + "much " * 500)
    lines = str(refused).splitlines()
    assert lines[:2] == ["run.mp4: refused", "  It cannot be sent:"]
    assert len(lines) <= 20
    assert max(map(len, lines)) <= 80
    assert len(repr(analyzed)) < 500
    assert "<bytes>" in repr(analyzed)


def test_a_report_shows_outcomes_and_credits() -> None:
    """It uses the sentence about credits that is used everywhere."""
    report = Report(outcomes={"analyzed": 2}, spent=2, uncertain=0, already_paid=0, committed=2, charged=2)
    assert str(report) == "2 analyzed. 2 credits spent by this run."


def test_ranges_show_their_intervals() -> None:
    """They are the vendor's reference values, so `repr` shows them too."""
    assert repr(Ranges(((78.0, 88.0),))) == "Ranges(78 to 88)"
    assert repr(Ranges(((0.0, 1.5), (2.0, 3.0)))) == "Ranges(0 to 1.5 or 2 to 3)"
    assert str(Ranges(((0.0, 1.0),) * 10_000)).endswith("0 to 1 or …")


def test_repr_shows_no_health_data() -> None:
    """Logs, tracebacks and asserts show `repr`: no score, no name, no text."""
    for each in everything("Ada Lovelace", 3):
        if not isinstance(each, Ranges | AnalysisState | Started):
            assert "Ada Lovelace" not in repr(each), type(each)
            assert "0.71" not in repr(each)
            assert len(repr(each)) < 500


def test_an_answer_without_a_summary_prints_its_repr() -> None:
    """A class that defines no summary shows nothing by accident."""
    (answer,) = [Answer()]
    assert str(answer) == repr(answer)
    assert str(read(Legs, {"left": {"score_number": 0.5}})).splitlines() == ["legs", "  left  0.50  –"]


def test_ipython_shows_the_summary() -> None:
    """It uses its own protocol, as notebooks do; a plain prompt shows `repr`, as logs do."""

    class Printer:
        def __init__(self) -> None:
            self.said = ""

        def text(self, text: str) -> None:
            self.said += text

        def break_(self) -> None:
            self.said += "\n"

    printer, results = Printer(), read(SideViewResults, side_view())
    results._repr_pretty_(printer, False)
    assert printer.said == str(results)


def test_ipython_does_not_prefer_repr() -> None:
    """It takes the first class that has either its own protocol or a `__repr__`."""
    for each in everything("x", 1):
        if not isinstance(each, Ranges):
            nearest = next(cls for cls in type(each).__mro__ if {"_repr_pretty_", "__repr__"} & vars(cls).keys())
            assert "_repr_pretty_" in vars(nearest), type(each)


def test_rich_prints_the_summary_and_no_markup_of_the_server() -> None:
    """Its `print` shows the summary; its pretty printer, which shows locals in tracebacks, uses `repr`."""
    console = pytest.importorskip("rich.console", reason="needs the extra cli: rich is not installed").Console(
        width=80, record=True, file=sys.stderr
    )
    pretty = pytest.importorskip("rich.pretty", reason="needs the extra cli: rich is not installed")
    results = read(SideViewResults, side_view("[bold]x[/bold] [/y]"))
    console.print(results)
    assert console.export_text().rstrip("\n") == str(results)
    assert "0.71" not in pretty.pretty_repr(results)
    assert "0.71" not in pretty.pretty_repr([results])
    assert "78 to 88" in pretty.pretty_repr(Ranges(((78.0, 88.0),)))


def test_a_summary_is_cut_in_both_directions() -> None:
    """The last line says that there was more; a wide letter is not cut in half."""
    shown = summary_text(["足" * 41, *("x" for _ in range(30))]).split("\n")
    assert (len(shown), shown[-1], shown[0]) == (20, "…", "足" * 39 + "…")
    assert summary_text(["x" * 80, "x" * 81]) == "x" * 80 + "\n" + "x" * 79 + "…"
