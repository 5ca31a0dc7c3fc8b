"""The landings on a page: whatever layout the steps have, only what is clearly a landing is shown as one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("htpy", reason="needs the extra report: htpy is not installed")

from ochy_async.report import write_report
from tests.support.report_folders import record, text_of, write_records

UNKNOWN = "The layout of the steps is not known."


def page_with(folder: Path, landing: Any) -> str:
    """The page of a runner with these steps."""
    line = record(0)
    line["calculated"]["foot_landing"] = landing
    overview = write_report(write_records(folder, line))
    return next(path for path in overview.parent.iterdir() if path != overview).read_text(encoding="utf-8")


def steps_of(page: str) -> list[str]:
    """The steps as they are shown on the screen."""
    listed = re.search(r'<ol class="steps">(.*?)</ol>', page)
    return [text_of(each) for each in re.findall(r"<li.*?</li>", listed[1])] if listed else []


LAYOUTS: dict[str, tuple[Any, list[str]]] = {
    "documented words": (["rearfoot", "midfoot"], ["rearfoot", "midfoot"]),
    "a time before": ([{"timestamp": "2026-01-01", "side": "left", "landing": "midfoot"}], ["left midfoot"]),
    "other names": ([{"foot": "Left", "landing_type": "rearfoot", "confidence": "high"}], ["left rearfoot"]),
    "an unknown landing": ([{"foot": "right", "kind": "x", "strike": "heel"}], ["right heel"]),
    "a known word first": ([{"landing_quality": "good", "type": "Forefoot"}], ["Forefoot"]),
    "lists by side": ({"left": ["rearfoot"], "right": ["midfoot", "x"]}, ["left rearfoot", "right midfoot", "right x"]),
    "objects by side": ({"steps": {"left": [{"landing": "rearfoot"}]}}, ["left rearfoot"]),
    "no landing": ([{"side": "left", "confidence": "high"}], []),
    "a text": ("rearfoot", []),
    "counts": ({"rearfoot": 3}, []),
    "deep": ([[[[[[[[[["rearfoot"]]]]]]]]]], []),
}


@pytest.mark.parametrize(("landing", "shown"), LAYOUTS.values(), ids=LAYOUTS)
def test_steps_are_found_in_many_layouts(tmp_path: Path, landing: Any, shown: list[str]) -> None:
    """A known landing, else what a name says is one; the side wherever it stands; else the page says so."""
    page = page_with(tmp_path, landing)
    assert steps_of(page) == shown
    assert (UNKNOWN in page) == (not shown)


def test_steps_that_are_not_shown_are_counted(tmp_path: Path) -> None:
    """A page shows sixty."""
    page = page_with(tmp_path, [{"side": "left", "landing": "rearfoot"}] * 75)
    assert len(steps_of(page)) == 60
    assert "15 more steps are not shown." in page


def test_equal_landings_are_joined_on_paper(tmp_path: Path) -> None:
    """For each side in their order, so that forty steps take two lines."""
    steps = [{"side": side, "landing": landing} for landing in ("rearfoot", "rearfoot") for side in ("left", "right")]
    page = page_with(tmp_path, [*steps, {"side": "left", "landing": "midfoot"}])
    joined = re.search(r'<div class="joined">(.*?)</div>', page)
    assert joined is not None
    assert text_of(joined[1]) == "Left : 2 × rearfoot, midfoot Right : 2 × rearfoot"


def test_no_landings_make_no_section(tmp_path: Path) -> None:
    """Nothing is said of what was not sent."""
    assert "step by step" not in page_with(tmp_path, None)
