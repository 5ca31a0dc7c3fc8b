"""What a journal that has become long asks of whoever looks a doubt up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest
from attrs import evolve

from ochy_async.journal.contract import Entry
from ochy_async.journal.rows import Row, Table
from ochy_async.journal.sqlite import SqliteJournal
from ochy_async.journal.store import Store
from ochy_async.policy.batching import State


def test_a_lookup_reads_what_is_new_in_the_history_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ids of a long journal are not read again for each doubt, and none is missed."""
    read = []
    all_rows = Store._all

    def counted(self: Store, table: Table, *after: int) -> Iterator[Row]:
        for row in all_rows(self, table, *after):
            read.append(row)
            yield row

    async def story() -> list[tuple[int, int]]:
        monkeypatch.setattr(Store, "_all", counted)
        found = []
        async with SqliteJournal(tmp_path / "journal") as journal:
            for number in range(3):
                now = datetime.now(UTC)
                entry = await journal.put(Entry(key=str(number), state=State.INTENDED, at=now))
                await journal.put(evolve(entry, state=State.STARTED, analysis_id=f"id-{number}"))
                read.clear()
                found.append((len(await journal.analysis_ids()), len(read)))
        return found

    assert anyio.run(story) == [(1, 2), (2, 2), (3, 2)]
