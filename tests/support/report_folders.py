"""Output folders for tests of reports, made of the emulator's results without a run."""

from __future__ import annotations

import copy
import json
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

from ochy_async.emulator.assessments import back_view_results, side_view_results
from ochy_async.emulator.calculated_data import back_view_calculated, side_view_calculated
from ochy_async.emulator.mosaic_jpeg import mosaic_jpeg
from tests.support.simulated_runners import landmark_frames, make_runner, scored

__all__ = ["HOSTILE", "record", "report_folder", "scored_parts", "text_of", "write_records"]

HOSTILE: Final = "</script><script>alert(1)</script> \"x\" & 'y' ../../etc \N{RIGHT-TO-LEFT OVERRIDE}"
"""A runner's name that must stay a text."""


def record(number: int, view: str = "side_view", **fields: Any) -> dict[str, Any]:
    """A line of `results.jsonl` about an analysis that succeeded."""
    analysis_id = f"analysis-{number}"
    results, calculated = copy.deepcopy(_answers(number, view))
    return {
        "schema": 1,
        "index": number,
        "clip": f"clips/run-{number}.mp4",
        "view": view,
        "outcome": "analyzed",
        "analysis_id": analysis_id,
        "subject": f"Runner {number % 4}",
        "subject_id": None,
        "extra": {},
        "results": {"video_id": analysis_id, "status": "success", "biomechanical_analysis": results},
        "calculated": calculated,
        "files": [],
        "reason": "",
        **fields,
    }


@cache
def _answers(number: int, view: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The assessment and the calculated data of a runner, who takes a while to be measured."""
    runner = make_runner(bytes([number]))
    if view == "side_view":
        return side_view_results(runner, language="en"), side_view_calculated(runner)
    return (
        back_view_results(runner, language="en", full_body=True),
        back_view_calculated(runner, full_body=True),
    )


def scored_parts(line: dict[str, Any]) -> list[dict[str, Any]]:
    """The assessed parts in a record, each leg of a back view included. They may be changed."""
    found: list[dict[str, Any]] = scored(line["results"]["biomechanical_analysis"])
    return found


def write_records(folder: Path, *records: dict[str, Any]) -> Path:
    """Writes `results.jsonl`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in records), encoding="utf-8")
    return folder


def report_folder(folder: Path) -> Path:
    """Side and back views with landmarks and pictures, and clips that failed."""
    records = [record(number) for number in range(6)] + [record(6, "back_view"), record(7, "back_view")]
    for each in records:
        name = f"run-{each['index']}.{each['analysis_id']}"
        raw = landmark_frames(make_runner(bytes([each["index"]])), each["view"], fps=60.0, seconds=4.0)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.raw_data.json").write_text(json.dumps(raw), encoding="utf-8")
        (folder / f"{name}.thumbnail.jpg").write_bytes(mosaic_jpeg([[(30, 90, 160)] * 4] * 4))
        each["files"] = [f"elsewhere/{name}.raw_data.json", f"elsewhere/{name}.thumbnail.jpg"]
    records[1]["subject"] = HOSTILE
    records.append(record(8, outcome="failed", results=None, calculated=None, reason="The analysis failed."))
    return write_records(folder, *records)


def text_of(page: str) -> str:
    """What a page shows as text."""
    parts: list[str] = []
    parser = HTMLParser()
    parser.handle_data = parts.append  # type: ignore[assignment,method-assign]
    parser.feed(re.sub(r"<(style|script).*?</\1>", "", page, flags=re.DOTALL))
    return " ".join(" ".join(parts).split())
