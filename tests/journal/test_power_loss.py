"""The power fails at any moment of a batch of three clips: nothing that is paid for is forgotten."""

from __future__ import annotations

import hashlib
import random
import sqlite3
import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from ochy_async import SideView
from ochy_async.batch.outcomes import Analyzed
from ochy_async.emulator import sample_clip
from ochy_async.errors import JournalError
from ochy_async.journal.contract import Entry, StoredResults
from ochy_async.journal.sqlite import store
from ochy_async.journal.sqlite.errors import SQLITE_ERRORS
from ochy_async.journal.sqlite.journal import SqliteJournal
from ochy_async.policy.clip_states import NEXT_STEP, State, Step
from ochy_async.protocol.wire import Request, Response, Upload
from tests.conftest import QUICK, direct_session, world
from tests.journal.test_files import VERSION_1
from tests.support.power_loss import Delete, Disk, DiskLog, DiskState, Files, Mark, RecordedConnection, Sync, Write

pytestmark = pytest.mark.anyio

CLIPS = 3
VARIANTS = 12
"""In how many ways what was not synced is lost in part, for each moment."""
NAME = "clips.journal"


class Sent(str):
    """The name of a clip whose last chunk leaves here, so that its start may be charged from here on."""


class ConfirmingJournal(SqliteJournal):
    """A journal that records which changes it confirmed."""

    def __init__(self, path: Path, record: DiskLog) -> None:
        super().__init__(path)
        self.record = record

    async def put(self, entry: Entry, results: StoredResults | None = None, *, most: int | None = None) -> Entry:
        stored = await super().put(entry, results, most=most)
        self.record.mark((stored, results))
        return stored


async def recorded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Files, DiskLog]:
    """The file of a new journal, and everything that happened to it in a batch."""
    path, record = folder / NAME, DiskLog()
    store.open_store(path).close()
    before = {NAME: path.read_bytes()}
    disk = Disk(record)
    monkeypatch.setattr(store, "Connection", RecordedConnection)
    clips = []
    for number in range(CLIPS):
        clips.append(folder / f"{number}.mp4")
        clips[-1].write_bytes(sample_clip(number, size=400))
    ochy = direct_session(world(analysis_seconds=(0.0, 0.1)), polling=QUICK)
    transport: Any = ochy._core.transport  # pyright: ignore[reportPrivateUsage]
    send = transport.send

    async def watched(request: Request) -> Response:
        if request.upload is not None:
            request = evolve(request, upload=evolve(request.upload, chunks=partial(marked, request.upload)))
        answer: Response = await send(request)
        return answer

    async def marked(upload: Upload) -> AsyncGenerator[bytes]:
        sent = 0
        async for chunk in upload.chunks():
            sent += len(chunk)
            if sent == upload.size:
                record.mark(Sent(upload.filename))
            yield chunk

    transport.send = watched
    async with ochy, ochy.batch(SideView(), journal=ConfirmingJournal(path, record)) as batch:
        outcomes = [outcome async for outcome in batch.run(clips)]
    assert [type(each) for each in outcomes] == [Analyzed] * CLIPS
    disk.unregister()
    monkeypatch.undo()
    return before, record


def moments(before: Files, record: DiskLog, chance: random.Random) -> Iterator[tuple[int, Files]]:
    """Each moment at which the power may fail, with the files that may be found then; equal files only once."""
    left, seen = DiskState(dict(before)), set[bytes]()
    for moment, what in enumerate([Mark(None), *record.events]):
        left.apply(what)
        if isinstance(what, Mark):
            seen.clear()  # from here on more must be known
        for files in left.after_power_loss(chance, VARIANTS):
            digest = hashlib.sha256(repr(sorted(files.items())).encode()).digest()
            if digest not in seen:
                seen.add(digest)
                yield moment, files


def forgotten(path: Path, marks: list[Any]) -> str:
    """What a journal has lost of what must be known; empty if nothing, or the error if it cannot be opened."""
    try:
        opened = store.open_store(path)
    except (JournalError, *SQLITE_ERRORS) as error:
        return f"{type(error).__name__}: {error}"
    try:
        return " ".join(_forgotten(opened, marks))
    finally:
        opened.connection.close()


def _forgotten(opened: store.Store, marks: list[Any]) -> Iterator[str]:
    names = {entry.name: entry for _, entry in opened.entries((), 0)}
    for mark in marks:
        if isinstance(mark, Sent):
            if mark not in names or NEXT_STEP[names[mark].state] is Step.START:
                yield f"{mark} would be bought again."
        elif mark is not None:
            stored, results = mark
            found = opened.get(stored.key)
            if found is None or found.version < stored.version:
                yield f"{stored.clip} is not {stored.state} any more."
            elif found.analysis_id != stored.analysis_id and found.version == stored.version:
                yield f"{stored.clip} has lost its id."
            elif results is not None and opened.results(stored.key) != results:
                yield f"{stored.clip} has lost its results."


def restore(folder: Path, files: Files) -> None:
    """Replaces the content of a folder by these files."""
    for old in folder.iterdir():
        old.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)


@pytest.fixture
def disk() -> Iterator[Path]:
    """A folder in memory, if there is one: thousands of journals are opened in it."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own in it
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


async def test_the_power_may_fail_while_a_journal_is_upgraded(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an older version intended is a doubt, whatever the disk has stored of the upgrade to this version."""
    path, record = tmp_path / NAME, DiskLog()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_1)
    before = {NAME: path.read_bytes()}
    recording = Disk(record)
    with monkeypatch.context() as patch:
        patch.setattr(store, "Connection", RecordedConnection)
        store.open_store(path).close()
    recording.unregister()
    found = set[State]()
    for _, files in moments(before, record, random.Random(1)):
        restore(disk, files)
        opened = store.open_store(disk / NAME)
        found |= {entry.state for _, entry in opened.entries((), 0)}
        opened.connection.close()
    assert found == {State.SENDING}
    assert any(isinstance(each, Write) and each.file == NAME for each in record.events)


async def test_the_power_may_fail_at_any_moment(disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the disk has stored: the journal opens, knows every confirmed id, and buys nothing twice."""
    before, record = await recorded(tmp_path, monkeypatch)
    wrong: dict[int, str] = {}
    replays = 0
    for moment, files in moments(before, record, random.Random(1)):
        restore(disk, files)
        marks = [each.value for each in record.events[:moment] if isinstance(each, Mark)]
        if lost := forgotten(disk / NAME, marks):
            wrong[moment] = lost
        replays += 1
    assert wrong == {}
    assert replays > 500
    assert sum(isinstance(each, Sync) for each in record.events) > 4 * CLIPS
    assert any(isinstance(each, Write) and each.file == NAME for each in record.events)
    assert record.events[-1] == Delete(f"{NAME}-wal")
