"""Whether a journal becomes slower with what is finished: what a run asks of it, with more and more entries.

Each journal is filled with the rows that finished clips leave behind, with small results, and with the same few clips
in flight whatever its size. Then a process of its own opens it, and does what a run does first: the totals, which of
100 ids are known, the unresolved starts (the first step of a resume), and the lives of a few new clips. Constant time
shows as a ratio near 1 beside the smallest journal.

`python -m benchmarks growth --entries 1000000` has a million entries; the default is 100,000.

Invariant: all journals are asked the same, and each answers what it was filled with.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final
from uuid import uuid4

import asyncpg
from attrs import evolve

from ochy_async import PostgresJournal
from ochy_async.journal.contract import Entry, Journal, StoredResults
from ochy_async.journal.encoding import to_json
from ochy_async.journal.sqlite import rows
from ochy_async.journal.sqlite.journal import SqliteJournal
from ochy_async.journal.transitions import history_entry
from ochy_async.policy.clip_states import UNRESOLVED, State

from .comparison import Figure, Rounds, Table, alternate
from .journals import SyncedServer, journal_at, live

__all__ = ["ENTRIES", "ask", "benchmarks", "fill_file", "fill_schema"]

ENTRIES: Final = 100_000
SIZES: Final = (600, 10_000, 100_000)
"""The sizes that are always measured if they are not larger than the largest one. A journal of the smallest size is
just small enough to be verified completely when it is opened."""
BASE: Final = "10,000 entries"
IN_FLIGHT: Final = 300
"""Clips of each journal that are not finished, a third in each of these states."""
STATES: Final = (State.SENDING, State.UNCERTAIN, State.STARTED)
LIVES: Final = 20
"""New clips of each run, one after the other."""
ASKED: Final = 100
QUESTIONS: Final = ("open", "totals", f"known of {ASKED} ids", "resume", f"{LIVES} new clips", "memory")
"""All but the memory, which is in MB, are in milliseconds, and have the processor time of the process that asks."""
KEY: Final = "0" * 32
"""What a template holds in the place of the key and of the id of an analysis."""
ADDRESS: Final = "OCHY_JOURNAL"
"""An address holds a password, so a child reads it from its environment."""


def _key(number: int) -> str:
    return f"{number:032x}"


def _in_flight(number: int, entries: int) -> State | None:
    """The state of an entry that is not finished: they are spread evenly over the journal."""
    place, offset = divmod(number, entries // IN_FLIGHT)
    return STATES[place % len(STATES)] if not offset and place < IN_FLIGHT else None


def _steps(state: State) -> list[Entry]:
    """The versions of an entry that has come to a state."""
    first = Entry(key=KEY, state=State.INTENDED, version=1, credits=1, clip=f"{KEY}.mp4", at=datetime.now(UTC))
    sending = evolve(first, state=State.SENDING, version=2, token=KEY)
    started = evolve(sending, state=State.STARTED, version=3, analysis_id=KEY)
    steps = [first, sending, started, evolve(started, state=State.ANALYZED, version=4)]
    if state is State.UNCERTAIN:
        return [first, sending, evolve(sending, state=state, version=3)]
    return steps[: next(each.version for each in steps if each.state is state)]


FILLING: Final = f"""
CREATE TEMPORARY TABLE filling AS SELECT n, lpad(to_hex(n), 32, '0') AS key,
    CASE WHEN n % {{step}} = 0 AND n / {{step}} < {IN_FLIGHT} THEN n / {{step}} % {len(STATES)}
        ELSE {len(STATES)} END AS state
FROM generate_series(0, {{last}}) n ORDER BY n
"""  # noqa: S608 - numbers of this module
"""Numbers the entries of a schema, each with its key and the place of its state in `STATES`; finished ones are last."""


# --- filling: by SQL, since a million lives would take an hour --------------------------------------


def fill_file(path: Path, entries: int) -> None:
    """Writes the rows of finished clips into a new SQLite journal, with their checksums and the summary of all."""
    asyncio.run(_touch(SqliteJournal(path)))
    summary, seals = rows.Summary(), {table.name: [0, 0] for table in rows.SEALED}
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        for table in (rows.ENTRIES, rows.HISTORY, rows.ANALYSES, rows.RESULTS):
            names = ", ".join((*table.columns, "checksum"))
            places = ", ".join("?" * (len(table.columns) + 1))
            connection.executemany(
                f"INSERT INTO {table.name} ({names}) VALUES ({places})",  # noqa: S608 - names from `rows`
                _sealed(table, entries, seals[table.name]),
            )
        summary = rows.Summary(
            {name: rows.Seal(count, total) for name, (count, total) in seals.items()}, _states(entries), entries
        )
        mark = rows.note_row("seals", rows.summary_text(summary))
        connection.execute(
            "UPDATE marks SET value = ?, checksum = ? WHERE name = ?", (mark[1], rows.MARKS.checksum(mark), mark[0])
        )
        connection.execute("COMMIT")


def _sealed(table: rows.Table, entries: int, seal: list[int]) -> Iterator[rows.Values]:
    templates = {state: _templates(table, state) for state in (*STATES, State.ANALYZED)}
    for number in range(entries):
        key = _key(number)
        for template in templates[_in_flight(number, entries) or State.ANALYZED]:
            values = tuple(each.replace(KEY, key) if isinstance(each, str) else each for each in template)
            checksum = table.checksum(values)
            seal[:] = seal[0] + 1, seal[1] ^ int.from_bytes(checksum)
            yield *values, checksum


def _templates(table: rows.Table, state: State) -> list[rows.Values]:
    steps = _steps(state)
    if table is rows.ENTRIES:
        return [rows.entry_row(steps[-1])]
    if table is rows.HISTORY:
        return [rows.history_row(KEY, history_entry(step)) for step in steps]
    if steps[-1].analysis_id is None:
        return []
    if table is rows.ANALYSES:
        return [rows.analysis_row(KEY, KEY)]
    return [rows.results_row(KEY, StoredResults(results=b"{}"))] if state is State.ANALYZED else []


def _states(entries: int) -> dict[State, int]:
    return {**dict.fromkeys(STATES, IN_FLIGHT // len(STATES)), State.ANALYZED: entries - IN_FLIGHT}


async def _touch(journal: Journal) -> None:
    async with journal:
        pass


async def fill_schema(address: str, schema: str, entries: int) -> None:
    """The same for Postgres, which makes the rows itself."""
    await _touch(PostgresJournal(address, schema=schema))
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(f"SET search_path = {schema}")
        await connection.execute(FILLING.format(last=entries - 1, step=entries // IN_FLIGHT))
        for place, state in enumerate((*STATES, State.ANALYZED)):
            await _fill_state(connection, place, state)
        await connection.execute(
            f"UPDATE budget SET credits = {entries};"  # noqa: S608 - a number
            "INSERT INTO tallies SELECT 'analyzed', 0, count(*) FROM results UNION ALL "
            "SELECT 'analyses', 0, count(*) FROM analyses"
        )
        await connection.execute("VACUUM (ANALYZE)")
    finally:
        await connection.close()


async def _fill_state(connection: asyncpg.Connection, place: int, state: State) -> None:
    """Adds the rows of the entries in one state, which `filling` numbers."""
    steps = _steps(state)
    last, of = steps[-1], "FROM filling WHERE state = $1"
    await connection.execute(
        f"INSERT INTO entries (key, state, version, credits, facts) "
        f"SELECT key, $2, $3, 1, replace($4, $5, key) {of} ORDER BY n",
        *(place, state.value, last.version, to_json(last), KEY),
    )
    for step in steps:
        await connection.execute(
            f"INSERT INTO history SELECT key, $2, '', replace($3, $4, key) {of}",
            *(place, step.version, to_json(history_entry(step)), KEY),
        )
    if last.analysis_id is not None:
        await connection.execute(f"INSERT INTO analyses SELECT key, key {of}", place)
    if state is State.ANALYZED:
        await connection.execute(f"INSERT INTO results SELECT key, '{{}}' {of}", place)


# --- measuring, in a process of its own -------------------------------------------------------------


async def _measured(place: str, schema: str, entries: int) -> dict[str, list[float]]:
    took: dict[str, list[float]] = {}
    journal, before = journal_at(place, schema), _resident()
    began = time.perf_counter(), time.process_time()

    def note(question: str) -> None:
        nonlocal began
        now = time.perf_counter(), time.process_time()
        took[question] = [(now[0] - began[0]) * 1000, now[1] - began[1]]
        began = now

    async with journal:
        note(QUESTIONS[0])
        totals = await journal.totals()
        note(QUESTIONS[1])
        known = await journal.known([_key(entries // IN_FLIGHT * place + 1) for place in range(ASKED)])
        note(QUESTIONS[2])
        unresolved = [entry async for entry in journal.entries(*UNRESOLVED)]
        note(QUESTIONS[3])
        for _ in range(LIVES):
            await live(journal, uuid4().hex)
        note(QUESTIONS[4])
        took[QUESTIONS[5]] = [(_resident() - before) / 1e6]
    found = sum(totals.entries.values()) - totals.entries[State.ANALYZED], len(known), len(unresolved)
    if found != (IN_FLIGHT, ASKED, IN_FLIGHT * 2 // 3) or totals.credits < entries:
        raise AssertionError(f"the journal does not answer what it was filled with: {found}, {totals}")
    return took


def _resident() -> int:
    """The resident memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def ask(place: str, schema: str, entries: int) -> dict[str, list[float]]:
    """What each question takes, by the clock and then of the processor, by a process of its own.

    Fails if an answer is not what the journal was filled with.
    """
    command = [sys.executable, "-m", f"{__package__}.growth", schema, str(entries)]
    environment = {**os.environ, ADDRESS: place}
    output = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)  # noqa: S603 - our program
    answers: dict[str, list[float]] = json.loads(output.stdout)
    return answers


# --- tables -----------------------------------------------------------------------------------------


def _tables(name: str, places: dict[int, tuple[str, str]], rounds: int) -> Iterator[Table]:
    """One table for each question; the contenders are the sizes."""
    answers: dict[str, list[dict[str, list[float]]]] = {}

    def asked(entries: int) -> float:
        answers.setdefault(f"{entries:,} entries", []).append(ask(*places[entries], entries))
        return 0.0

    alternate({str(entries): partial(asked, entries) for entries in places}, rounds)
    for question in QUESTIONS:
        figures = {size: Figure.of(_rounds(each[question] for each in found)) for size, found in answers.items()}
        unit = "MB" if question == QUESTIONS[-1] else "ms"
        yield Table(f"{name} journal, {question}", unit, figures, BASE if BASE in figures else next(iter(figures)))


def _rounds(values: Iterable[Sequence[float]]) -> Rounds:
    """The values of one question, with the processor time where it was measured."""
    rounds = Rounds()
    for value, *cpu in values:
        rounds.append(value)
        rounds.cpu += cpu
    return rounds


def benchmarks(rounds: int, entries: int = ENTRIES) -> Iterator[Table]:
    """SQLite and Postgres, each with journals of up to so many entries."""
    sizes = sorted({*(size for size in SIZES if size < entries), entries})
    with tempfile.TemporaryDirectory() as folder:
        files = {size: (str(Path(folder) / f"{size}.journal"), "") for size in sizes}
        for size, (path, _) in files.items():
            fill_file(Path(path), size)
        yield from _tables("SQLite", files, rounds)
    server = SyncedServer()
    try:
        server.start()
        schemas = {size: (server.url, f"growth_{size}") for size in sizes}
        for size, (address, schema) in schemas.items():
            asyncio.run(fill_schema(address, schema, size))
        yield from _tables("Postgres", schemas, rounds)
    finally:
        server.end()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_measured(os.environ[ADDRESS], sys.argv[1], int(sys.argv[2])))))
