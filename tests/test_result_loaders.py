"""Saved files are read back as the values that the session returned."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest

from ochy_async import BackView, BackViewResults, OchySession, SideView, SideViewResults
from ochy_async.batch.outcomes import Analyzed
from ochy_async.emulator import Emulator
from ochy_async.errors import InvalidRequest, OchyError, OutputError, UnreadableAnswer
from ochy_async.result_loaders import load_calculated, load_landmarks, load_records, load_results
from tests.conftest import CLIP, QUICK, real_session, world
from tests.support import canary

Loader = Callable[[Path], Any]
LOADERS: tuple[Loader, ...] = (load_results, load_calculated, load_landmarks, lambda path: list(load_records(path)))


@pytest.fixture
async def saved(tmp_path: Path) -> AsyncGenerator[tuple[OchySession, list[Analyzed[Any, Any]], Path]]:
    """A side and a back view that a batch saved with all artifacts, and the session that made them."""
    out, outcomes = tmp_path / "out", list[Analyzed[Any, Any]]()
    jobs = [(CLIP + b"1", SideView()), (CLIP + b"2", BackView())]
    async with Emulator(world(), speed=100) as emulator, real_session(emulator, polling=QUICK) as ochy:
        async with ochy.batch(out=out, keep=["calculated", "raw_data"]) as batch:
            async for outcome in batch.run(jobs):
                assert isinstance(outcome, Analyzed), outcome
                outcomes.append(outcome)
        yield ochy, sorted(outcomes, key=lambda each: each.index), out


def file_of(outcome: Analyzed[Any, Any], end: str) -> Path:
    """The saved file of an outcome."""
    (path,) = [each for each in outcome.files if each.name.endswith(end)]
    return path


@pytest.mark.anyio
async def test_saved_files_load_as_the_values_of_the_session(
    saved: tuple[OchySession, list[Analyzed[Any, Any]], Path],
) -> None:
    """Results, calculated data and landmarks of both views; only links are missing."""
    ochy, outcomes, out = saved
    for outcome, cls in zip(outcomes, (SideViewResults, BackViewResults), strict=True):
        results = load_results(file_of(outcome, "results.json"))
        assert type(results) is cls
        assert results.biomechanical_analysis == outcome.results.biomechanical_analysis
        assert (results.analysis_id, results.thumbnail) == (outcome.analysis_id, None)
        assert str(results) == str(outcome.results)
        assert load_calculated(file_of(outcome, "calculated.json")) == outcome.calculated
        assert outcome.analysis_id is not None
        landmarks = load_landmarks(file_of(outcome, "raw_data.json"))
        assert landmarks == await ochy.raw_data(outcome.analysis_id)
        assert landmarks.frame_numbers
    records = list(load_records(out / "results.jsonl"))
    assert [each.analysis_id for each in records] == [each.analysis_id for each in outcomes]
    assert [str(each.results) for each in records] == [str(each.results) for each in outcomes]
    assert [each.calculated for each in records] == [each.calculated for each in outcomes]


@pytest.mark.anyio
async def test_the_name_of_a_file_does_not_matter(saved: tuple[OchySession, list[Analyzed[Any, Any]], Path]) -> None:
    """The content decides what it is; a given view is the one that is read."""
    _, (side, back), out = saved
    renamed = file_of(back, "results.json").rename(out / "anything.txt")
    assert isinstance(load_results(str(renamed)), BackViewResults)
    assert isinstance(load_results(renamed, BackView), BackViewResults)
    with pytest.raises(UnreadableAnswer, match=r"analysis_content\.arm should be an object but is missing"):
        load_results(renamed, SideView)
    with pytest.raises(InvalidRequest, match="SideView or a BackView"):
        load_results(renamed, "back_view")  # type: ignore[call-overload]
    with pytest.raises(UnreadableAnswer, match="should be the calculated data"):
        load_calculated(file_of(side, "results.json"))
    with pytest.raises(UnreadableAnswer, match="should be the results"):
        load_results(file_of(side, "calculated.json"))
    with pytest.raises(UnreadableAnswer, match="frames"):
        load_landmarks(file_of(side, "results.json"))
    with pytest.raises(UnreadableAnswer, match=r"line 1 of .* should be a line of results.jsonl"):
        list(load_records(file_of(side, "results.json")))


@pytest.mark.anyio
async def test_a_last_line_that_was_cut_short_is_skipped(
    saved: tuple[OchySession, list[Analyzed[Any, Any]], Path],
) -> None:
    """A crash may cut it; the lines before it are read."""
    _, _, out = saved
    path = out / "results.jsonl"
    path.write_bytes(path.read_bytes()[:-200])
    assert len(list(load_records(path))) == 1


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize(
    "content", [b"", b"[]", b"7", b"<html>61.25", b'{"weight": 61.25', b"\xff\xfe", b'{"x": "Ada"}\n', b"[" * 5_000]
)
def test_other_content_is_an_error_without_values(load: Loader, content: bytes, tmp_path: Path) -> None:
    """The error shows keys and types only."""
    path = tmp_path / "x.json"
    path.write_bytes(content)
    if load is LOADERS[-1] and b"\n" not in content:
        assert load(path) == []  # no line at all, or one that was cut short
        return
    with pytest.raises(UnreadableAnswer, match=r"x\.json") as caught:
        load(path)
    shown = str(caught.value) + repr(vars(caught.value)) + "".join(map(repr, canary.chain(caught.value)))
    assert not any(value in shown for value in ("61.25", "Ada"))


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize("name", ["missing.json", ".", "nul\0.json"])
def test_an_unreadable_file_is_an_output_error(load: Loader, name: str, tmp_path: Path) -> None:
    """A wrong path, a folder and an invalid path."""
    with pytest.raises(OutputError, match="cannot be read") as caught:
        load(tmp_path / name)
    assert isinstance(caught.value, OchyError)


def test_the_size_of_a_file_is_limited(tmp_path: Path) -> None:
    """A file larger than any answer is not read into memory."""
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(9_000_000)
    with pytest.raises(UnreadableAnswer, match="larger than 8,000,000 bytes"):
        load_results(path)
