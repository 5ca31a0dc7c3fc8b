"""The storage host: fetching files behind signed URLs, without revealing anything of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from anyio import move_on_after
from attrs import define, field

from ochy_async import Limits, OchySession, Retry, SideView
from ochy_async.emulator import (
    Emulator,
    Fault,
    FaultEffect,
    FaultPlan,
    FaultRule,
    InProcessStorage,
    InProcessTransport,
    Redirect,
    ReplaceBody,
    Service,
    Throttle,
    sample_clip,
)
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import ConnectionFailed, NotFound, OchyError, RequestRefused, UnreadableAnswer
from ochy_async.protocol.answer import SignedUrl
from ochy_async.protocol.ranges import FileRange, file_range, range_headers
from ochy_async.protocol.side_view import SideViewResults
from ochy_async.protocol.wire import ResponseHead
from ochy_async.storage import HttpStorage, Storage
from tests.conftest import Recorded, loop_clock, world

STORED = "GET /storage/{analysis_id}/{name}"
ETAG = '"0123456789abcdef"'


@define
class Bucket:
    """A sink that stores everything in memory."""

    offset: int = 0
    etag: str | None = None
    most: int = 1_000_000
    head: ResponseHead | None = None
    part: FileRange | None = None
    content: bytearray = field(factory=bytearray)
    pieces: int = 0
    error: Exception | None = None

    async def begin(self, head: ResponseHead) -> None:
        self.head = head
        self.part = file_range(head, self.offset, self.etag, self.most)
        if self.error is not None:
            raise self.error

    async def write(self, piece: bytes) -> None:
        self.content += piece
        self.pieces += 1


async def fetched(storage: Storage, url: SignedUrl, bucket: Bucket | None = None) -> Bucket:
    bucket = bucket or Bucket()
    await storage.fetch(url, bucket, range_headers(bucket.offset, bucket.etag))
    return bucket


def on_storage(fault: Fault, times: int = 1) -> Recorded:
    """The storage meets a fault. Every request is recorded."""
    return Recorded(FaultPlan([FaultRule(STORED, fault, times=times)]))


@pytest.fixture
async def video(emulator: Emulator, ochy: OchySession) -> SignedUrl:
    """The link to the annotated video of a new analysis."""
    return link_of(await ochy.analyze(sample_clip(1, size=300), SideView()))


def link_of(results: SideViewResults) -> SignedUrl:
    assert results.output_video is not None
    return results.output_video


@pytest.fixture
async def storage() -> Any:
    found = HttpStorage(Limits(stall=5), loopback=True)
    yield found
    await found.aclose()


# --- the head of an answer ------------------------------------------------------------------------


def head(status: int = 200, **headers: str) -> ResponseHead:
    return ResponseHead(status, {name.replace("_", "-"): value for name, value in headers.items()})


TAKEN = {
    "a complete file": (head(content_length="9", etag=ETAG), FileRange(0, 9, ETAG)),
    "a complete file, though a range was requested": (head(content_length="9"), FileRange(0, 9, None)),
    "a weak tag counts as none": (head(content_length="9", etag=f"W/{ETAG}"), FileRange(0, 9, None)),
    "in chunks": (head(transfer_encoding="chunked", etag=ETAG), FileRange(0, None, ETAG)),
    "the rest": (head(206, content_range="bytes 4-8/9", content_length="5", etag=ETAG), FileRange(4, 9, ETAG)),
}
REFUSED = {
    "a redirect": (head(302), UnreadableAnswer, "redirect"),
    "an expired link": (head(403), RequestRefused, "expired"),
    "gone": (head(404), NotFound, "gone"),
    "a status without a meaning": (head(204), UnreadableAnswer, "Report"),
    "no length": (head(), UnreadableAnswer, "length"),
    "empty": (head(content_length="0"), UnreadableAnswer, "empty"),
    "too large": (head(content_length="101"), UnreadableAnswer, "larger than 100 bytes.*Limits.media_bytes"),
    "compressed": (head(content_length="9", content_encoding="gzip"), UnreadableAnswer, "compressed"),
    "another range": (head(206, content_range="bytes 3-8/9", etag=ETAG), UnreadableAnswer, "not the range"),
    "a range of another file": (
        head(206, content_range="bytes 4-8/9", etag='"other"'),
        UnreadableAnswer,
        "not the range",
    ),
    "no total": (head(206, content_range="bytes 4-8/*", etag=ETAG), UnreadableAnswer, "state its range"),
}


@pytest.mark.parametrize(("given", "expected"), TAKEN.values(), ids=TAKEN)
def test_heads_that_are_accepted(given: ResponseHead, expected: FileRange) -> None:
    """The complete file, or the range that was requested."""
    assert file_range(given, 4, ETAG, 100) == expected


@pytest.mark.parametrize(("given", "error", "words"), REFUSED.values(), ids=REFUSED)
def test_heads_that_are_rejected(given: ResponseHead, error: type[OchyError], words: str) -> None:
    """The error has the status and names the reason."""
    with pytest.raises(error, match=words) as caught:
        file_range(given, 4, ETAG, 100)
    assert caught.value.status == given.status


@pytest.mark.parametrize(("offset", "etag"), [(0, ETAG), (4, None)])
def test_no_range_is_requested_without_an_etag(offset: int, etag: str | None) -> None:
    """Nothing would prove that both parts belong to one file."""
    assert not range_headers(offset, etag)


# --- over a socket --------------------------------------------------------------------------------

anyio_test = pytest.mark.anyio


@anyio_test
async def test_a_file_is_fetched_completely_and_without_the_key(storage: HttpStorage, video: SignedUrl) -> None:
    """The storage refuses a link with any parameter besides its own, so the key was not among them."""
    bucket = await fetched(storage, video)
    assert bucket.part is not None
    assert bucket.part.total == len(bucket.content)
    assert bucket.content[4:8] == b"ftyp"


@anyio_test
async def test_the_rest_is_requested_by_range(storage: HttpStorage, video: SignedUrl) -> None:
    """With If-Range the storage sends the rest of the same file, or all of another one."""
    complete = await fetched(storage, video)
    assert complete.part is not None
    rest = await fetched(storage, video, Bucket(offset=1000, etag=complete.part.etag))
    assert rest.content == complete.content[1000:]
    other = await fetched(storage, video, Bucket(offset=1000, etag='"another"'))
    assert other.part == complete.part
    assert other.content == complete.content


@anyio_test
async def test_a_redirect_is_not_followed(emulator: Emulator, storage: HttpStorage, video: SignedUrl) -> None:
    """The target of a redirect would learn the link."""
    emulator.faults = faults = on_storage(Redirect(f"{emulator.url}/elsewhere?signature=x"))
    with pytest.raises(UnreadableAnswer, match="redirect"):
        await fetched(storage, video)
    assert faults.routes == [STORED]


@anyio_test
async def test_an_interrupted_transfer_does_not_reveal_the_link(
    emulator: Emulator, storage: HttpStorage, video: SignedUrl
) -> None:
    """The sink gets what arrived; the error holds no frame that holds the URL."""
    emulator.faults = on_storage(Cut(20_000, rate=200_000))
    bucket = Bucket()
    with pytest.raises(ConnectionFailed, match="Run again") as caught:
        await fetched(storage, video, bucket)
    assert caught.value.__context__ is None
    assert 0 < len(bucket.content) <= 20_000


@define
class Cut:
    """The file arrives slowly, then the connection breaks."""

    keep: int
    rate: float

    def effect(self) -> FaultEffect:
        return FaultEffect(sent_limit=self.keep, response_rate=self.rate)


@anyio_test
@pytest.mark.parametrize("error", [OSError("disk"), RequestRefused("no")], ids=repr)
async def test_an_error_of_the_sink_is_raised_unchanged(
    storage: HttpStorage, video: SignedUrl, error: Exception
) -> None:
    """The error has no frames of the network code that it passed through."""
    with pytest.raises(type(error)) as caught:
        await fetched(storage, video, Bucket(error=error))
    assert caught.value is error
    names: list[str] = []
    step = caught.value.__traceback__
    while step is not None:
        names.append(step.tb_frame.f_code.co_name)
        step = step.tb_next
    assert "_transfer" not in names


@anyio_test
async def test_a_transfer_can_be_cancelled_anywhere(emulator: Emulator, storage: HttpStorage, video: SignedUrl) -> None:
    """Nothing continues, and the next transfer works."""
    emulator.faults = on_storage(Throttle(1000))
    with move_on_after(0.1) as scope:
        await fetched(storage, video)
    assert scope.cancelled_caught
    assert (await fetched(storage, video)).content


@anyio_test
async def test_a_silent_storage_is_given_up(emulator: Emulator, video: SignedUrl) -> None:
    """A storage that sends nothing is given up after `Limits.stall`."""
    emulator.faults = on_storage(Throttle(1, direction="download"))
    impatient = HttpStorage(Limits(stall=0.1), loopback=True)
    with pytest.raises(ConnectionFailed, match="no data moved"):
        await fetched(impatient, video)
    await impatient.aclose()


SIGNED = "?signature=secret"
LINKS = (
    "http://storage.example/x",
    "ftp://127.0.0.1/x",
    "https://u:p@storage.example/x",
    "https:///x",
    "x",
    "http://[",
)


@anyio_test
@pytest.mark.parametrize("link", LINKS)
async def test_links_that_are_not_https_are_refused(storage: HttpStorage, link: str) -> None:
    """Only https, and http on loopback: otherwise anybody on the network could read a link."""
    with pytest.raises(UnreadableAnswer, match="not https, or leads to this machine"):
        await fetched(storage, SignedUrl(link + SIGNED))


@anyio_test
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.9.9.9"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_links_of_a_remote_server_to_this_machine_are_refused(scheme: str, host: str) -> None:
    """Otherwise a server could make the library send requests to whatever runs here."""
    files = HttpStorage(Limits())
    with pytest.raises(UnreadableAnswer, match="not https, or leads to this machine"):
        await fetched(files, SignedUrl(f"{scheme}://{host}:1/x{SIGNED}"))
    await files.aclose()


@anyio_test
@pytest.mark.parametrize(("base_url", "asked"), [("https://h.example", False), ("http://127.0.0.1:1", True)])
async def test_links_to_this_machine_work_if_the_api_is_here(base_url: str, asked: bool, tmp_path: Path) -> None:
    """The emulator's links lead to this machine; a remote API's links to it are refused."""
    error = ConnectionFailed if asked else UnreadableAnswer
    async with OchySession(base_url=base_url, retry=Retry(attempts=1)) as ochy:
        with pytest.raises(error):
            await ochy.download(SignedUrl("http://127.0.0.1:1/a.mp4"), tmp_path / "a.mp4")


@anyio_test
async def test_no_trace_sees_a_link(monkeypatch: pytest.MonkeyPatch, storage: HttpStorage, video: SignedUrl) -> None:
    """Traces that instrumentation adds to every new client are removed."""
    seen: list[str] = []
    trace = aiohttp.TraceConfig()

    async def see(_: Any, __: Any, params: aiohttp.TraceRequestStartParams) -> None:
        seen.append(str(params.url))

    trace.on_request_start.append(see)
    make = aiohttp.ClientSession.__init__

    def traced(self: aiohttp.ClientSession, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **{**kwargs, "trace_configs": [trace]})

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", traced)
    await fetched(storage, video)
    assert not seen


# --- without one ----------------------------------------------------------------------------------


async def direct(service: Service, faults: Recorded | None = None, bucket: Bucket | None = None) -> Bucket:
    """An analysis and its video, without a socket."""
    files = InProcessStorage(service, faults)
    async with OchySession(transport=InProcessTransport(service), storage=files, clock=loop_clock) as ochy:
        link = link_of(await ochy.analyze(sample_clip(1, size=300), SideView()))
        return await fetched(files, link, bucket)


def test_the_emulator_serves_files_without_a_socket() -> None:
    """In virtual time, completely or by range."""
    service = Service(world())
    complete = in_virtual_time(direct(service))
    assert complete.part is not None
    assert complete.pieces > 1
    rest = in_virtual_time(direct(service, bucket=Bucket(offset=7, etag=complete.part.etag)))
    assert rest.content == complete.content[7:]


def test_the_in_process_storage_has_the_same_faults() -> None:
    """The faults are the same as over a socket."""
    bucket = Bucket()
    with pytest.raises(ConnectionFailed, match="broke"):
        in_virtual_time(direct(Service(world()), on_storage(Cut(9000, rate=100)), bucket))
    assert len(bucket.content) == 9000
    with pytest.raises(UnreadableAnswer, match="compressed"):
        in_virtual_time(direct(Service(world()), on_storage(ReplaceBody(headers={"content-encoding": "gzip"}))))


def test_the_session_closes_its_storage() -> None:
    """It does so even if closing the transport fails."""
    closed: list[str] = []

    class Files(InProcessStorage):
        async def aclose(self) -> None:
            closed.append("files")

    class Broken(InProcessTransport):
        async def aclose(self) -> None:
            raise RuntimeError("cannot")

    async def scenario() -> None:
        service = Service(world())
        async with OchySession(transport=Broken(service), storage=Files(service)):
            pass

    with pytest.raises(RuntimeError, match="cannot"):
        in_virtual_time(scenario())
    assert closed == ["files"]
