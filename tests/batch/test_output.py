"""What a batch saves of its clips: files that are complete or absent, and tables that are complete or reported."""

from __future__ import annotations

import csv
import json
import os
import re
import stat
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from anyio import create_task_group, fail_after, run_process, sleep
from attrs import define, evolve

from ochy_async import BackView, OchySession, Retry, SideView
from ochy_async.batch.engine import Batch
from ochy_async.batch.outcomes import Analyzed, Outcome
from ochy_async.batch.output.folder import ARTIFACT_FILES, OutputFolder, file_stem, safe_id, write_output
from ochy_async.batch.records import OutcomeRecord
from ochy_async.emulator import (
    Emulator,
    Fault,
    FaultEffect,
    FaultPlan,
    FaultRule,
    Redirect,
    ReplaceBody,
    Respond,
    Service,
    ServiceResponse,
    Throttle,
    sample_clip,
)
from ochy_async.emulator.assessments import side_view_results
from ochy_async.emulator.handlers import STORAGE
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import InvalidSettings, OutputError
from ochy_async.journal.memory import MemoryJournal
from ochy_async.policy.limits import Limits
from ochy_async.protocol.routes import CALCULATED_DATA, RAW_DATA, RESULTS, START
from tests.conftest import Recorded, direct_session, real_session, world
from tests.support.canary import API_KEY
from tests.support.simulated_runners import make_runner

Outcomes = list[Outcome[Any, Any]]
STORED = f"GET {STORAGE}"
ALL = tuple(ARTIFACT_FILES)
anyio_test = pytest.mark.anyio


def clips(count: int) -> list[bytes]:
    return [sample_clip(number, size=300) for number in range(count)]


async def batched(ochy: OchySession, source: Any, **settings: Any) -> Outcomes:
    """All outcomes of one batch, in the order of the input."""
    async with ochy, ochy.batch(settings.pop("request", SideView()), **settings) as batch:
        return sorted([outcome async for outcome in batch.run(source)], key=lambda outcome: outcome.index)


async def one(ochy: OchySession, source: Any = None, **settings: Any) -> Analyzed[Any, Any]:
    """The outcome of a batch of one clip."""
    (outcome,) = await batched(ochy, source or clips(1), **settings)
    assert isinstance(outcome, Analyzed)
    return outcome


def faulty(route: str, *faults: Fault) -> Recorded:
    """A server that meets the first requests of a route with these faults, one each, and records all requests."""
    return Recorded(FaultPlan([FaultRule(route, fault, occurrence=n) for n, fault in enumerate(faults, 1)]))


@define
class Cut:
    """A file that arrives slowly and is interrupted."""

    keep: int = 20_000

    def effect(self) -> FaultEffect:
        return FaultEffect(sent_limit=self.keep, response_rate=self.keep * 10)


@pytest.fixture
async def emulator() -> AsyncGenerator[Emulator]:
    """Analyses take no time here: these tests are about what follows them."""
    async with Emulator(world(analysis_seconds=(0.5, 0.5)), speed=50) as running:
        yield running


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


# --- options --------------------------------------------------------------------------------------

NONSENSE: list[tuple[dict[str, Any], str]] = [
    ({"keep": ("video",), "out": "x"}, "keep must be"),
    ({"keep": "calculated", "out": "x"}, "keep must be"),
    ({"keep": ("calculated", "raw_data", "thumbnail")}, "raw_data, thumbnail: files need a folder"),
    ({"keep": ("thumbnail",), "out": "x"}, "need a storage"),
]


@pytest.mark.parametrize(("settings", "words"), NONSENSE, ids=str)
def test_invalid_options_are_refused_when_the_batch_is_made(settings: dict[str, Any], words: str) -> None:
    """Nothing is opened and nothing is bought."""
    with pytest.raises(InvalidSettings, match=words):
        direct_session().batch(SideView(), **settings)


def test_calculated_data_need_no_folder() -> None:
    """The journal stores them, so the next run needs no request for them."""
    service, journal, faults = Service(world()), MemoryJournal(), Recorded()
    for _ in range(2):
        ochy = direct_session(service, faults)
        outcome = in_virtual_time(one(ochy, journal=journal, keep=("calculated",)))
        assert outcome.calculated is not None
        assert outcome.calculated.metrics.cadence > 100
        assert not outcome.missing
    assert faults.routes.count(str(CALCULATED_DATA)) == 1


def test_calculated_data_that_fail_are_missing_and_fetched_later() -> None:
    """The outcome has results, names what is missing and why; the next run fetches it."""

    async def story() -> tuple[Analyzed[Any, Any], Analyzed[Any, Any]]:
        service, journal = Service(world()), MemoryJournal()
        faults = faulty(str(CALCULATED_DATA), Respond(400))
        first = await one(direct_session(service, faults), journal=journal, keep=("calculated",))
        return first, await one(direct_session(service), journal=journal, keep=("calculated",))

    first, second = in_virtual_time(story())
    assert first.missing == ("calculated",)
    assert first.reason.startswith("calculated: ")
    assert second.calculated is not None
    assert not second.bought


def test_one_clip_given_twice_is_collected_once() -> None:
    """The second finds the files of the first, so no two tasks write the same entry at once."""
    faults = Recorded()
    source = clips(1) * 3
    outcomes = in_virtual_time(batched(direct_session(faults=faults), source, keep=("calculated",)))
    assert all(isinstance(outcome, Analyzed) and outcome.calculated for outcome in outcomes)
    assert faults.routes.count(str(CALCULATED_DATA)) == 1


# --- files ----------------------------------------------------------------------------------------


@anyio_test
async def test_all_artifacts_are_saved_and_fetched_once(emulator: Emulator, out: Path) -> None:
    """Five files named after the id, none with a link; the next run sends no request at all."""
    emulator.faults = faults = Recorded()
    settings: dict[str, Any] = {"journal": out.parent / "clips.journal", "out": out, "keep": ALL}
    first = await one(real_session(emulator), **settings)
    assert not first.missing
    names = ("results.json", *ARTIFACT_FILES.values())
    assert [path.name for path in first.files] == [f"clip_1.{first.analysis_id}.{name}" for name in names]
    analysis = json.loads(file_of(first, "results.json"))["biomechanical_analysis"]
    assert analysis == first.results.raw["biomechanical_analysis"]
    assert first.calculated is not None
    assert json.loads(file_of(first, "calculated.json")) == first.calculated.raw
    assert json.loads(file_of(first, "raw_data.json"))["frames"]
    assert file_of(first, "thumbnail.jpg")[:2] == b"\xff\xd8"
    assert file_of(first, "output_video.mp4")[4:8] == b"ftyp"
    sent = len(faults.routes)
    second = await one(real_session(emulator), **settings)
    assert len(faults.routes) == sent
    assert (second.files, second.calculated) == (first.files, first.calculated)
    assert not leftovers(out)


def found(folder: Path, pattern: str) -> list[Path]:
    """The files of a folder whose names match a pattern."""
    return sorted(folder.glob(pattern))


def leftovers(folder: Path) -> list[Path]:
    """The temporary files that a finished run must not leave."""
    return [*found(folder, ".*"), *found(folder, "*.part"), *found(folder, "*.etag")]


def file_of(outcome: Analyzed[Any, Any], name: str) -> bytes:
    (path,) = [path for path in outcome.files if path.name.endswith(name)]
    return path.read_bytes()


@anyio_test
async def test_an_interrupted_download_is_resumed(emulator: Emulator, out: Path) -> None:
    """Within a run and by the next run; bytes that have arrived are not fetched again."""
    seen = ranges(emulator)
    emulator.faults = faulty(STORED, Cut(), Cut())
    settings: dict[str, Any] = {"journal": MemoryJournal(), "out": out, "keep": ("output_video",)}
    first = await one(real_session(emulator, retry=Retry(attempts=2, first_delay=0)), **settings)
    assert first.missing == ("output_video",)
    (part,) = found(out, "*.mp4.part")
    came = part.stat().st_size
    second = await one(real_session(emulator), **settings)
    assert seen[0] is None
    assert seen[1] is not None
    assert seen[2] == f"bytes={came}-"
    assert file_of(second, "output_video.mp4") == await complete(emulator, out)


@anyio_test
async def test_a_run_that_is_left_during_a_download_is_resumed_by_the_next(emulator: Emulator, out: Path) -> None:
    """Nothing goes on after the block; the next run fetches the rest."""
    journal, seen = MemoryJournal(), ranges(emulator)
    emulator.faults = faulty(STORED, Throttle(20_000))
    settings: dict[str, Any] = {"journal": journal, "out": out, "keep": ("output_video",)}
    async with (
        real_session(emulator) as ochy,
        ochy.batch(SideView(), **settings) as batch,
        create_task_group() as tasks,
    ):
        tasks.start_soon(printed, batch, [], 1)
        with fail_after(10):
            while not any(part.stat().st_size for part in found(out, "*.mp4.part")):  # noqa: ASYNC110 - no event
                await sleep(0.01)
        tasks.cancel_scope.cancel()
    came = found(out, "*.mp4.part")[0].stat().st_size
    outcome = await one(real_session(emulator), **settings)
    assert seen == [None, f"bytes={came}-"]
    assert file_of(outcome, "output_video.mp4") == await complete(emulator, out)


def ranges(emulator: Emulator) -> list[str | None]:
    """The Range header of every request to the storage from now on."""
    seen: list[str | None] = []
    handle = emulator.service.handle

    def watched(request: Any, now: float) -> Any:
        if request.path.startswith("/storage/"):
            seen.append(request.headers.get("range"))
            assert "apiKey" not in request.query
            assert API_KEY not in str(dict(request.headers))
        return handle(request, now)

    emulator.service.handle = watched  # type: ignore[method-assign]
    return seen


async def complete(emulator: Emulator, out: Path) -> bytes:
    """The video of the first clip, downloaded without faults."""
    emulator.faults = None
    return file_of(await one(real_session(emulator), out=out.parent / "other", keep=("output_video",)), "video.mp4")


@define
class OtherFile:
    """A different file, sent from its beginning although a range was requested."""

    def effect(self) -> FaultEffect:
        return FaultEffect(response=lambda _: ServiceResponse(200, {"etag": '"other"'}, b"other content"))


@define
class OtherRange:
    """The requested range of a different file: the storage ignored If-Range."""

    def effect(self) -> FaultEffect:
        return FaultEffect(response=lambda answer: evolve(answer, headers={**answer.headers, "etag": '"other"'}))


@anyio_test
@pytest.mark.parametrize(
    ("change", "etag"), [(OtherFile(), True), (OtherRange(), True), (Respond(416), True), (Cut(1), False)]
)
async def test_parts_of_two_files_are_never_joined(emulator: Emulator, out: Path, change: Fault, etag: bool) -> None:
    """After other content, an unavailable range or a missing ETag, the download starts at 0."""
    settings: dict[str, Any] = {"journal": MemoryJournal(), "out": out, "keep": ("output_video",)}
    emulator.faults = faulty(STORED, Cut())
    await one(real_session(emulator, retry=Retry(attempts=1)), **settings)
    (part,) = found(out, "*.mp4.part")
    part.write_bytes(b"x" * part.stat().st_size)
    if not etag:
        found(out, "*.etag")[0].unlink()
    emulator.faults = faulty(STORED, change)
    content = file_of(await one(real_session(emulator), **settings), "output_video.mp4")
    assert content == b"other content" if isinstance(change, OtherFile) else content == await complete(emulator, out)


@define
class ShortRange:
    """A range that ends earlier than requested, as its head says."""

    def effect(self) -> FaultEffect:
        return FaultEffect(response=self._shorter)

    def _shorter(self, answer: ServiceResponse) -> ServiceResponse:
        first, total = answer.headers["content-range"].removeprefix("bytes ").replace("-", "/").split("/")[::2]
        span = f"bytes {first}-{int(first) + 999}/{total}"
        return ServiceResponse(206, {**answer.headers, "content-range": span}, answer.body[:1000])


@anyio_test
async def test_a_range_may_end_earlier_than_requested(emulator: Emulator, out: Path) -> None:
    """The rest is requested; an incomplete file is not renamed."""
    emulator.faults = faulty(STORED, Cut(), ShortRange())
    outcome = await one(real_session(emulator), out=out, keep=("output_video",))
    assert not outcome.missing
    assert file_of(outcome, "output_video.mp4") == await complete(emulator, out)


@anyio_test
async def test_an_expired_link_is_renewed(out: Path) -> None:
    """By the results call, which costs nothing."""
    shift = [0.0]

    class Late(Recorded):
        def fault_for(self, route: str, count: int) -> Fault | None:
            shift[0] += 4000 if route == STORED and STORED not in self.routes else 0
            return super().fault_for(route, count)

    faults = Late()
    async with Emulator(world(), faults, speed=50, clock=lambda: time.time() + shift[0]) as emulator:
        outcome = await one(real_session(emulator), out=out, keep=("thumbnail",))
        assert not outcome.missing
        assert emulator.service.count(STORED, 403) == 1
    assert faults.routes[-3:] == [STORED, str(RESULTS), STORED]


BAD = {
    "redirect": (Redirect("http://127.0.0.1:1/x"), "redirect"),
    "oversize": (ReplaceBody(b"x" * 10_001), "larger than 10,000 bytes.*media_bytes"),
    "empty": (ReplaceBody(b""), "empty"),
    "dead for good": (Respond(410), "410"),
    "compressed": (ReplaceBody(headers={"content-encoding": "gzip"}), "compressed"),
}


@anyio_test
@pytest.mark.parametrize(("fault", "words"), BAD.values(), ids=BAD)
async def test_a_rejected_file_is_reported_as_missing(emulator: Emulator, out: Path, fault: Fault, words: str) -> None:
    """The outcome names it with the reason; the clip is analyzed all the same."""
    emulator.faults = faulty(STORED, *[fault] * 8)
    limits = Limits(stall=5, call=10, media_bytes=10_000)
    outcome = await one(real_session(emulator, limits=limits), out=out, keep=("thumbnail",))
    assert outcome.missing == ("thumbnail",)
    assert outcome.reason
    assert re.search(words, outcome.reason)
    assert not found(out, "*.jpg")


@anyio_test
async def test_a_file_of_the_wrong_length_is_never_saved(emulator: Emulator, out: Path) -> None:
    """However often it is sent: the announced number of bytes has to arrive."""
    emulator.faults = faulty(STORED, *[Cut(900)] * 8)  # also for the answers without a range, which are no attempts
    ochy = real_session(emulator, retry=Retry(attempts=3, first_delay=0))
    outcome = await one(ochy, out=out, keep=("thumbnail",))
    assert outcome.missing == ("thumbnail",)
    assert not found(out, "*.jpg")


@anyio_test
async def test_links_in_raw_data_are_masked(emulator: Emulator, out: Path) -> None:
    """Without links the bytes are unchanged; a proxy's page is rejected as raw data."""
    page, linked = b"<html>", b'{"video": "https://x/?signature=1", "frames": {"1": 0.10}}'
    emulator.faults = faulty(
        str(RAW_DATA), ReplaceBody(page), ReplaceBody(linked), ReplaceBody(b'{"frames": {"1": 0.10}} ')
    )
    settings: dict[str, Any] = {"journal": MemoryJournal(), "out": out, "keep": ("raw_data",)}
    assert (await one(real_session(emulator), **settings)).missing == ("raw_data",)
    masked = await one(real_session(emulator), **settings)
    assert json.loads(file_of(masked, "raw_data.json")) == {"video": "[link]", "frames": {"1": 0.1}}
    masked.files[-1].unlink()
    assert file_of(await one(real_session(emulator), **settings), "raw_data.json") == b'{"frames": {"1": 0.10}} '


HOSTILE = (
    "../../etc/passwd",
    "..",
    ".",
    ".hidden",
    "-rf",
    "a/b",
    "a\\b",
    "a" * 300,
    "ü",
    "nul\x00",
    "id-0",
    "",
    "A1",
    "con",
    "com1",
    "nul",
    "a.b",
    "\ud800",
)


@pytest.mark.parametrize("analysis_id", HOSTILE)
def test_unsafe_ids_become_digests(analysis_id: str) -> None:
    """Each has its own digest; a safe id is unchanged."""
    name = safe_id(analysis_id)
    assert name.startswith("id-")
    assert len(name) == 35
    assert name.isascii()
    assert safe_id(name) != name
    assert safe_id("a1b2_-") == "a1b2_-"


@define
class FixedAnswer:
    """Gives the same answer to every request."""

    body: Any

    def effect(self) -> FaultEffect:
        return FaultEffect(
            response=lambda _: ServiceResponse(
                200, {"content-type": "application/json"}, json.dumps(self.body).encode()
            )
        )


@anyio_test
async def test_a_hostile_id_stays_in_the_folder(emulator: Emulator, out: Path) -> None:
    """Whatever id the server sends, no file is written elsewhere."""
    evil = {"video_id": "../../evil"}
    analysis = side_view_results(make_runner(), language="en")
    done = FixedAnswer({**evil, "status": "success", "biomechanical_analysis": analysis})
    emulator.faults = FaultPlan([FaultRule(str(START), FixedAnswer(evil)), FaultRule(str(RESULTS), done)])
    outcome = await one(real_session(emulator), out=out, keep=())
    assert outcome.analysis_id == evil["video_id"]
    (path,) = outcome.files
    assert path.parent == out
    assert [each.name for each in found(out, "*")] == sorted([path.name, "results.csv", "results.jsonl"])


LABELS = {
    "morning-run.mp4": "morning-run",
    "clips/morning-run.MOV": "morning-run",
    "clips\\morning-run.mp4": "morning-run",
    "no ending": "no_ending",
    "a.b.mp4": "a.b",
    "notes.txt": "notes.txt",
    "../..": "clip",
    ".mp4": "mp4",
    "CON.mp4": "_CON",
    "nul.x.mp4": "_nul.x",
    "com¹.mp4": "_com¹",
    "contour.mp4": "contour",
    'a<b>:"/c|d?*.mp4': "c_d",
    "tab\tline\nnul\0.mp4": "tab_line_nul",
    "-rf.mp4": "rf",
    "läufer 走る.mp4": "läufer_走る",
    "la\u0308ufer.mp4": "läufer",
    "\udcff.mp4": "clip",
    "": "clip",
}


@pytest.mark.parametrize(("label", "stem"), LABELS.items(), ids=map(ascii, LABELS))
def test_files_are_named_after_their_clip(label: str, stem: str) -> None:
    """The name holds nothing that any system forbids, reserves or takes for a path."""
    assert file_stem(label) == stem


def test_a_file_is_found_by_its_id_alone(out: Path) -> None:
    """It is named like other files of the analysis; a clip whose name resembles an id does not count."""
    folder = OutputFolder(out)
    folder.open()
    assert folder.file_path("", "1a", "thumbnail.jpg").name == "1a.thumbnail.jpg"
    for name in ("run.1a.2b.results.json", ".run.2b.results.json", "x.1a.other.json"):
        (out / name).write_bytes(b"")
    assert folder.file_path("", "1a", "thumbnail.jpg").name == "1a.thumbnail.jpg"
    assert folder.file_path("", "2b", "thumbnail.jpg").name == "run.1a.2b.thumbnail.jpg"
    (out / "1a.results.json").write_bytes(b"")
    assert folder.file_path("clip.mp4", "1a", "results.json").name == "1a.results.json"
    assert folder.file_path("clip.mp4", "1a", "thumbnail.jpg").name == "clip.1a.thumbnail.jpg"


@pytest.mark.parametrize("letter", ["a", "ü", "走", "𝒳"])
def test_long_names_are_cut_between_characters(letter: str, out: Path) -> None:
    """The limit counts bytes and leaves room for a draft, so every resulting file can be written."""
    stem = file_stem(letter * 300)
    assert len(stem.encode()) <= 96
    assert set(stem) == {letter}
    folder = OutputFolder(out)
    folder.open()
    path = folder.file_path(letter * 300, "f" * 100, "output_video.mp4.etag")
    write_output(path, b"content")
    assert path.read_bytes() == b"content"


@anyio_test
async def test_a_renamed_clip_keeps_its_files(emulator: Emulator, out: Path) -> None:
    """The journal knows their names: nothing is fetched or stored twice."""
    emulator.faults = faults = Recorded()
    clip = out.parent / "first name.mp4"
    clip.write_bytes(clips(1)[0])
    settings: dict[str, Any] = {"journal": out.parent / "clips.journal", "out": out, "keep": ALL}
    first = await one(real_session(emulator), [clip], **settings)
    sent = len(faults.routes)
    second = await one(real_session(emulator), [clip.rename(out.parent / "second name.mp4")], **settings)
    assert len(faults.routes) == sent
    assert second.files == first.files
    assert first.files[0].name == f"first_name.{first.analysis_id}.results.json"


@anyio_test
async def test_two_clips_of_one_name_have_separate_files(emulator: Emulator, out: Path) -> None:
    """The id in the name distinguishes them."""
    paths = [out.parent / folder / "run.mp4" for folder in ("monday", "tuesday")]
    for path, content in zip(paths, clips(2), strict=True):
        path.parent.mkdir()
        path.write_bytes(content)
    first, second = await batched(real_session(emulator), paths, out=out, keep=())
    assert [path.name for each in (first, second) for path in each.files] == [  # type: ignore[union-attr]
        f"run.{each.analysis_id}.results.json" for each in (first, second)
    ]


@anyio_test
async def test_a_results_folder_saves_paid_analyses(emulator: Emulator, out: Path) -> None:
    """Without a batch: the same files, and a row in the table for an added record."""
    async with real_session(emulator) as ochy:
        folder = ochy.results_folder(out, keep=("calculated", "thumbnail"))
        with pytest.raises(InvalidSettings, match="not open"):
            await folder.finish()
        started = await ochy.start(clips(1)[0], SideView())
        async with folder:
            collected = await folder.save(started, await ochy.wait(started))
            await folder.add(OutcomeRecord(word="analyzed", analysis_id=started.analysis_id).to_json())
    names = [f"{started.analysis_id}.{name}" for name in ("results.json", "calculated.json", "thumbnail.jpg")]
    assert [path.name for path in collected.files] == names
    assert not collected.missing
    assert collected.calculated.metrics.cadence > 100
    assert [row["analysis_id"] for row in rows(out / "results.csv")] == [started.analysis_id]


def test_a_file_is_renamed_once_its_content_is_on_the_disk(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First the file is synced, then renamed, then its folder synced: a power cut leaves no empty file."""
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def recorded_fsync(handle: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def recorded_replace(path: Path, target: Path) -> Path:
        steps.append("name")
        return replace(path, target)

    out.mkdir()
    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(Path, "replace", recorded_replace)
    write_output(out / "a", b"content")
    assert steps == ["file", "name", "folder"]
    assert (out / "a").read_bytes() == b"content"


# --- tables ---------------------------------------------------------------------------------------


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@anyio_test
async def test_the_tables_hold_every_outcome(emulator: Emulator, out: Path) -> None:
    """One row each, whatever the outcome; units in the header; no link anywhere."""
    source = [*clips(2), (sample_clip(7, size=300), BackView()), b"no video"]
    outcomes = await batched(real_session(emulator), source, out=out)
    table = rows(out / "results.csv")
    assert [row["index"] for row in table] == ["0", "1", "2", "3"]
    assert [row["outcome"] for row in table] == ["analyzed", "analyzed", "analyzed", "refused"]
    assert isinstance(outcomes[0], Analyzed)
    assert float(table[0]["total_score"]) == outcomes[0].results.total_score
    assert 100 < float(table[0]["cadence_steps_per_min"]) < 250
    assert table[0]["arm_score"]
    assert not table[0]["pronation_left_score"]
    assert table[2]["view"] == "back_view"
    assert table[2]["pronation_left_score"]
    assert table[3]["reason"]
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text(encoding="ascii").splitlines()]
    assert [line["index"] for line in lines] == [0, 1, 2, 3]
    assert "://" not in (out / "results.csv").read_text(encoding="utf-8") + json.dumps(lines)
    assert not leftovers(out)


@anyio_test
async def test_an_undecodable_name_is_written_escaped(emulator: Emulator, out: Path) -> None:
    """Half a surrogate pair from the file system does not prevent the CSV."""
    outcomes = await batched(real_session(emulator), [os.fsdecode(b"gone\xff.mp4")], out=out)
    assert outcomes[0].word == "refused"
    assert rows(out / "results.csv")[0]["file"] == "gone\\udcff.mp4"


# --- disks ----------------------------------------------------------------------------------------


@anyio_test
@pytest.mark.parametrize("place", ["file", "file/below", "\0"])
async def test_an_impossible_folder_is_refused_before_a_credit_is_spent(
    emulator: Emulator, tmp_path: Path, place: str
) -> None:
    """A file in its place, or an invalid path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        await batched(real_session(emulator), clips(1), out=tmp_path / place)
    assert not emulator.service.ledger


@anyio_test
async def test_a_folder_without_permission_is_refused_before_a_credit_is_spent(
    emulator: Emulator, tmp_path: Path
) -> None:
    """The error says what to do."""
    os.chmod(tmp_path, 0o500)  # noqa: PTH101 - in an async function
    ((word, _, reason),) = await run_with_file_limit(
        emulator, tmp_path / "out", 10**6, NOBODY if os.geteuid() == 0 else 0
    )
    os.chmod(tmp_path, 0o700)  # noqa: PTH101
    assert word == "error"
    assert "Grant write permission" in reason
    assert not emulator.service.ledger


NOBODY = 65534
"""Root may write everywhere; this user may not."""


@anyio_test
async def test_tables_that_cannot_be_written_cost_no_outcome(emulator: Emulator, out: Path) -> None:
    """All outcomes are returned; then an error says that the tables are incomplete."""
    (out / "results.jsonl").mkdir(parents=True)
    words: list[str] = []
    async with real_session(emulator) as ochy, ochy.batch(SideView(), out=out) as batch:
        with pytest.raises(OutputError, match=r"results\.jsonl' cannot be written"):
            await printed(batch, words)
    assert words == ["analyzed"] * 3
    assert not found(out, ".*")


async def printed(batch: Batch[Any, Any], words: list[str], count: int = 3) -> None:
    async for outcome in batch.run(clips(count)):
        words.append(outcome.word)  # noqa: PERF401 - outcomes before an error count


FULL = """
import asyncio, json, os, resource, sys
from anyio import to_thread
from ochy_async import Batch, OchySession, Polling, SideView
from ochy_async.emulator import sample_clip
from ochy_async.errors import OutputError

async def main(url, out, most, user):
    await to_thread.run_sync(int)  # later imports, also that of `Batch`, may not be readable for that user
    if user:
        os.setuid(user)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    clip = sample_clip(0, size=300)
    async with OchySession(base_url=url, polling=Polling(interval=0.05, shortest=0.02)) as ochy:
        try:
            async with ochy.batch(SideView(), out=out, keep=("calculated", "output_video")) as batch:
                async for outcome in batch.run([clip]):
                    print(json.dumps([outcome.word, outcome.missing, outcome.reason]))
        except OutputError as error:
            print(json.dumps(["error", [], str(error)]))

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
"""


async def run_with_file_limit(emulator: Emulator, out: Path, most: int, user: int = 0) -> list[Any]:
    """The outcomes of a batch in a process of its own (of a user) that can write no file larger than `most` bytes."""
    command = [sys.executable, "-c", FULL, emulator.url, str(out), str(most), str(user)]
    done = await run_process(command, check=True, stderr=None)
    return [json.loads(line) for line in done.stdout.splitlines()]


@anyio_test
async def test_a_full_disk(emulator: Emulator, out: Path) -> None:
    """Full from the start, nothing is bought. Full later, a file is missing and the outcome is there."""
    ((word, _, reason),) = await run_with_file_limit(emulator, out, 100)
    assert word == "error"
    assert "the disk is full" in reason
    assert not emulator.service.ledger
    ((word, missing, reason),) = await run_with_file_limit(emulator, out, 30_000)
    assert (word, missing) == ("analyzed", ["output_video"])
    assert "the disk is full" in reason
