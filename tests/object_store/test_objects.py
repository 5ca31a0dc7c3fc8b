"""Batches of clips in object stores: what is read, how often, and what becomes of objects that change."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import fail_after
from anyio.lowlevel import checkpoint

from ochy_async import Analyzed, Clip, Event, Refused, SideView, Unfinished
from ochy_async.clips import digest
from ochy_async.emulator import Service, sample_clip
from ochy_async.errors import ClipUnusable, InvalidRequest, InvalidSettings, SourceError
from ochy_async.events import BytesSent
from ochy_async.journal.contract import LEASE
from ochy_async.journal.memory import MemoryJournal, MemoryStore
from ochy_async.object_store import Objects, listing, objects
from ochy_async.object_store.listing import ObjectClips
from tests.conftest import QUICK, direct_session, world
from tests.support.batches import batched, charges, words
from tests.support.canary import DSN_PASSWORD, leaks
from tests.support.object_servers import ObjectServer

pytestmark = pytest.mark.anyio
SIZE = 700_000
"""Of a clip, so that it comes in several chunks."""


def fill(server: ObjectServer, bucket: str, count: int) -> list[str]:
    keys = [f"clips/{number:03}.mp4" for number in range(count)]
    for number, key in enumerate(keys):
        server.put(bucket, key, sample_clip(number, size=SIZE))
    return keys


def service() -> Service:
    return Service(world(analysis_seconds=(0.1, 0.2), queue_seconds=0))


async def run(given: Any, at: Service, store: MemoryStore | None = None, **settings: Any) -> list[Any]:
    journal = MemoryJournal(store or MemoryStore())
    return await batched(direct_session(at, polling=QUICK), given, journal=journal, **settings)


async def listed(found: Objects) -> list[Clip]:
    return [each async for each in found]


def used(found: Objects) -> int:
    """The bytes of the copies that exist."""
    return found.spool.used


async def test_each_object_is_read_once_and_not_at_all_by_a_finished_batch(server: ObjectServer, bucket: str) -> None:
    """The second run knows the content by URL, ETag and size, and the results from the journal."""
    keys, at, store = fill(server, bucket, 5), service(), MemoryStore()
    found = server.objects(f"s3://{bucket}/clips/")
    assert words(await run(found, at, store)) == ["analyzed"] * 5
    assert server.reads(bucket) == dict.fromkeys(keys, 1)
    outcomes = await run(found, at, store)
    assert words(outcomes) == ["analyzed"] * 5
    assert [each.label for each in outcomes] == [f"s3://{bucket}/{key}" for key in keys]
    assert server.reads(bucket) == dict.fromkeys(keys, 1)
    assert not server.unconditional
    assert charges(at) == [1] * 5


async def test_a_batch_with_a_small_spool_reads_each_object_once_and_ends(server: ObjectServer, bucket: str) -> None:
    """Copies wait for each other's space, and nothing of them is left."""
    keys, at = fill(server, bucket, 4), service()
    found = server.objects(f"s3://{bucket}/clips", spool_bytes=SIZE)
    assert words(await run(found, at)) == ["analyzed"] * 4
    assert server.reads(bucket) == dict.fromkeys(keys, 1)
    assert used(found) == 0


async def test_copies_of_a_clip_do_not_wait_for_each_other_for_ever(server: ObjectServer, bucket: str) -> None:
    """A clip that waits for an earlier one of the same content gives up its space, which that one may need."""
    content, at, store = sample_clip(1, size=SIZE), service(), MemoryStore()
    for key in ("known.mp4", "new.mp4"):
        server.put(bucket, key, content)
    found = server.objects(f"s3://{bucket}", spool_bytes=SIZE)
    known, new = await listed(found)
    async with direct_session(at, polling=QUICK) as ochy, ochy.batch(SideView(), journal=MemoryJournal(store)) as batch:
        assert (await batch.plan([known])).to_buy == 1
    with fail_after(60):
        outcomes = await run([new, known], at, store)
    assert words(outcomes) == ["analyzed"] * 2
    assert charges(at) == [1]
    assert used(found) == 0


async def key_of(clip: Clip, at: Service) -> str:
    """The identity of a clip, by a journal that nobody else uses."""
    async with direct_session(at) as ochy, ochy.batch(SideView(), journal=MemoryJournal()) as batch:
        (planned,) = [each async for each in batch.dry_run([clip])]
    assert planned.key is not None
    return planned.key


async def test_a_clip_that_waits_for_another_worker_holds_no_copy(server: ObjectServer, bucket: str) -> None:
    """Its space is that of the next clip. It is copied again once this worker is the one that has to send it."""
    keys, at, store = fill(server, bucket, 2), service(), MemoryStore()
    found = server.objects(f"s3://{bucket}", spool_bytes=SIZE)
    held, free = await listed(found)
    key = await key_of(held, at)
    before = server.reads(bucket)[keys[0]]
    outcomes: list[Any] = []
    first = anyio.Event()

    async def work() -> None:
        async with (
            direct_session(at, polling=QUICK) as ochy,
            ochy.batch(SideView(), journal=MemoryJournal(store)) as batch,
        ):
            async for outcome in batch.run([held, free]):
                outcomes.append(outcome)
                first.set()

    async with MemoryJournal(store) as other, anyio.create_task_group() as tasks:
        await other.beat()
        assert await other.take(key) == key
        tasks.start_soon(work)
        with fail_after(LEASE / 2):  # then the claim still holds
            await first.wait()
        assert [each.label for each in outcomes] == [f"s3://{bucket}/{keys[1]}"]
        await other.leave(key)
    assert words(outcomes) == ["analyzed"] * 2
    assert server.reads(bucket) == {keys[0]: before + 2, keys[1]: 1}
    assert charges(at) == [1] * 2
    assert used(found) == 0


async def test_an_object_that_is_larger_than_the_spool_is_sent_from_the_store(
    server: ObjectServer, bucket: str
) -> None:
    """It is read once to be hashed and once to be sent."""
    (key,), at = fill(server, bucket, 1), service()
    found = server.objects(f"s3://{bucket}/", spool_bytes=SIZE - 1)
    assert words(await run(found, at)) == ["analyzed"]
    assert server.reads(bucket) == {key: 2}
    assert not server.unconditional


def replace(server: ObjectServer, bucket: str, key: str) -> None:
    server.put(bucket, key, sample_clip(99, size=SIZE))


def replace_unnoticed(server: ObjectServer, bucket: str, key: str) -> None:
    replace(server, bucket, key)
    server.ignoring.add(f"/{bucket}/{key}")


def refuse(server: ObjectServer, bucket: str, key: str) -> None:
    server.refused.add(f"/{bucket}/{key}")


def shorten(server: ObjectServer, bucket: str, key: str) -> None:
    server.shortened[f"/{bucket}/{key}"] = SIZE // 2


FAULTS: dict[str, tuple[Callable[[ObjectServer, str, str], None], type[Any], str]] = {
    "replaced": (replace, Unfinished, "'000.mp4' was replaced after it was listed.*Run again"),
    "replaced in a store without If-Match": (replace_unnoticed, Unfinished, "'000.mp4' was replaced"),
    "deleted": (ObjectServer.delete, Refused, "'000.mp4' was deleted from its store"),
    "forbidden": (refuse, Unfinished, "'000.mp4' must not be read: access is denied.*Grant read access"),
    "truncated": (shorten, Unfinished, "'000.mp4' has 700,000 bytes by its listing, but 350,000 came"),
}


@pytest.mark.parametrize("digest_is_known", [False, True])
@pytest.mark.parametrize(("fault", "kind", "text"), FAULTS.values(), ids=FAULTS)
async def test_an_object_that_cannot_be_read_as_listed_is_an_outcome_and_costs_nothing(
    server: ObjectServer,
    bucket: str,
    fault: Callable[[ObjectServer, str, str], None],
    kind: type[Any],
    text: str,
    digest_is_known: bool,
) -> None:
    """The other clips are analyzed, and what is read later is the same object too."""
    keys, at, store = fill(server, bucket, 2), service(), MemoryStore()
    found = server.objects(f"s3://{bucket}")
    clips = await listed(found)
    if digest_is_known:
        async with direct_session(at) as ochy, ochy.batch(SideView(), journal=MemoryJournal(store)) as batch:
            assert (await batch.plan(clips)).to_buy == 2
    fault(server, bucket, keys[0])
    bad, good = await run(clips, at, store)
    assert isinstance(bad, kind)
    assert re.search(text, bad.reason, re.DOTALL)
    assert "charged" in bad.reason
    assert isinstance(good, Analyzed)
    assert charges(at) == [1]
    assert used(found) == 0


async def test_a_clip_in_a_folder_that_is_replaced_in_place_is_a_new_clip(tmp_path: Path) -> None:
    """The ETag of `file://` is made of size, modification time and inode, which stay the same."""
    at, store, path = service(), MemoryStore(), tmp_path / "a.mp4"
    for number in range(2):
        with path.open("r+b" if number else "wb") as file:
            file.write(sample_clip(number, size=SIZE))
        os.utime(path, ns=(10**18, 10**18))
        assert words(await run(await listed(objects(f"file://{tmp_path}")), at, store)) == ["analyzed"]
    assert charges(at) == [1, 1]


@pytest.mark.parametrize("bytes_sent", [0, 1])
async def test_a_cancelled_batch_leaves_no_file(
    server: ObjectServer, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bytes_sent: int
) -> None:
    """Neither while clips are copied nor while they are sent."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fill(server, bucket, 3)
    found, reached = server.objects(f"s3://{bucket}"), anyio.Event()

    def listen(event: Event) -> None:
        if isinstance(event, BytesSent) and event.sent >= bytes_sent:
            reached.set()

    async def analyze() -> None:
        await batched(direct_session(service(), on_event=listen), found)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(analyze)
        if bytes_sent:
            await reached.wait()
        while not used(found) and not reached.is_set():
            await checkpoint()
        tasks.cancel_scope.cancel()
    assert used(found) == 0
    assert not files_of(tmp_path)


def files_of(folder: Path) -> list[str]:
    """The files in a folder, and those without a name there that this process has open."""
    descriptors = Path("/proc/self/fd")
    links = (
        [str(each.readlink()) for each in descriptors.iterdir() if each.is_symlink()] if descriptors.exists() else []
    )
    return [*map(str, folder.iterdir()), *(link for link in links if link.startswith(str(folder)))]


async def test_a_folder_is_listed_as_a_store_is(tmp_path: Path) -> None:
    """All levels, without hidden files, annotated videos and other files."""
    names = ["a.mp4", "deep/er/50% #1?.MOV", ".hidden.mp4", ".trash/b.mp4", "a.x.output_video.mp4", "notes.txt"]
    for number, name in enumerate(names):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(sample_clip(number, size=SIZE))
    at, store = service(), MemoryStore()
    clips = await listed(objects(tmp_path.as_uri()))
    outcomes = await run(clips, at, store)
    labels = {f"{tmp_path.as_uri()}/{name}" for name in ("a.mp4", "deep/er/50%25 %231%3F.MOV")}
    assert {each.label for each in outcomes} == labels
    assert words(outcomes) == ["analyzed"] * 2
    (single,) = await listed(objects(f"{tmp_path.as_uri()}/deep/er/50%25 %231%3F.MOV"))
    assert words(await run([*clips, single], at, store)) == ["analyzed"] * 3
    assert charges(at) == [1] * 2


async def test_pages_are_listed_when_they_are_needed(
    server: ObjectServer, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second page is not asked for while the clips of the first one are taken."""
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    monkeypatch.setattr(listing, "PAGE", 2)
    fill(server, bucket, 5)
    before = server.requests[f"GET /{bucket}"]
    clips = aiter(server.objects(f"s3://{bucket}/clips/"))
    assert [(await anext(clips)).name for _ in range(2)] == ["000.mp4", "001.mp4"]
    assert server.requests[f"GET /{bucket}"] - before == 1
    assert [each.name async for each in clips] == ["002.mp4", "003.mp4", "004.mp4"]
    assert server.requests[f"GET /{bucket}"] - before == 3


async def test_a_bucket_that_cannot_be_listed_ends_the_batch(server: ObjectServer) -> None:
    """The error names the URL, and neither credentials nor what the store answered."""
    found = server.objects("s3://nowhere/clips/")
    with pytest.raises(SourceError, match=r"^s3://nowhere/clips/ cannot be listed") as caught:
        await run(found, service())
    assert not leaks(f"{caught.value!r} {found!r} {vars(caught.value)}")


@pytest.mark.parametrize(
    "url",
    [
        "clips/",
        "ftp://lab/clips",
        "s3://",
        "s3:lab",
        "s3://[lab",
        f"s3://runner:{DSN_PASSWORD}@lab/clips",
        f"az://lab/clips?sig={DSN_PASSWORD}",
        f"gs://lab/clips#{DSN_PASSWORD}",
        "file://elsewhere/clips",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_being_quoted(url: str) -> None:
    """It may hold a secret."""
    with pytest.raises(InvalidSettings, match="must look like s3://bucket/folder/") as caught:
        objects(url)
    assert not leaks(str(caught.value))


@pytest.mark.parametrize("options", [{"no_such_option": DSN_PASSWORD}, {"client_options": DSN_PASSWORD}])
def test_options_that_cannot_be_used_are_refused_without_being_quoted(options: dict[str, Any]) -> None:
    """They may be secrets."""
    with pytest.raises(InvalidSettings, match="The store of s3://lab/clips cannot be used") as caught:
        objects("s3://lab/clips/", **options)
    assert not leaks(str(caught.value))


LISTS = """
import asyncio, sys
from ochy_async.object_store import objects

async def main():
    async for _ in objects(sys.argv[1]):
        pass

asyncio.run(main())
"""


def test_a_process_that_ends_right_after_a_list_is_not_aborted(tmp_path: Path) -> None:
    """Many times, because a thread of the store's client must be late for that."""
    command = [sys.executable, "-c", LISTS, tmp_path.as_uri()]
    for _ in range(4):
        processes = [subprocess.Popen(command) for _ in range(6)]  # noqa: S603 - our own program
        assert [process.wait(60) for process in processes] == [0] * 6


async def test_clips_that_are_taken_by_their_urls_are_those_of_a_listing(
    server: ObjectServer, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same labels and the same source, so that the journal knows them, and one store for a bucket."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    for name in ("one/a.mp4", "one/two/b%20c%3F.mp4", "d.mov"):
        server.put(bucket, name, name.encode())
    found = [clip.remote for clip in await listed(objects(f"s3://{bucket}/")) if clip.remote is not None]
    single = ObjectClips()
    taken = [(await single.clip(each.label)).remote for each in found]
    assert [each and (each.label, each.source) for each in taken] == [(each.label, each.source) for each in found]
    assert len(taken) == 3
    for name in ("one", ""):
        with pytest.raises(InvalidRequest, match="names no video"):
            await single.clip(f"s3://{bucket}/{name}")
    gone = await single.clip(f"s3://{bucket}/one/gone.mp4")
    with pytest.raises(ClipUnusable, match="was deleted"):
        await digest(gone)
