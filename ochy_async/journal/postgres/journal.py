"""A journal in Postgres: durable, for any number of workers on any number of machines.

Invariant: each change is one statement, which the server carries out completely or not at all, and which may be sent
again if its confirmation was lost. Leases follow the clock of the server only.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from datetime import datetime
from hashlib import md5, sha256
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self
from uuid import uuid4

from anyio import move_on_after
from anyio.lowlevel import checkpoint_if_cancelled
from attrs import evolve

from ...errors import InvalidSettings, JournalBusy, JournalConflict, JournalError, JournalUnusable
from ...extras import missing_library
from ...policy.clip_states import FINISHED, TRANSITIONS, State
from ..contract import LEASE, Ceilings, Entry, HistoryEntry, Journal, JournalTotals, StoredResults
from ..encoding import entry_from, from_ascii, history_from, to_ascii, to_json
from ..transitions import (
    HOLDS_SUBJECT,
    analysis_conflict,
    check_limit,
    history_entry,
    next_version,
    subject_conflict,
    with_analysis,
)
from . import schema as sql
from .address import address_place, address_problem
from .connections import ConnectionLimits, Connections, Work
from .errors import error_code, unusable_error

if TYPE_CHECKING:
    import asyncpg

__all__ = ["PostgresJournal"]

ENVIRONMENT: Final = "OCHY_JOURNAL"
PAGE: Final = 500


class PostgresJournal(Journal):
    """Stores entries in a Postgres database: `PostgresJournal("postgresql://user:password@host/database")`.

    Any number of workers may use it at once; what one of them buys, the others know. The address is read by asyncpg,
    like libpq's: further hosts, `sslmode` and libpq's environment variables count. Without one, it is the value of
    OCHY_JOURNAL. The tables are made in the schema `schema` when they are missing. A pooler in transaction mode does
    not forward notifications: name the server itself. The ceilings are those of all workers together; give each worker
    the same. Needs the extra `postgres`. Entering raises `JournalError` and its subclasses, before a credit is spent.
    """

    _connection_limits: ClassVar[ConnectionLimits] = ConnectionLimits()

    def __init__(
        self,
        dsn: str | None = None,
        *,
        polls_per_second: float | None = None,
        uploads: int | None = None,
        schema: str = "ochy",
    ) -> None:
        """Raises `InvalidSettings`, without the text of the address, if the journal can never work."""
        self._address = os.environ.get(ENVIRONMENT, "") if dsn is None else dsn
        del dsn  # a traceback shows the variables of this frame
        self._schema = schema
        self._channel = f"{schema}_claims"
        self._ceilings = Ceilings(polls_per_second=polls_per_second, uploads=uploads)
        self._check()
        self._place = address_place(self._address)
        self._connections: Connections | None = None
        self._worker, self._version = "", 0
        self._failover = False

    def __repr__(self) -> str:
        return f"<PostgresJournal in {self._place}, schema {self._schema}>"

    def __reduce__(self) -> Any:
        raise TypeError("a journal may hold a password and cannot be pickled. Make a new one in the other process.")

    @property
    def shared(self) -> bool:
        return True

    @property
    def ceilings(self) -> Ceilings:
        return self._ceilings

    @property
    def failover(self) -> bool:
        return self._failover

    async def __aenter__(self) -> Self:
        if self._connections is not None:
            raise JournalBusy(
                f"This journal in Postgres ({self._place}) is already open. Make another one for a batch."
            )
        self._worker, self._version = uuid4().hex, len(sql.MIGRATIONS)
        self._connections = Connections(self._address, self._place, self._channel, self._connection_limits)
        try:
            self._failover = await self._connections.open(self._open)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close(self._leaving)

    # --- entries ------------------------------------------------------------------------------------

    async def get(self, key: str) -> Entry | None:
        facts = await self._read_value(sql.GET, to_ascii(key))
        return None if facts is None else entry_from(facts)

    async def put(self, entry: Entry, results: StoredResults | None = None, *, most: int | None = None) -> Entry:
        await self._begin()
        stored = evolve(entry, version=entry.version + 1)
        await self._store([entry], [stored], [history_entry(stored)], results, most)
        return stored

    async def put_all(self, entries: Sequence[Entry]) -> None:
        await self._begin()
        ordered = sorted(entries, key=lambda entry: entry.key)  # two such calls never wait for each other
        stored = [evolve(entry, version=entry.version + 1) for entry in ordered]
        await self._store(ordered, stored, list(map(history_entry, stored)))

    async def add_analysis(self, key: str, analysis_id: str, reason: str) -> Entry:
        await self._begin()
        while True:
            row = await self._require_open().run(self._rows(sql.OWNER, to_ascii(key), to_ascii(analysis_id)))
            entry, owner = entry_from(row[0]["facts"]), row[0]["owner"]
            if owner == to_ascii(key):
                return entry
            stored, change = with_analysis(entry, analysis_id, reason)
            try:
                await self._store([entry], [stored], [change], starts=entry.state.value)
            except JournalConflict:
                if owner is not None:
                    raise
            else:
                return stored

    async def _store(
        self,
        entries: Sequence[Entry],
        stored: Sequence[Entry],
        changes: Sequence[HistoryEntry],
        results: StoredResults | None = None,
        most: int | None = None,
        starts: str | None = None,
    ) -> None:
        """Stores next versions of entries. `starts` is the state in which they are, if it is not to change."""
        arguments = (
            uuid4().hex,
            [to_ascii(entry.key) for entry in entries],
            [entry.version for entry in entries],
            [_starts(entry.state) if starts is None else starts for entry in entries],
            [entry.state.value for entry in stored],
            [entry.credits for entry in stored],
            [_ascii(entry.subject_id) if entry.state in HOLDS_SUBJECT else None for entry in stored],
            [_ascii(change.analysis_id) for change in changes],
            [to_json(entry) for entry in stored],
            [to_json(change) for change in changes],
            results and results.results,
            results and results.calculated,
            most,
        )

        async def send(connection: asyncpg.Connection, _: bool) -> tuple[str, Any]:
            import asyncpg

            try:
                return "", await connection.fetchval(self._sql(sql.STORE), *arguments)
            except asyncpg.PostgresError as error:
                return _refusal(error)

        refused, detail = await self._require_open().run(send)
        if refused == sql.LIMIT_REACHED and most is not None:
            check_limit(int(detail), most)
        if refused == sql.ANALYSIS_CONFLICT:
            place = int(detail) - 1
            raise analysis_conflict(evolve(stored[place], analysis_id=changes[place].analysis_id))
        if refused == sql.SUBJECT_CONFLICT:
            raise subject_conflict(stored[int(detail) - 1])
        if detail is not None:
            changed = next(entry for entry in entries if to_ascii(entry.key) == detail)
            next_version(await self.get(changed.key), changed)  # raises the error that says what has changed
            raise JournalError(f"The journal in Postgres ({self._place}) contradicts itself. Nothing was stored.")

    async def results(self, key: str) -> StoredResults | None:
        rows = await self._read(sql.RESULTS, to_ascii(key))
        return StoredResults(results=rows[0]["results"], calculated=rows[0]["calculated"]) if rows else None

    async def entries(self, *states: State) -> AsyncGenerator[Entry]:
        after, wanted = 0, [state.value for state in set(states or State)]
        while page := await self._read(sql.PAGE, after, PAGE, wanted):
            for row in page:
                yield entry_from(row["facts"])
            after = page[-1]["seq"]

    async def history(self, key: str) -> tuple[HistoryEntry, ...]:
        return tuple(history_from(row["facts"]) for row in await self._read(sql.HISTORY, to_ascii(key)))

    async def totals(self) -> JournalTotals:
        (row,) = await self._read(sql.TOTALS, [state.value for state in State if state not in FINISHED])
        numbers = json.loads(row["entries"])
        analyses = numbers.pop("analyses", 0)
        return JournalTotals(
            entries={State(state): number for state, number in numbers.items() if number},
            credits=row["credits"],
            committed=row["credits"],
            analyses=analyses,
        )

    async def known(self, analysis_ids: Collection[str]) -> frozenset[str]:
        rows = await self._read(sql.KNOWN, list(map(to_ascii, analysis_ids)))
        return frozenset(from_ascii(row["analysis_id"]) for row in rows)

    # --- notes, tagging subjects, digests -------------------------------------------------------------

    async def notes(self, prefix: str, since: str = "") -> Mapping[str, str]:
        rows = await self._read(sql.NOTES, to_ascii(prefix), to_ascii(since))
        return {from_ascii(row["name"]): from_ascii(row["value"]) for row in rows}

    async def set_note(self, name: str, value: str) -> None:
        await self._change(sql.SET_NOTE, to_ascii(name), to_ascii(value), uuid4().hex)

    async def swap_note(self, name: str, before: str | None, value: str) -> bool:
        note = to_ascii(name), to_ascii(value), uuid4().hex
        if before is None:
            return bool(await self._change(sql.ADD_NOTE, *note))
        return bool(await self._change(sql.SWAP_NOTE, *note, to_ascii(before)))

    async def tagging_subjects(self) -> Mapping[str, bool]:
        return {from_ascii(row["subject"]): row["usable"] for row in await self._read(sql.SUBJECTS)}

    async def add_tagging_subject(self, subject_id: str) -> None:
        await self._change(sql.ADD_SUBJECT, to_ascii(subject_id))

    async def retire_tagging_subject(self, subject_id: str) -> None:
        await self._change(sql.RETIRE_SUBJECT, to_ascii(subject_id))

    async def remembered_digest(self, source: str) -> str | None:
        digest = await self._read_value(sql.DIGEST, _source_id(source))
        return None if digest is None else from_ascii(digest)

    async def remember_digest(self, source: str, digest: str) -> None:
        await self._change(sql.SET_DIGEST, _source_id(source), to_ascii(digest))

    # --- workers ------------------------------------------------------------------------------------

    async def take(self, *names: str) -> str | None:
        await self._begin()
        statement, ascii_names = self._sql(sql.TAKE), list(map(to_ascii, names))

        async def send(connection: asyncpg.Connection, again: bool) -> Any:
            return await connection.fetch(statement, self._worker, ascii_names, again, self._version)

        taken = self._only(await self._require_open().run(send))["name"]
        return None if taken is None else from_ascii(taken)

    async def leave(self, name: str) -> None:
        await self._change(sql.LEAVE, to_ascii(name), self._worker, self._channel)

    async def holder(self, name: str) -> str | None:
        rows = await self._read(sql.HOLDER, to_ascii(name))
        return f"worker {rows[0]['name'][:8]} ({from_ascii(rows[0]['label'])})" if rows else None

    async def changed(self, name: str, seconds: float) -> None:
        claim = to_ascii(name)
        with self._require_open().hearing(md5(claim.encode(), usedforsecurity=False).hexdigest()) as ended:
            await self._require_open().listen()
            lease = await self._change(sql.AWAIT, claim)
            if lease is not None:
                with move_on_after(min(seconds, lease)):
                    await ended.wait()

    async def beat(self) -> float:
        await self._begin()
        beat = self._rows(sql.BEAT, self._worker, _label(), LEASE, self._version)
        row = self._only(await self._require_open().run(beat))
        self._failover = self._failover and row["failover"]  # another worker may have ended it
        paused: float = row["paused"]
        return paused

    async def now(self) -> datetime | None:
        now: datetime = await self._read_value(sql.NOW)
        return now

    async def pause(self, seconds: float) -> None:
        await self._change(sql.PAUSE, seconds)

    async def reserve(self, name: str, count: int, per_second: float) -> float:
        wait: float = await self._change(sql.RESERVE, to_ascii(name), count / per_second)
        return wait

    async def end_failover(self) -> None:
        await self._change(sql.END_FAILOVER)
        self._failover = False

    # --- opening and closing --------------------------------------------------------------------------

    def _check(self) -> None:
        problem = address_problem(self._address)
        if problem is not None:
            raise InvalidSettings(f"The address of the PostgresJournal (or {ENVIRONMENT}) {problem}.")
        if not isinstance(self._schema, str) or not sql.SCHEMA_NAME.fullmatch(self._schema):
            raise InvalidSettings(
                "The schema of the PostgresJournal must be 1 to 48 characters of a-z 0-9 _, and begin with no digit."
            )
        for name, ceiling in (
            ("polls_per_second", self._ceilings.polls_per_second),
            ("uploads", self._ceilings.uploads),
        ):
            if ceiling is not None and not ceiling > 0:
                raise InvalidSettings(f"{name} of the PostgresJournal must be more than 0, not {ceiling!r}.")
        try:
            import asyncpg as _  # noqa: F401 - whether it is there
        except ImportError:
            missing = missing_library("PostgresJournal", "asyncpg", "postgres")
        else:
            return
        raise InvalidSettings(missing)

    async def _open(self, connection: asyncpg.Connection, _: bool) -> bool:
        """Makes or migrates the tables and registers the worker. Returns whether another server has taken over."""
        identity = self._require_open().identity
        async with connection.transaction():
            lock = int.from_bytes(sha256(f"ochy journal {self._schema}".encode()).digest()[:8], signed=True)
            await connection.execute("SELECT pg_advisory_xact_lock($1)", lock)
            await self._migrate(connection, identity)
            failover: bool = await connection.fetchval(self._sql(sql.OPENED), identity)
            await connection.execute(self._sql(sql.FORGET_WORKERS))
            await connection.execute(self._sql(sql.BEAT), self._worker, _label(), LEASE, self._version)
        return failover

    async def _migrate(self, connection: asyncpg.Connection, identity: str) -> None:
        exists = await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", f'"{self._schema}".about')
        version = (await connection.fetchval(self._sql(sql.ABOUT)) or 0) if exists else 0
        if version > len(sql.MIGRATIONS):
            raise self._outdated()
        if version == len(sql.MIGRATIONS):
            return
        if exists and await connection.fetchval(self._sql(sql.LIVE_WORKERS)):
            raise JournalBusy(
                f"The journal in Postgres ({self._place}) is in use by an older version of ochy-async, and this "
                "version changes its tables. End those workers, wait half a minute, and run again."
            )
        if not await connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", f'"{self._schema}"'):
            await connection.execute(self._sql("CREATE SCHEMA {schema}"))
        for script in sql.MIGRATIONS[version:]:
            await connection.execute(self._sql(script))
        await connection.execute(self._sql(sql.MIGRATED), len(sql.MIGRATIONS), identity)

    async def _leaving(self, connection: asyncpg.Connection, _: bool) -> None:
        await connection.execute(self._sql(sql.LEAVE_ALL), self._worker, self._channel)

    async def _close(self, leaving: Work[None] | None = None) -> None:
        connections, self._connections = self._require_open(), None
        await connections.close(leaving)

    # --- statements -----------------------------------------------------------------------------------

    async def _read(self, statement: str, *arguments: object) -> list[Any]:
        return await self._require_open().read(self._rows(statement, *arguments))

    async def _read_value(self, statement: str, *arguments: object) -> Any:
        rows = await self._read(statement, *arguments)
        return rows[0][0] if rows else None

    async def _change(self, statement: str, *arguments: object) -> Any:
        """Returns the first value of the first row, if there is one."""
        await self._begin()
        rows = await self._require_open().run(self._rows(statement, *arguments))
        return rows[0][0] if rows else None

    def _rows(self, statement: str, *arguments: object) -> Any:
        async def send(connection: asyncpg.Connection, _: bool) -> list[Any]:
            return await connection.fetch(self._sql(statement), *arguments)

        return send

    def _only(self, rows: list[Any]) -> Any:
        """The row of a statement that has one only if the tables have the version of this worker."""
        if not rows:
            raise self._outdated()
        return rows[0]

    def _outdated(self) -> JournalUnusable:
        why = f"was changed by a newer version of ochy-async than this one, which knows schema {len(sql.MIGRATIONS)}"
        return unusable_error(self._place, why, "Update ochy-async here")

    def _sql(self, statement: str) -> str:
        return statement.format(schema=f'"{self._schema}"')

    async def _begin(self) -> None:
        """Begins a change, unless the caller is cancelled already."""
        self._require_open()
        await checkpoint_if_cancelled()

    def _require_open(self) -> Connections:
        if self._connections is None:
            raise unusable_error(self._place, "is not open", "Use it inside of `async with journal:`")
        return self._connections


def _starts(state: State) -> str:
    """The states from which an entry may get into this one; a new entry has none."""
    return ",".join(before or "" for before, after in TRANSITIONS.items() if state in after)


def _refusal(error: asyncpg.PostgresError) -> tuple[str, Any]:
    """Why a change was refused, and about what. Raises every other error."""
    code = error_code(error)
    if code not in (sql.ANALYSIS_CONFLICT, sql.SUBJECT_CONFLICT, sql.LIMIT_REACHED):
        raise error
    return code, getattr(error, "detail", None)


def _source_id(source: str) -> str:
    return sha256(to_ascii(source).encode()).hexdigest()


def _ascii(text: str | None) -> str | None:
    return None if text is None else to_ascii(text)


def _label() -> str:
    return to_ascii(f"{platform.node() or 'unknown host'}, process {os.getpid()}")
