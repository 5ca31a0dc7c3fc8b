"""What reports are made of: outcomes of a batch, results, also in a service. Examples of docs/how-to/report.md run."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from anyio.lowlevel import checkpoint

pytest.importorskip("htpy", reason="needs the extra report: htpy is not installed")

from ochy_async import BackView, OchySession, SideView
from ochy_async.batch.outcomes import Analyzed
from ochy_async.emulator import Emulator
from ochy_async.emulator.settings import DEFAULT_KEY, EmulatorSettings
from ochy_async.errors import InvalidSettings
from ochy_async.report import report_page, write_report
from ochy_async.result_loaders import load_records
from tests.conftest import CLIP, QUICK, real_session, world
from tests.support.accelerated_time import run_accelerated
from tests.support.report_folders import record, write_records

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[2] / "docs/how-to/report.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
CURVE = "Knee flexion"


def run_block(word: str) -> dict[str, Any]:
    """Runs the one example of the page that contains a word, and returns what it defines."""
    (block,) = [block for block in BLOCKS if word in block]
    names: dict[str, Any] = {"__name__": "report"}
    exec(compile(block, "docs/how-to/report.md", "exec"), names)  # noqa: S102 - the example is meant to run
    return names


@pytest.fixture
async def emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncGenerator[Emulator]:
    """A server, and the folder of clips that the examples assume."""
    (tmp_path / "clips").mkdir()
    for name in ("anna.mp4", "ben.mp4"):
        (tmp_path / "clips" / name).write_bytes(CLIP + name.encode())
    monkeypatch.chdir(tmp_path)
    async with Emulator(world(queue_seconds=0.02, analysis_seconds=(0.05, 0.1))) as running:
        monkeypatch.setenv("OCHY_BASE_URL", running.url)
        yield running


async def outcomes_of(ochy: OchySession, tmp_path: Path, **settings: Any) -> list[Any]:
    """The outcomes of a batch over the two clips, one of which is seen from behind."""
    items = [(tmp_path / "clips" / "anna.mp4", SideView()), (tmp_path / "clips" / "ben.mp4", BackView())]
    async with ochy.batch(**settings) as batch:
        return [outcome async for outcome in batch.run(cast("Any", items))]


def pages(folder: Path) -> dict[str, str]:
    """The pages by the first word of their names, without the overview."""
    paths = [path for path in folder.glob("*.html") if path.name != "index.html"]
    return {path.name.partition(".")[0]: path.read_text(encoding="utf-8") for path in paths}


async def test_outcomes_of_a_batch_are_pages_with_curves(emulator: Emulator, tmp_path: Path) -> None:
    """The landmarks are found in the files that the batch has kept, by a generator's outcomes too."""
    async with real_session(emulator) as ochy:
        ochy = ochy.with_options(polling=QUICK)
        outcomes = await outcomes_of(ochy, tmp_path, out=tmp_path / "out", keep=["raw_data"])
    assert write_report((each for each in outcomes), tmp_path / "pages") == tmp_path / "pages" / "index.html"
    found = pages(tmp_path / "pages")
    assert found.keys() == {"anna", "ben"}
    assert CURVE in found["anna"]
    assert "Pelvic drop" in found["ben"]


async def test_outcomes_without_landmarks_are_pages_that_say_so(emulator: Emulator, tmp_path: Path) -> None:
    """A batch without an output folder keeps nothing, and its outcomes are enough for the scores."""
    async with real_session(emulator) as ochy:
        outcomes = await outcomes_of(ochy.with_options(polling=QUICK), tmp_path)
    write_report(outcomes, tmp_path / "pages")
    found = pages(tmp_path / "pages")
    assert found.keys() == {"anna", "ben"}
    for page in found.values():
        assert CURVE not in page
        assert "keep=[&#34;raw_data&#34;]" in page
        assert "All parts" in page


async def test_results_are_pages(emulator: Emulator, tmp_path: Path) -> None:
    """Results of both views, as `analyze` and `wait` return them, beside an outcome."""
    async with real_session(emulator) as ochy:
        ochy = ochy.with_options(polling=QUICK)
        side = await ochy.analyze(CLIP, SideView())
        back = await ochy.analyze(CLIP + b"back", BackView())
        (outcome, _) = await outcomes_of(ochy, tmp_path)
    assert isinstance(outcome, Analyzed)
    write_report([side, back, outcome], tmp_path / "pages")
    names = {path.name for path in (tmp_path / "pages").glob("analysis.*.html")}
    assert names == {f"analysis.{each.analysis_id}.html" for each in (side, back)}
    overview = (tmp_path / "pages" / "index.html").read_text(encoding="utf-8")
    assert all(f'href="{name}"' in overview for name in names)


@pytest.mark.parametrize("source", [["results"], [None], [b"..."]], ids=repr)
def test_anything_else_is_refused(source: Any, tmp_path: Path) -> None:
    """The error says what a report is made of, and nothing is written."""
    with pytest.raises(InvalidSettings, match=r"outcomes of a batch or of results, not of (str|NoneType|bytes)\."):
        write_report(source, tmp_path / "pages")
    assert not (tmp_path / "pages").exists()


def test_the_batch_example_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    """It prints the path of the overview; both clips have a page with curves."""
    from anyio.from_thread import start_blocking_portal

    for name in ("anna.mp4", "ben.mp4"):
        (tmp_path / "clips").mkdir(exist_ok=True)
        (tmp_path / "clips" / name).write_bytes(CLIP + name.encode())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(asyncio, "run", run_accelerated)
    running = Emulator(world(queue_seconds=0.02, analysis_seconds=(0.05, 0.1)))
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(running):
        monkeypatch.setenv("OCHY_BASE_URL", running.url)
        run_block("batch.run")
    assert capsys.readouterr().out == f"2 analyses: {Path('pages', 'index.html')}\n"
    assert [CURVE in page for page in pages(tmp_path / "pages").values()] == [True, True]


async def test_a_service_answers_with_a_page_and_its_loop_goes_on(emulator: Emulator) -> None:
    """The page has everything that a page in a folder has, but no link to an overview; other tasks of the loop run
    while it is made."""
    turns, page = 0, ""

    async def others() -> None:
        nonlocal turns
        while True:
            await checkpoint()
            turns += threading.active_count() > quiet

    async with real_session(emulator) as ochy, anyio.create_task_group() as tasks:
        quiet = threading.active_count()
        tasks.start_soon(others)
        page = await run_block("async def page")["page"](ochy.with_options(polling=QUICK), CLIP)
        tasks.cancel_scope.cancel()
    assert all(words in page for words in ("Mia", "All parts", "Ground contact", CURVE, 'id="data"'))
    assert "index.html" not in page
    assert turns


async def test_a_page_of_results_alone_says_what_is_missing(emulator: Emulator) -> None:
    """It names no command or folder, which a service does not have, and its runner by the id."""
    async with real_session(emulator) as ochy:
        results = await ochy.with_options(polling=QUICK).analyze(CLIP, SideView(language="fr"))
    page = report_page(results, language="fr")
    assert "There are no landmarks of this analysis" in page
    assert "--keep" not in page
    assert f">{results.analysis_id}</h1>" in page
    assert 'lang="fr"' in page
    assert "<img" not in page


@pytest.mark.parametrize(("picture", "shown"), [(b"\xff\xd8\xff\xe0", True), (b"<svg onload=alert(1)>", False)])
async def test_a_picture_that_is_no_jpeg_is_left_out(emulator: Emulator, picture: bytes, *, shown: bool) -> None:
    """A page holds no other kind of file, whoever gave it."""
    async with real_session(emulator) as ochy:
        results = await ochy.with_options(polling=QUICK).analyze(CLIP, SideView())
    assert ("<img" in report_page(results, thumbnail=picture)) is shown


async def test_a_page_of_two_views_is_refused(emulator: Emulator) -> None:
    """Results and calculated data of different views cannot be of one analysis."""
    async with real_session(emulator) as ochy:
        ochy = ochy.with_options(polling=QUICK)
        results = await ochy.analyze(CLIP, SideView())
        other = await ochy.start(CLIP + b"back", BackView())
        await ochy.wait(other)
        calculated = await ochy.calculated_data(other)
    with pytest.raises(InvalidSettings, match=r"results are of a side view, the calculated data of a back view\."):
        report_page(results, calculated=calculated)
    with pytest.raises(InvalidSettings, match=r"not of str\."):
        report_page(cast("Any", "results"))


def test_simulated_results_say_so_on_their_pages_only(tmp_path: Path) -> None:
    """A folder may hold results of both kinds; the overview then says that some are simulated."""
    lines = [record(0, simulated=True), record(1, simulated=False), record(2)]
    overview = write_report(write_records(tmp_path, *lines))
    pages = [(overview.parent / f"run-{number}.analysis-{number}.html").read_text("utf-8") for number in range(3)]
    assert ["Simulated results" in page for page in pages] == [True, False, False]
    assert "Some of these results are simulated" in overview.read_text("utf-8")
    both = write_report(write_records(tmp_path, *lines[:1]), notice="For the club.").read_text("utf-8")
    assert re.findall(r'<p class="notice">([^<.]*)', both) == [
        "For the club",
        "Simulated results from the emulator of ochy-async",
    ]


def test_the_emulator_is_known_by_its_key() -> None:
    """The session, outcomes and records say so, and nothing else has this key."""
    assert OchySession(DEFAULT_KEY).simulated
    assert not OchySession("another-key").simulated


async def test_a_run_against_the_emulator_is_recorded_as_simulated(tmp_path: Path) -> None:
    """In the outcome and in `results.jsonl`, from where its pages know it."""
    async with (
        Emulator(EmulatorSettings(queue_seconds=0.02, analysis_seconds=(0.05, 0.1))) as emulator,
        OchySession(emulator.api_key, base_url=emulator.url, polling=QUICK, preflight="off") as ochy,
        ochy.batch(SideView(), out=tmp_path / "out") as batch,
    ):
        (outcome,) = [outcome async for outcome in batch.run([CLIP])]
    assert outcome.simulated
    (saved,) = load_records(tmp_path / "out" / "results.jsonl")
    assert saved.raw["simulated"] is True
    assert "Simulated results" in write_report([outcome], tmp_path / "pages").read_text("utf-8")
