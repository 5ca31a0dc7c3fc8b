"""Tests of files that are not read again, because their clips are analyzed and nothing shows that they have changed."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import IO, Any

import pytest

from ochy_async import clips as clips_module
from ochy_async.emulator import Service
from ochy_async.errors import JournalError
from ochy_async.journal.contract import Journal
from ochy_async.journal.memory import MemoryJournal, MemoryStore
from ochy_async.journal.sqlite.journal import SqliteJournal
from tests.conftest import QUICK, direct_session, world
from tests.support.batches import batched, charges, clip, words


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are opened to be read, in turn. Files count as settled at once."""
    opened: list[str] = []
    open_file = clips_module._open  # pyright: ignore[reportPrivateUsage]

    def watched(path: Path, expected: os.stat_result) -> IO[bytes]:
        opened.append(path.name)
        return open_file(path, expected)

    monkeypatch.setattr(clips_module, "_open", watched)
    monkeypatch.setattr(clips_module, "SETTLED", -1.0)
    return opened


@pytest.fixture(params=["memory", "sqlite"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Journal:
    """A journal of one process."""
    return MemoryJournal() if request.param == "memory" else SqliteJournal(tmp_path / "clips.journal")


def files(folder: Path, count: int = 3) -> list[Path]:
    """Small clips."""
    paths = [folder / f"{number}.mp4" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(clip(number))
    return paths


def run(service: Service, paths: list[Path], journal: Journal, reads: list[str], **settings: Any) -> list[str]:
    """The outcomes of a batch; `reads` are those of this batch alone."""
    reads.clear()
    session = direct_session(service, polling=QUICK)
    return words(asyncio.run(batched(session, paths, journal=journal, **settings)))


def quick(**settings: Any) -> Service:
    """A service that needs no time, because threads read the files in real time."""
    return Service(world(analysis_seconds=(0.0, 0.0), queue_seconds=0.0, **settings))


def test_files_of_analyzed_clips_are_not_read_again(tmp_path: Path, journal: Journal, reads: list[str]) -> None:
    """The results come from the journal. A new file among them is read, and bought."""
    service, paths = quick(), files(tmp_path)
    assert run(service, paths[:2], journal, reads) == ["analyzed"] * 2
    assert {*reads} == {"0.mp4", "1.mp4"}
    assert run(service, paths, journal, reads) == ["analyzed"] * 3
    assert {*reads} == {"2.mp4"}
    assert charges(service) == [1, 1, 1]


def test_rehash_reads_them(tmp_path: Path, journal: Journal, reads: list[str]) -> None:
    """And buys nothing: the content is the same."""
    service, paths = quick(), files(tmp_path)
    run(service, paths, journal, reads)
    assert run(service, paths, journal, reads, rehash=True) == ["analyzed"] * 3
    assert sorted(reads) == ["0.mp4", "1.mp4", "2.mp4"]
    assert charges(service) == [1, 1, 1]


def test_a_changed_file_is_read_even_if_size_and_modification_time_stay(
    tmp_path: Path, journal: Journal, reads: list[str]
) -> None:
    """The inode's own time shows that somebody has put the modification time back."""
    service, (path,) = quick(), files(tmp_path, 1)
    run(service, [path], journal, reads)
    before = path.stat()
    path.write_bytes(clip(9))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert run(service, [path], journal, reads) == ["analyzed"]
    assert reads
    assert charges(service) == [1, 1]


def test_a_file_that_has_just_changed_is_read_again(
    tmp_path: Path, journal: Journal, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another change might not show in its times yet, so nothing is remembered of it."""
    monkeypatch.setattr(clips_module, "SETTLED", 4.0)
    service, paths = quick(), files(tmp_path)
    run(service, paths, journal, reads)
    run(service, paths, journal, reads)
    assert sorted(reads) == ["0.mp4", "1.mp4", "2.mp4"]


def test_a_file_whose_clip_is_not_analyzed_is_read(tmp_path: Path, journal: Journal, reads: list[str]) -> None:
    """What is about to be bought is not taken from memory."""
    service, (path,) = quick(credits=0), files(tmp_path, 1)
    assert run(service, [path], journal, reads) == ["unfinished"]
    service.add_credits(1)
    reads.clear()
    assert run(service, [path], journal, reads) == ["analyzed"]
    assert len(reads) == 2, "once for its identity, and once while it is sent"


class ForgetsFiles(MemoryJournal):
    """A journal that fails where a file would be remembered, as on a full disk."""

    async def remember_digest(self, source: str, digest: str) -> None:
        raise JournalError(f"{source} of {digest}: the disk is full")


def test_what_is_paid_for_is_collected_although_no_file_can_be_remembered(tmp_path: Path, reads: list[str]) -> None:
    """To remember a file saves reading it, and nothing depends on it."""
    service, paths, journal = quick(), files(tmp_path), ForgetsFiles()
    assert run(service, paths, journal, reads) == ["analyzed"] * 3
    assert run(service, paths, journal, reads) == ["analyzed"] * 3
    assert (sorted(reads), charges(service)) == (["0.mp4", "1.mp4", "2.mp4"], [1, 1, 1])


def test_a_journal_that_workers_share_remembers_no_files(tmp_path: Path, reads: list[str]) -> None:
    """The numbers of files mean something on one machine only."""
    service, (path,), store = quick(), files(tmp_path, 1), MemoryStore()
    run(service, [path], MemoryJournal(store), reads)
    run(service, [path], MemoryJournal(store), reads)
    assert reads == ["0.mp4"]
