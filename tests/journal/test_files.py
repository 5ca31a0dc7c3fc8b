"""Files and disks of journals: other files, damage, other processes, full disks and killed processes."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from anyio import create_task_group, to_thread
from attrs import evolve

from ochy_async.errors import (
    JournalBusy,
    JournalConflict,
    JournalDamaged,
    JournalError,
    JournalFull,
    JournalUnusable,
)
from ochy_async.journal.contract import Entry, StoredResults
from ochy_async.journal.sqlite import connection, files, mounts, store
from ochy_async.journal.sqlite.errors import from_os_error, from_sqlite_error
from ochy_async.journal.sqlite.journal import SqliteJournal
from ochy_async.journal.sqlite.repair import inspect
from ochy_async.policy.clip_states import State
from tests.journal.test_journal import listed, new, stored_in_state

pytestmark = pytest.mark.anyio

KEPT = StoredResults(results=b'{"cadence": 171}' * 40, calculated=b"{}" * 3000)
POSIX = pytest.mark.skipif(os.name != "posix", reason="there are no such files here")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a new journal."""
    return tmp_path / "clips.journal"


async def written(path: Path) -> list[object]:
    """A closed journal with entries in all states, and its content."""
    async with SqliteJournal(path) as journal:
        for number, state in enumerate([*State, *State]):
            await stored_in_state(
                journal, state, f"{number:02}", clip=f"clip-{number}.mp4", analysis_id=f"id-{number}", credits=1
            )
        entry = await journal.get("04")
        assert entry is not None
        await journal.put(evolve(entry, state=State.ANALYZED), KEPT)
        await journal.set_note("account", "digest")
        return await contents(journal)


async def contents(journal: SqliteJournal) -> list[object]:
    """Everything that a journal returns."""
    entries = await listed(journal)
    about = [(await journal.get(e.key), await journal.history(e.key), await journal.results(e.key)) for e in entries]
    return [entries, about, await journal.totals(), await journal.notes("")]


async def read(path: Path) -> list[object]:
    """The contents of a journal file."""
    async with SqliteJournal(path) as journal:
        return await contents(journal)


async def refusal(path: Path, kind: type[JournalError]) -> str:
    """The text of the error for a file: exactly this class, with the path, and without SQLite's error as context."""
    with pytest.raises(JournalError) as caught:
        await SqliteJournal(path).__aenter__()
    error = caught.value
    assert type(error) is kind, error
    assert repr(str(path)) in str(error)
    assert not isinstance(error.__context__, sqlite3.Error)
    return str(error)


def data(path: Path) -> bytes:
    """All bytes of a file."""
    return path.read_bytes()


def write(path: Path, original: bytes) -> None:
    """Replaces the bytes of a file."""
    path.write_bytes(original)


def connection_of(journal: SqliteJournal) -> sqlite3.Connection:
    """The connection of an open journal."""
    assert journal._store is not None  # pyright: ignore[reportPrivateUsage]
    return journal._store.connection  # pyright: ignore[reportPrivateUsage]


def files_held(path: Path) -> list[str]:
    """The files of a journal that this process has open, if the system can say."""
    handles = Path("/proc/self/fd")
    names = [os.path.realpath(handle) for handle in handles.iterdir()] if handles.is_dir() else []
    return [name for name in names if name.startswith(str(path))]


def content(folder: Path) -> dict[str, bytes]:
    """Every regular file of a folder."""
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file()}


# --- a new file -----------------------------------------------------------------------------------


async def test_a_new_journal_is_readable_by_its_owner_only(path: Path) -> None:
    """So are the files beside it; once closed, it is one file."""
    async with SqliteJournal(path) as journal:
        await journal.put(new())
        assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
        assert sorted(content(path.parent)) == [path.name, f"{path.name}-wal"]
    assert sorted(content(path.parent)) == [path.name]


async def test_a_link_leads_to_the_journal(path: Path) -> None:
    """The same file under another name is the same journal and can be open once."""
    there = await written(path)
    link = path.with_name("link")
    link.symlink_to(path.name)
    async with SqliteJournal(link) as journal:
        assert await contents(journal) == there
        await refusal(path, JournalBusy)


@pytest.mark.parametrize("at", ["write_empty", "sync_file", "claim_name"])
async def test_a_failure_during_creation_leaves_no_file(path: Path, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever step fails, the name stays free and the next attempt succeeds."""

    def crash(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store if at == "write_empty" else files, at, crash)
        await refusal(path, JournalFull)
        assert not content(path.parent)
    assert (await written(path))[0]


async def test_creation_without_hard_links(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal is created all the same; a second process finds the name taken."""

    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    assert await read(path)
    assert sorted(content(path.parent)) == [path.name]
    draft = path.with_name("draft")
    draft.write_bytes(b"draft")
    before = data(path)
    with pytest.raises(FileExistsError):
        files.claim_name(draft, path)
    assert data(path) == before


async def test_of_two_processes_that_create_it_the_first_wins(path: Path) -> None:
    """The second opens the file of the first."""

    def slow(draft: Path) -> None:
        files.find_or_create(path, store.write_empty)
        store.write_empty(draft)

    files.find_or_create(path, slow)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM marks").fetchone() == (2,)
    assert sorted(content(path.parent)) == [path.name]


# --- other files ----------------------------------------------------------------------------------


def _text(path: Path) -> None:
    path.write_text("file,view,height\n" * 500, encoding="utf-8")


def _foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE photos (name)")


def _newer(path: Path) -> None:
    files.find_or_create(path, store.write_empty)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {store.SCHEMA + 1}")


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def _half_gone(path: Path) -> None:
    path.with_name(f"{path.name}-wal").write_bytes(b"\x37\x7f\x06\x82" * 100)


STRANGE: list[tuple[str, Callable[[Path], object], type[JournalError], str]] = [
    ("text", _text, JournalUnusable, "not an SQLite database"),
    ("foreign", _foreign, JournalUnusable, "another program"),
    ("newer", _newer, JournalUnusable, "Update ochy_async"),
    ("empty", Path.touch, JournalDamaged, "is empty"),
    ("half gone", _half_gone, JournalDamaged, "the file is gone"),
    ("folder", Path.mkdir, JournalUnusable, "is a folder"),
    pytest.param("fifo", lambda path: os.mkfifo(path), JournalUnusable, "not a regular file", marks=POSIX),  # type: ignore[list-item]
    pytest.param("loop", _loop, JournalUnusable, "symbolic links", marks=POSIX),  # type: ignore[list-item]
    pytest.param("dangling", _dangling, JournalUnusable, "No such file", marks=POSIX),  # type: ignore[list-item]
]


@pytest.mark.parametrize(("name", "make", "kind", "why"), STRANGE)
async def test_other_files_are_refused_and_unchanged(
    path: Path, name: str, make: Callable[[Path], object], kind: type[JournalError], why: str
) -> None:
    """The error says why; nothing is changed or created."""
    make(path)
    before = content(path.parent)
    assert why in await refusal(path, kind)
    assert content(path.parent) == before


@pytest.mark.parametrize("name", ["nowhere/clips.journal", "a\x00b", "x" * 300, "file/clips.journal"])
async def test_an_impossible_path_is_refused(tmp_path: Path, name: str) -> None:
    """A missing folder, a file as a folder, a NUL or a name that is too long; no folder is created."""
    (tmp_path / "file").touch()
    await refusal(tmp_path / name, JournalUnusable)
    assert list(content(tmp_path)) == ["file"]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such permissions here")
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("what", ["file", "folder"])
async def test_a_file_without_permission_is_refused(path: Path, what: str) -> None:
    """A file or a folder without write permission, when it is opened."""
    await written(path)
    place = path if what == "file" else path.parent
    place.chmod(0o500)
    try:
        await refusal(path, JournalUnusable)
    finally:
        place.chmod(0o700)


async def test_a_read_only_header_is_found_when_it_is_opened(path: Path) -> None:
    """The mark in SQLite's header, which applies to root too, is found by the first write."""
    await written(path)
    flip(path, 18, 0x02 ^ 0x03)
    await refusal(path, JournalUnusable)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SQLITE_BUSY", JournalBusy),
        ("SQLITE_BUSY_RECOVERY", JournalBusy),
        ("SQLITE_FULL", JournalFull),
        ("SQLITE_READONLY", JournalUnusable),
        ("SQLITE_READONLY_DIRECTORY", JournalUnusable),
        ("SQLITE_CANTOPEN_ISDIR", JournalUnusable),
        ("SQLITE_NOTADB", JournalUnusable),
        ("SQLITE_CORRUPT_INDEX", JournalDamaged),
        ("SQLITE_IOERR_FSYNC", JournalError),
        ("SQLITE_IOERR_LOCK", JournalUnusable),
        ("SQLITE_NOLFS", JournalError),
        (None, JournalError),
    ],
)
def test_errors_of_sqlite_are_translated(path: Path, name: str | None, kind: type[JournalError]) -> None:
    """By the name of the code; SQLite's text, which may quote the content, is left out."""
    error = sqlite3.OperationalError("secret")
    if name is not None:
        error.sqlite_errorname = name
    translated = from_sqlite_error(error, path)
    assert type(translated) is kind
    assert "secret" not in str(translated)
    assert name is None or name in str(translated)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOSPC, JournalFull),
        (errno.EDQUOT, JournalFull),
        (errno.EROFS, JournalUnusable),
        (errno.EACCES, JournalUnusable),
    ],
)
def test_errors_of_the_system_are_translated(path: Path, code: int, kind: type[JournalError]) -> None:
    """A full disk and a missing permission need different actions."""
    assert type(from_os_error(OSError(code, os.strerror(code)), path)) is kind


# --- network file systems -------------------------------------------------------------------------

MOUNTS = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /home/runner/clips rw - nfs4 server:/clips rw
31 30 8:2 / /home/runner/clips/local rw master:3 - xfs /dev/sdb1 rw
32 22 0:41 / /mnt/my\040share rw shared:2 - cifs //server/share rw
33 22 0:42 / /mnt/twice rw - nfs server:/a rw
34 33 8:3 / /mnt/twice rw - ext4 /dev/sdc1 rw
35 22 0:43 / /mnt/ssh rw - fuse.sshfs user@server: rw
36 22 0:44 / /mnt/usb rw - fuseblk /dev/sdd1 rw
37 22 0:45 / /mnt/host rw - virtiofs host rw
38 22 0:46 / /mnt/desktop rw - fuse.grpcfuse grpcfuse rw
39 22 0:47 / /mnt/mac rw - osxfs osxfs rw
a line that is cut
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/runner/a.journal", None),
        ("/home/runner/clips/a.journal", "nfs4"),
        ("/home/runner/clips2/a.journal", None),
        ("/home/runner/clips/local/a.journal", None),
        ("/mnt/my share/deep/a.journal", "cifs"),
        ("/mnt/twice/a.journal", None),
        ("/mnt/ssh/a.journal", "fuse.sshfs"),
        ("/mnt/usb/a.journal", None),
        ("/mnt/my share", "cifs"),
        ("/mnt/host/a.journal", "virtiofs"),
        ("/mnt/desktop/a.journal", "fuse.grpcfuse"),
        ("/mnt/mac/a.journal", "osxfs"),
        ("/", None),
    ],
)
def test_network_mounts(path: str, kind: str | None) -> None:
    """The longest mount point counts, by entire names; of two at one path the later."""
    assert mounts.network_filesystem(MOUNTS, path) == kind


@pytest.mark.parametrize(
    ("path", "drive_type", "kind"),
    [
        (r"C:\clips\a.journal", 3, None),
        (r"Z:\clips\a.journal", 4, "network drive"),
        (r"\\server\share\a.journal", 1, "UNC share"),
        (r"\\?\UNC\server\share\a.journal", 1, "UNC share"),
        (r"\\?\C:\clips\a.journal", 3, None),
    ],
)
def test_network_drives(path: str, drive_type: int, kind: str | None) -> None:
    """Shares by their name, drives by their type in Windows."""
    assert mounts.network_drive(path, drive_type) == kind


async def test_a_network_file_system_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is created there."""
    monkeypatch.setattr(files, "_network_kind", lambda _: "nfs4")
    assert "file system (nfs4)" in await refusal(path, JournalUnusable)
    assert not content(path.parent)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("ext4", None),
        ("fuseblk", None),
        ("fuse.mergerfs", None),
        (None, None),
        ("tmpfs", "lost when the machine restarts"),
        ("ramfs", "lost when the machine restarts"),
        ("fuse", "may not lock out other processes"),
        ("fuse.something-new", "may not lock out other processes"),
    ],
)
def test_unreliable_file_systems_give_a_warning(kind: str | None, words: str | None) -> None:
    """File systems in memory and unknown user-space file systems are used with a warning."""
    warning = mounts.mount_warning(kind)
    assert warning is None if words is None else words in str(warning)


async def test_a_journal_in_memory_gives_a_warning(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each time that it is opened; it works all the same."""
    assert (await written(small_disk / "clips.journal"))[0]
    assert "is stored in memory (tmpfs)" in caplog.text


# --- damage ---------------------------------------------------------------------------------------


def flip(path: Path, offset: int, bits: int) -> None:
    """Changes some bits of one byte."""
    data = bytearray(path.read_bytes())
    data[offset] ^= bits
    path.write_bytes(data)


async def outcome(path: Path, there: list[object]) -> str:
    """Whether a damaged journal returns the truth or is refused as damaged. Anything else fails the test."""
    try:
        assert await read(path) == there
    except (JournalDamaged, JournalUnusable):
        return "detected"
    return "harmless"


async def test_a_flipped_byte_is_found_or_has_no_effect(path: Path) -> None:
    """At offsets all over the file, and at every few bytes of the header."""
    there = await written(path)
    original, chance = data(path), random.Random(1)
    offsets = [*range(100), *chance.sample(range(100, len(original)), 200)]
    outcomes: list[str] = []
    for offset in offsets:
        write(path, original)
        flip(path, offset, 1 << chance.randrange(8))
        outcomes.append(await outcome(path, there))
    assert outcomes.count("detected") > len(offsets) // 10


async def test_damage_in_the_text_of_sqlites_error_is_damage(path: Path) -> None:
    """A flipped byte in a table's name makes SQLite's message invalid UTF-8."""
    await written(path)
    flip(path, data(path).index(b"CREATE TABLE history") + 2, 0x80)
    await refusal(path, JournalDamaged)


async def test_a_change_of_any_value_is_found(path: Path) -> None:
    """A state, a version, an id, a digit of the results."""
    await written(path)
    original = data(path)
    for piece in (b"clip-3.mp4", b"id-5", b"cadence", b"analyzed", b"digest", b"account", b'"version": 3'):
        offsets = [at for at in range(len(original)) if original.startswith(piece, at)]
        assert offsets
        for at in offsets[:3]:
            write(path, original)
            flip(path, at + len(piece) // 2, 0x01)
            await refusal(path, JournalDamaged)


async def test_a_truncated_file_is_refused(path: Path) -> None:
    """Truncated at any page, and within one."""
    there = await written(path)
    original = data(path)
    for length in [1, 50, 100, 511, *range(512, len(original), 4096 * 2 + 100)]:
        write(path, original[:length])
        assert await outcome(path, there) == "detected", length


SURGERY = [
    "DELETE FROM entries WHERE key = '03'",
    "DELETE FROM history WHERE seq = (SELECT max(seq) FROM history)",
    "DELETE FROM results",
    "DELETE FROM notes",
    "DELETE FROM marks WHERE name = 'seals'",
    "DELETE FROM marks WHERE name = 'open'",
    "DROP TABLE notes",
    "UPDATE entries SET state = 'open' WHERE key = '02'",
    "UPDATE entries SET credits = 0",
    "UPDATE entries SET checksum = NULL WHERE key = '02'",
    "UPDATE history SET seq = seq + 1000, version = version + 9 WHERE key = '02'",
    "UPDATE results SET calculated = NULL",
    "UPDATE results SET key = '03'",
    "UPDATE notes SET value = 'another'",
    "UPDATE marks SET value = 'no ' WHERE name = 'open'",
    "INSERT INTO notes SELECT 99, 'b', value, checksum FROM notes",
]


@pytest.mark.parametrize("sql", SURGERY)
async def test_changed_and_missing_rows_are_found(path: Path, sql: str) -> None:
    """Changes by another program, and pages that returned to an earlier state, are found on opening."""
    await written(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(sql)
        connection.commit()
    await refusal(path, JournalDamaged)


async def test_a_row_is_checked_whenever_it_is_read(path: Path) -> None:
    """Damage after opening is reported by every call that reads the row; other calls work."""
    await written(path)
    async with SqliteJournal(path) as journal:
        connection = connection_of(journal)
        connection.execute("UPDATE entries SET credits = 7 WHERE key = '02'")
        connection.execute("UPDATE history SET version = 9 WHERE key = '03' AND version = 2")
        connection.execute("UPDATE results SET results = x'00'")
        connection.execute("UPDATE notes SET value = 'another'")
        connection.execute("UPDATE analyses SET key = 'x' WHERE analysis_id = 'id-3'")
        entry = await journal.get("04")
        assert entry is not None
        for ask in (
            lambda: journal.get("02"),
            lambda: listed(journal),
            lambda: journal.history("03"),
            lambda: journal.known(["id-3"]),
            lambda: journal.results("04"),
            lambda: journal.notes("acc"),
            lambda: journal.put(new("02")),
        ):
            with pytest.raises(JournalDamaged):
                await ask()
        assert (await journal.put(evolve(entry, state=State.ANALYZED))).version == entry.version + 1


async def test_a_change_that_does_not_reach_its_row_is_a_conflict(path: Path) -> None:
    """Another program made the rows read-only: nothing counts as stored that is not."""
    there = await written(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TRIGGER frozen BEFORE UPDATE ON entries BEGIN SELECT RAISE(IGNORE); END")
    async with SqliteJournal(path) as journal:
        entry = await journal.get("04")
        assert entry is not None
        with pytest.raises(JournalConflict):
            await journal.put(evolve(entry, state=State.ANALYZED))
    assert await read(path) == there


class Interrupted(BaseException):
    """What a signal may raise in any thread."""


async def test_a_change_that_an_interrupted_thread_had_taken_is_not_reported_as_stored(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two changes share a commit, and the thread is interrupted in it: the second caller gets an error, too."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    async with SqliteJournal(path) as journal:
        with monkeypatch.context() as patch:
            patch.setattr(store.Store, "set_note", interrupt)
            changes = (journal.set_note("a", "b"), journal.put(new("c")))
            errors = await asyncio.gather(*changes, return_exceptions=True)
        assert [type(error) for error in errors] == [Interrupted, JournalError]
        assert await journal.get("c") is None


@POSIX
async def test_a_new_journal_and_its_name_are_on_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut after the journal was opened leaves the complete file under its name."""
    synced, fsync = list[object](), os.fsync

    def recorded_fsync(handle: int) -> None:
        synced.append((os.fstat(handle).st_dev, os.fstat(handle).st_ino))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    async with SqliteJournal(path):
        assert synced == [files.file_id(path), files.file_id(path.parent)]


VERSION_1 = r"""
PRAGMA application_id = 1331914873;
PRAGMA user_version = 1;
CREATE TABLE entries (seq INTEGER PRIMARY KEY, key, state, version, credits, facts, checksum, UNIQUE (key));
INSERT INTO entries VALUES (1, 'a', 'intended', 1, 1, '{"analysis_id": null, "at": "2026-01-02T03:04:05+00:00", '
  || '"clip": "lauf-\u00fc.mp4", "credits": 1, "earliest": null, "key": "a", "latest": null, "name": "u.mp4", '
  || '"reason": "", "started_at": null, "state": "intended", "subject_id": null, "version": 1, "view": "side_view"}',
  X'11D6ADFDF84872EE837D404613B1B76A');
CREATE TABLE history (seq INTEGER PRIMARY KEY, key, version, facts, checksum, UNIQUE (key, version));
INSERT INTO history VALUES (1, 'a', 1, '{"analysis_id": null, "at": "2026-01-02T03:04:05+00:00", "reason": "", '
  || '"state": "intended", "version": 1}', X'0D921F81CE84C759CA3231C06FF9A288');
CREATE TABLE results (seq INTEGER PRIMARY KEY, key, results, calculated, checksum, UNIQUE (key));
INSERT INTO results VALUES (1, 'a', X'7B7D', NULL, X'95975357BF126363AA29BC1B3747D245');
CREATE TABLE notes (seq INTEGER PRIMARY KEY, name, value, checksum, UNIQUE (name));
INSERT INTO notes VALUES (1, 'account:d', 'd', X'025677CB84DBC83C8CE30E52F26B618D');
CREATE TABLE marks (seq INTEGER PRIMARY KEY, name, value, checksum, UNIQUE (name));
INSERT INTO marks VALUES (1, 'seals', '{\"entries\": [1, \"11d6adfdf84872ee837d404613b1b76a\"], '
  || '\"history\": [1, \"0d921f81ce84c759ca3231c06ff9a288\"], \"notes\": [1, \"025677cb84dbc83c8ce30e52f26b618d\"], '
  || '\"results\": [1, \"95975357bf126363aa29bc1b3747d245\"]}', X'A436BCA21172F563FD8D9B65928DC0AE');
INSERT INTO marks VALUES (2, 'open', 'no', X'4D25492C51C6A1F271B4F089172AD90C');
"""
"""A journal of schema 1, as SQLite dumps it."""


async def test_a_journal_of_schema_1_is_read_by_every_later_version(path: Path) -> None:
    """With other checksums, seals or names of fields, all journals would be refused, and what they know is paid for."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_1)
    entry = Entry(
        key="a",
        state=State.INTENDED,
        version=1,
        credits=1,
        clip="lauf-ü.mp4",
        name="u.mp4",
        view="side_view",
        at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )
    assert inspect(path).entries == (entry,)
    for _ in range(2):  # when it is upgraded, and again
        async with SqliteJournal(path) as journal:
            found = await journal.get("a")
            assert found is not None
            assert found == evolve(entry, state=State.SENDING, version=2, reason=found.reason)
            assert [line.state for line in await journal.history("a")] == [State.INTENDED, State.SENDING]
            assert await journal.results("a") == StoredResults(results=b"{}")
            assert await journal.notes("account:") == {"account:d": "d"}


# --- full disks -----------------------------------------------------------------------------------


async def test_a_full_disk_is_an_error_and_loses_nothing(path: Path) -> None:
    """A change without space is refused completely; small ones succeed if they fit; the rest is unchanged."""
    async with SqliteJournal(path) as journal:
        await stored_in_state(journal, State.STARTED, "a")
        entry = await stored_in_state(journal, State.STARTED, "b")
        connection = connection_of(journal)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 1}")
        before = await contents(journal)
        large = evolve(entry, state=State.ANALYZED), StoredResults(results=bytes(100_000))
        with pytest.raises(JournalFull) as caught:
            await journal.put(*large)
        assert not isinstance(caught.value.__context__, sqlite3.Error)
        assert await contents(journal) == before
        together = [journal.put(*large), journal.set_note("small", "fits"), journal.put(*large)]
        answers = await asyncio.gather(*together, return_exceptions=True)
        assert [type(answer) for answer in answers] == [JournalFull, type(None), JournalFull]
        assert (await journal.put(evolve(entry, state=State.FAILED))).version == 3
    async with SqliteJournal(path) as journal:
        assert len(await journal.history("b")) == 3


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    """A disk of a few pages, where one can be made."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:  # noqa: S603
        pytest.skip("no disk can be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)  # noqa: S603, S607


async def test_a_disk_that_becomes_full_loses_nothing(small_disk: Path) -> None:
    """Confirmed changes are there; opening is refused while the disk is full and works once there is space."""
    path, ballast = small_disk / "clips.journal", small_disk / "ballast"
    write(ballast, bytes(1_600_000))
    async with SqliteJournal(path) as journal:
        stored = await until_full(journal)
    assert stored > 5
    fill_up(small_disk / "more")
    await refusal(path, JournalFull)
    await refusal(small_disk / "other.journal", JournalFull)
    ballast.unlink()
    async with SqliteJournal(path) as journal:
        assert len(await listed(journal)) == stored
        assert not [entry for entry in await listed(journal) if await journal.results(entry.key) != KEPT]
        await stored_in_state(journal, State.STARTED, "more")


async def test_a_read_only_disk_is_refused(small_disk: Path) -> None:
    """Before a credit is spent, also for root, whether there is a journal or not."""
    path = small_disk / "clips.journal"
    there = await written(path)
    remount(small_disk, "ro")
    await refusal(path, JournalUnusable)
    await refusal(small_disk / "other.journal", JournalUnusable)
    remount(small_disk, "rw")
    assert await read(path) == there


def remount(disk: Path, how: str) -> None:
    """Makes a disk read-only or writable."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)  # noqa: S603, S607


async def until_full(journal: SqliteJournal) -> int:
    """How many results a journal stores before the disk is full."""
    for stored in range(1000):
        try:
            await journal.put(new(str(stored)), KEPT)
        except JournalFull:
            return stored
    raise AssertionError("the disk is too large")


def fill_up(path: Path) -> None:
    """Fills a disk completely."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 4096):
            pass


# --- other processes ------------------------------------------------------------------------------

CHILD = """
import sys, anyio
sys.path.append(sys.argv[2])
from attrs import evolve
from tests.journal.test_journal import new
from ochy_async.journal.contract import Entry, StoredResults
from ochy_async.journal.sqlite.journal import SqliteJournal
from ochy_async.policy.clip_states import State

async def write(journal, worker):
    for number in range(100_000):
        key = f"{worker}-{number}"
        entry = await journal.put(new(key))
        await journal.put(evolve(entry, state=State.STARTED, analysis_id=key), StoredResults(results=key.encode()))
        print(key, flush=True)

async def main():
    async with SqliteJournal(sys.argv[1]) as journal, anyio.create_task_group() as group:
        print("open", flush=True)
        for worker in range(4):
            group.start_soon(write, journal, worker)

anyio.run(main)
"""


@contextmanager
def child(path: Path) -> Generator[subprocess.Popen[str]]:
    """Another process that writes into the journal and prints each confirmed key."""
    tests = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", CHILD, str(path), tests]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        try:
            yield process
        finally:
            process.kill()


async def test_a_killed_process_loses_nothing(path: Path) -> None:
    """While it runs, no other process can open the file; after the kill, every confirmed change is there."""
    for kill in range(4):
        path, answered = path.with_name(f"{kill}.journal"), set[str]()
        with child(path) as process:
            await refusal(path, JournalBusy)
            assert process.stdout is not None
            for _ in range(20 + 35 * kill):
                answered.add(process.stdout.readline().strip())
            process.send_signal(signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
            answered.update(process.stdout.read().split())
        async with SqliteJournal(path) as journal:
            for key in answered:
                kept = await journal.results(key)
                assert kept is not None
                assert kept.results == key.encode()
                assert len(await journal.history(key)) == 2


async def test_a_missing_log_is_noticed_after_a_crash(path: Path) -> None:
    """The file without its log is refused; with it, it is complete."""
    with child(path) as process:
        assert process.stdout is not None
        key = process.stdout.readline().strip()
    log, aside = path.with_name(f"{path.name}-wal"), path.with_name("aside")
    assert log.stat().st_size
    log.rename(aside)
    assert f"{log.name} with the latest changes is gone" in await refusal(path, JournalDamaged)
    aside.rename(log)
    async with SqliteJournal(path) as journal:
        assert await journal.get(key) is not None


async def test_a_closed_journal_holds_nothing(path: Path) -> None:
    """Neither a file nor a lock: another connection can open it at once."""
    await written(path)

    def take() -> None:
        with closing(sqlite3.connect(path, timeout=0)) as connection:
            connection.execute("BEGIN EXCLUSIVE")

    await to_thread.run_sync(take)
    assert not files_held(path)


def test_an_interrupted_change_is_rolled_back(path: Path) -> None:
    """The other changes of its commit stay, and the file is valid."""

    def break_off(used: store.Store) -> None:
        used.set_note("half", "done")
        raise LookupError

    with closing(store.open_store(path)) as opened:
        answers = opened.commit([lambda used: used.put(new(), None), break_off, lambda used: used.set_note("b", "c")])
        assert [type(answer) for answer in answers] == [Entry, LookupError, type(None)]
    with closing(store.open_store(path)) as opened:
        assert opened.notes("") == {"b": "c"}
        assert opened.get("a") is not None


# --- the worker -----------------------------------------------------------------------------------


async def test_no_sql_runs_on_the_event_loop(path: Path) -> None:
    """A worker thread runs every statement of a query or a change."""
    threads: set[int] = set()
    async with SqliteJournal(path) as journal:
        connection_of(journal).set_trace_callback(lambda _: threads.add(threading.get_ident()))
        await stored_in_state(journal, State.ANALYZED)
        await contents(journal)
    assert threads
    assert threading.get_ident() not in threads


async def test_a_change_waits_for_an_abandoned_thread(path: Path) -> None:
    """`Task.cancel()` does not stop the thread; the next change comes after it, not in between."""
    midst = threading.Event()

    def linger(sql: str) -> None:
        if sql.startswith("INSERT") and not midst.is_set():
            midst.set()
            time.sleep(0.1)

    async with SqliteJournal(path) as journal:
        connection_of(journal).set_trace_callback(linger)
        left = asyncio.ensure_future(journal.put(new("left")))
        await to_thread.run_sync(midst.wait)
        left.cancel()
        await journal.put(new("next"))
        assert left.cancelled()
        assert [entry.key for entry in await listed(journal)] == ["left", "next"]


async def test_changes_that_wait_share_a_commit(path: Path) -> None:
    """One goes ahead and the others share the next; no change waits for more than two commits."""
    statements: list[str] = []
    async with SqliteJournal(path) as journal:
        connection_of(journal).set_trace_callback(statements.append)
        async with create_task_group() as group:
            for number in range(50):
                group.start_soon(journal.put, new(str(number)))
        assert 1 <= statements.count("COMMIT") <= 2
        assert len(await listed(journal)) == 50


# --- settings of SQLite -----------------------------------------------------------------------------

ANSWERS: dict[str, object] = {
    "journal_mode": "wal",
    "synchronous": 2,
    "locking_mode": "exclusive",
    "fullfsync": 1,
    "checkpoint_fullfsync": 1,
    "cell_size_check": 1,
    "trusted_schema": 0,
}
"""What SQLite answers of an open journal: without the first five a change that was answered may be forgotten."""


@pytest.mark.parametrize(("name", "answer"), ANSWERS.items())
async def test_the_settings_of_sqlite_apply(path: Path, name: str, answer: object) -> None:
    """To an open journal and to a new one."""
    async with SqliteJournal(path) as journal:
        assert connection_of(journal).execute(f"PRAGMA {name}").fetchone() == (answer,)


async def test_a_setting_that_sqlite_does_not_accept_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal is not used then."""
    await written(path)
    monkeypatch.setattr(connection, "DURABLE", {"synchronous": ("NORMAL", 2)})
    assert "synchronous is not NORMAL" in await refusal(path, JournalUnusable)
