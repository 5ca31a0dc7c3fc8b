"""`OchySession.download`: one file, complete or absent, resumed, with renewed links, and never with the API key."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, cast

import pytest
from anyio import create_task_group, fail_after, run_process, sleep, to_thread
from attrs import evolve

from ochy_async import BackView, Limits, OchySession, Retry, SideView, SideViewResults, Started
from ochy_async.emulator import Emulator, Fault, Redirect, ReplaceBody, Respond, RespondHtml, Throttle
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import (
    AnalysisFailed,
    ConnectionFailed,
    InvalidRequest,
    InvalidSettings,
    NotFound,
    NotReady,
    OchyError,
    OutputError,
    RequestRefused,
    UnreadableAnswer,
)
from ochy_async.protocol.answer import SignedUrl
from ochy_async.protocol.routes import RESULTS
from tests.batch.test_output import STORED, Cut, OtherRange, faulty, leftovers, ranges
from tests.conftest import CLIP, Recorded, direct_session, real_session, world

pytestmark = pytest.mark.anyio
ONCE = Retry(attempts=1)


@pytest.fixture
async def emulator() -> Any:
    """Analyses take no time here: these tests are about what follows them."""
    async with Emulator(world(analysis_seconds=(0.5, 0.5)), speed=50) as running:
        yield running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is saved; the folder holds nothing else."""
    return tmp_path / "run.mp4"


async def analyzed(ochy: OchySession) -> SideViewResults:
    return await ochy.analyze(CLIP, SideView(), name="a.mp4")


async def complete(ochy: OchySession, source: Any, folder: Path) -> bytes:
    """The video, downloaded without faults."""
    Path(folder, "whole").mkdir()  # noqa: ASYNC240
    return content(await ochy.download(source, folder / "whole" / "it"))


def names(path: Path) -> list[str]:
    """The names in the folder of a path."""
    return sorted(each.name for each in path.parent.iterdir())


def content(path: Path) -> bytes:
    return path.read_bytes()


def size(path: Path) -> int:
    """0 if there is no file."""
    return path.stat().st_size if path.exists() else 0


async def has_begun(part: Path) -> None:
    """Waits until some bytes have arrived."""
    with fail_after(10):
        while not size(part):  # noqa: ASYNC110 - there is no event for it
            await sleep(0.01)


def write(path: Path, text: str) -> None:
    path.write_text(text)


def open_files() -> list[str]:
    """All files that this process has open."""
    return [str(each.resolve()) for each in Path("/proc/self/fd").iterdir()]


# --- arguments ------------------------------------------------------------------------------------


async def test_a_file_is_fetched_to_its_path(ochy: OchySession, path: Path) -> None:
    """From results, one of their links (also as text), a start, or an id. It replaces an older file."""
    started = await ochy.start(CLIP, SideView(), name="a.mp4")
    results = await ochy.wait(started)
    assert results.output_video is not None
    write(path, "an older file")
    link = results.output_video
    for source in (results, link, link.reveal(), started, started.analysis_id):
        assert await ochy.download(source, path) == path
        assert content(path)[4:8] == b"ftyp"
        await to_thread.run_sync(path.unlink)
    assert await ochy.download(results, str(path), file="thumbnail") == path
    assert content(path)[:2] == b"\xff\xd8"
    assert names(path) == [path.name]


async def test_in_a_folder_the_file_is_named_after_the_analysis(ochy: OchySession, tmp_path: Path) -> None:
    """As a batch names it; a link alone has no name."""
    started = await ochy.start(CLIP, BackView(), name="a.mp4")
    results = await ochy.wait(started)
    names = [(await ochy.download(results, tmp_path, file=file)).name for file in ("output_video", "thumbnail")]
    assert names == [f"{started.analysis_id}.output_video.mp4", f"{started.analysis_id}.thumbnail.jpg"]
    assert results.thumbnail is not None
    with pytest.raises(InvalidRequest, match="path: is a folder"):
        await ochy.download(results.thumbnail, tmp_path)


NONSENSE: list[tuple[Any, Any, dict[str, Any], str]] = [
    (5, "x", {}, "source: must be results"),
    (None, "x", {}, "source: is None"),
    ("id", b"x", {}, "path: must be a path"),
    ("id", None, {}, "path: must be a path"),
    ("id", "x", {"file": "video"}, "file: must be one of output_video, thumbnail"),
    ("", "x", {}, "must be an id"),
]


@pytest.mark.parametrize(("source", "to", "more", "words"), NONSENSE)
async def test_invalid_arguments_are_refused_before_anything_is_sent(
    emulator: Emulator, source: Any, to: Any, more: dict[str, Any], words: str
) -> None:
    """The error does not repeat a link."""
    async with real_session(emulator) as ochy:
        with pytest.raises(InvalidRequest, match=words) as refused:
            await ochy.download(source, to, **more)
    assert "store" not in str(refused.value)
    assert not emulator.service.requests


def test_without_a_storage_nothing_can_be_fetched() -> None:
    """A custom transport needs a storage beside it."""

    async def story() -> None:
        async with direct_session() as ochy:
            await ochy.download("id", "x")

    with pytest.raises(InvalidSettings, match="need a storage"):
        in_virtual_time(story())


async def test_outside_of_its_block_a_session_fetches_nothing(emulator: Emulator, path: Path) -> None:
    """As with every other call."""
    ochy = real_session(emulator)
    async with ochy:
        results = await analyzed(ochy)
    with pytest.raises(InvalidSettings, match="not open"):
        await ochy.download(results, path)


async def test_an_analysis_without_results_has_no_file(path: Path) -> None:
    """Unfinished, failed or unknown: each error says which, and no file is left behind."""
    async with Emulator(world(analysis_seconds=(80_000, 80_000))) as emulator, real_session(emulator) as ochy:
        started = await ochy.start(CLIP, SideView(), name="a.mp4")
        with pytest.raises(NotReady) as early:
            await ochy.download(started, path)
        assert early.value.analysis_id == started.analysis_id
        emulator.faults = faulty(str(RESULTS), ReplaceBody(b'{"video_id": "x", "status": "failed"}'))
        with pytest.raises(AnalysisFailed):
            await ochy.download(started, path)
        emulator.faults = faulty(
            str(RESULTS),
            ReplaceBody(
                b'{"video_id": "x", "status": "success", '
                b'"biomechanical_analysis": {"analysis_content": {}, "total_score": 0.5}}'
            ),
        )
        with pytest.raises(UnreadableAnswer):
            await ochy.download(started, path)
        with pytest.raises(NotFound):
            await ochy.download("unknown", path)
    assert not names(path)


# --- transfers ------------------------------------------------------------------------------------


async def test_an_interrupted_transfer_is_resumed_within_the_call(emulator: Emulator, path: Path) -> None:
    """With Range and If-Range and without another results call; the storage never sees the key."""
    seen = ranges(emulator)
    async with real_session(emulator) as ochy:
        results = await analyzed(ochy)
        emulator.faults = faults = faulty(STORED, Cut(), Cut())
        await ochy.download(results, path)
        assert len(seen) == 3
        assert seen[0] is None
        assert None not in seen[1:]
        assert set(faults.routes) == {STORED}
        assert content(path) == await complete(ochy, results, path.parent)
    assert not leftovers(path.parent)


async def test_a_second_call_resumes_the_first(emulator: Emulator, path: Path) -> None:
    """In another session too. The file has its name only once it is complete."""
    async with real_session(emulator, retry=ONCE) as ochy:
        results = await analyzed(ochy)
        emulator.faults = faulty(STORED, Cut())
        with pytest.raises(ConnectionFailed) as interrupted:
            await ochy.download(results, path)
    assert interrupted.value.analysis_id == results.raw["video_id"]
    assert names(path) == ["run.mp4.etag", "run.mp4.part"]
    came = size(path.with_name("run.mp4.part"))
    seen = ranges(emulator)
    async with real_session(emulator) as ochy:
        await ochy.download(results, path)
        assert seen == [f"bytes={came}-"]
        assert content(path) == await complete(ochy, results, path.parent)


async def test_a_part_of_another_file_is_discarded(emulator: Emulator, path: Path) -> None:
    """The emulator gives video and thumbnail of one clip the same ETag, as storages may: the path alone proves
    nothing."""
    seen = ranges(emulator)
    async with real_session(emulator, retry=ONCE) as ochy:
        results = await analyzed(ochy)
        emulator.faults = faulty(STORED, Cut(200))
        with pytest.raises(ConnectionFailed):
            await ochy.download(results, path)
        thumbnail = content(await ochy.download(results, path, file="thumbnail"))
        assert seen == [None, None]
        assert thumbnail[:2] == b"\xff\xd8"
        assert thumbnail[-2:] == b"\xff\xd9"


async def test_parts_of_two_files_are_never_joined(emulator: Emulator, path: Path) -> None:
    """A range with another ETag than requested makes the download start at 0."""
    async with real_session(emulator, retry=ONCE) as ochy:
        results = await analyzed(ochy)
        emulator.faults = faulty(STORED, Cut(), OtherRange())
        with pytest.raises(ConnectionFailed):
            await ochy.download(results, path)
        part = path.with_name("run.mp4.part")
        write(part, "x" * size(part))
        await ochy.download(results, path)
        assert content(path) == await complete(ochy, results, path.parent)


def without_link(results: SideViewResults) -> SideViewResults:
    """The results as they are saved."""
    return cast("SideViewResults", evolve(cast("Any", results), output_video=None))


@pytest.mark.parametrize("saved", [True, False])
async def test_an_expired_link_is_renewed(path: Path, saved: bool) -> None:
    """Results with expired links or without links suffice; a link alone cannot be renewed, and the error says so."""
    shift = [0.0]
    faults = Recorded()
    async with (
        Emulator(world(), faults, speed=50, clock=lambda: time.time() + shift[0]) as emulator,
        real_session(emulator) as ochy,
    ):
        results = await analyzed(ochy)
        assert results.output_video is not None
        shift[0] = 4000
        given = results if not saved else without_link(results)
        faults.routes.clear()
        await ochy.download(given, path)
        assert faults.routes == [*([STORED] if not saved else []), str(RESULTS), STORED]
        with pytest.raises(RequestRefused, match="fresh link"):
            await ochy.download(results.output_video, path.with_name("other"))
    assert names(path) == [path.name]


async def test_a_link_that_stays_expired_is_an_error(emulator: Emulator, path: Path) -> None:
    """After a few fresh links, with the id of the analysis."""
    async with real_session(emulator) as ochy:
        results = await analyzed(ochy)
        emulator.faults = faults = faulty(STORED, *[Respond(403)] * 9)
        with pytest.raises(RequestRefused) as dead:
            await ochy.download(results, path)
    assert dead.value.analysis_id == results.raw["video_id"]
    assert faults.routes.count(STORED) == 4
    assert not names(path)


BAD = {
    "redirect": (Redirect("http://127.0.0.1:1/x"), "redirect"),
    "oversize": (ReplaceBody(b"x" * 10_001), "larger than 10,000 bytes.*media_bytes"),
    "empty": (ReplaceBody(b""), "empty"),
    "compressed": (ReplaceBody(headers={"content-encoding": "gzip"}), "compressed"),
}


@pytest.mark.parametrize(("fault", "words"), BAD.values(), ids=BAD)
async def test_a_rejected_file_leaves_nothing(emulator: Emulator, path: Path, fault: Fault, words: str) -> None:
    """Not even an empty part; a file that was there before is unchanged."""
    write(path, "an older file")
    async with real_session(emulator, limits=Limits(stall=5, call=10, media_bytes=10_000)) as ochy:
        results = await analyzed(ochy)
        emulator.faults = faulty(STORED, fault)
        with pytest.raises(UnreadableAnswer, match=words):
            await ochy.download(results, path)
    assert names(path) == [path.name]
    assert content(path) == b"an older file"


@pytest.mark.parametrize("link", ["http://example.org/x", "ftp://x/y", "https://a:b@x/y", "//x", ""])
async def test_a_link_to_an_insecure_address_is_not_followed(emulator: Emulator, path: Path, link: str) -> None:
    """Only https, or http on this machine; nothing is sent, and the error does not repeat the link."""
    async with real_session(emulator) as ochy:
        with pytest.raises(UnreadableAnswer, match="was not fetched") as refused:
            await ochy.download(SignedUrl(link), path)
    assert not link or link not in str(refused.value)
    assert not names(path)


async def test_errors_of_the_storage_are_retried(emulator: Emulator, path: Path) -> None:
    """By the retry policy, as with every call."""
    async with real_session(emulator) as ochy:
        results = await analyzed(ochy)
        emulator.faults = faulty(STORED, RespondHtml(502), Respond(503), Respond(429))
        await ochy.download(results, path)
    assert names(path) == [path.name]


async def test_a_transfer_that_stalls_ends_within_its_deadline(emulator: Emulator, path: Path) -> None:
    """What has arrived stays for the next call."""
    async with real_session(emulator) as ochy:
        results = await analyzed(ochy)
    emulator.faults = faulty(STORED, Throttle(2_000))
    limits = Limits(stall=5, call=0.3, upload_rate=1e6)
    async with real_session(emulator, retry=ONCE, limits=limits) as ochy:
        with fail_after(5), pytest.raises(OchyError, match="deadline"):
            await ochy.download(results, path)
    assert "run.mp4" not in names(path)


@pytest.mark.skipif(sys.platform != "linux", reason="counts open files in /proc")
async def test_a_cancelled_transfer_leaves_no_open_file(emulator: Emulator, path: Path) -> None:
    """Only its part, which the next call resumes."""
    seen = ranges(emulator)
    async with real_session(emulator) as ochy:
        results = await analyzed(ochy)
        emulator.faults = faulty(STORED, Throttle(20_000))
        part = path.with_name("run.mp4.part")
        async with create_task_group() as tasks:
            tasks.start_soon(ochy.download, results, path)
            await has_begun(part)
            tasks.cancel_scope.cancel()
        assert not [each for each in open_files() if str(path.parent) in each]
        came = part.stat().st_size
        await ochy.download(results, path)
    assert seen == [None, f"bytes={came}-"]
    assert names(path) == [path.name]


@pytest.mark.skipif(sys.platform == "win32", reason="no locks there: the second cannot give the file its name")
async def test_two_downloads_never_write_one_file(emulator: Emulator, path: Path) -> None:
    """The second fails at once; the first completes."""
    async with real_session(emulator) as ochy:
        results = await analyzed(ochy)
        emulator.faults = faulty(STORED, Throttle(60_000))
        part = path.with_name("run.mp4.part")
        async with create_task_group() as tasks:
            tasks.start_soon(ochy.download, results, path)
            await has_begun(part)
            with pytest.raises(OutputError, match="another download"):
                await ochy.download(results, path)
        assert content(path) == await complete(ochy, results, path.parent)


# --- disks ----------------------------------------------------------------------------------------


PLACES = [
    ("none/run.mp4", "its folder does not exist"),
    ("file/run.mp4", "file where a folder"),
    ("\0", "cannot be written"),
]


@pytest.mark.parametrize(("place", "words"), PLACES)
async def test_an_impossible_path_is_an_error(emulator: Emulator, tmp_path: Path, place: str, words: str) -> None:
    """It says what to do."""
    write(tmp_path / "file", "")
    async with real_session(emulator) as ochy:
        results = await analyzed(ochy)
        with pytest.raises(OutputError, match=words):
            await ochy.download(results, tmp_path / place)


FULL = """
import asyncio, resource, sys
from anyio import to_thread
from ochy_async import OchySession, Started, SideView
from ochy_async.errors import OutputError

async def main(url, analysis_id, path, most):
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    async with OchySession(base_url=url) as ochy:
        try:
            await ochy.download(Started.of(analysis_id, SideView), path)
        except OutputError as trouble:
            print(trouble)

asyncio.run(main(*sys.argv[1:4], int(sys.argv[4])))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
async def test_a_full_disk(emulator: Emulator, path: Path) -> None:
    """The error says so, the file does not get its name, and the download resumes once there is space."""
    async with real_session(emulator) as ochy:
        started = await ochy.start(CLIP, SideView(), name="a.mp4")
        await ochy.wait(started)
        command = [sys.executable, "-c", FULL, emulator.url, started.analysis_id, str(path), "30000"]
        done = await run_process(command, check=True, stderr=None)
        assert b"the disk is full" in done.stdout
        assert not size(path)
        seen = ranges(emulator)
        await ochy.download(Started.of(started.analysis_id, SideView), path)
        assert seen == ["bytes=30000-"]
        assert content(path) == await complete(ochy, started, path.parent)
