"""The analysis ids that a long journal returns for each lookup of an uncertain start."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from attrs import evolve

from ochy_async.journal.contract import Entry
from ochy_async.journal.sqlite.rows import Row, Table
from ochy_async.journal.sqlite.store import BEFORE_ALL, Store, open_store
from ochy_async.policy.clip_states import State


class CountingStore(Store):
    """Counts the rows that are read during a pass over an entire table."""

    read = 0

    def _all_rows(self, table: Table, after: int = BEFORE_ALL) -> Iterator[Row]:
        for row in super()._all_rows(table, after):
            self.read += 1
            yield row


def start(store: Store, number: int) -> None:
    """Adds two changes to the history, the second with an id."""
    intended = Entry(key=str(number), state=State.INTENDED, at=datetime.now(UTC))
    (entry,) = store.commit([lambda store: store.put(intended, None)])
    started = evolve(entry, state=State.STARTED, analysis_id=f"id-{number}")
    store.commit([lambda store: store.put(started, None)])


def test_a_lookup_reads_only_new_rows_of_the_history(tmp_path: Path) -> None:
    """The ids of a long journal are not read again for each uncertain start, and none is missed."""
    path = tmp_path / "journal"
    store = CountingStore(open_store(path).connection, path, log_found=True)
    store.verify()
    for number in range(3):
        start(store, number)
        store.read = 0
        assert store.analysis_ids() == {f"id-{each}" for each in range(number + 1)}
        assert store.read == 2
    store.close()


def test_a_rolled_back_change_adds_no_id(tmp_path: Path) -> None:
    """A failed change leaves no id in the cache, and the row that takes its place is read."""
    path = tmp_path / "journal"
    store = open_store(path)
    start(store, 0)
    assert store.analysis_ids() == {"id-0"}
    stale = Entry(key="1", state=State.STARTED, analysis_id="never", at=datetime.now(UTC))
    (refused,) = store.commit([lambda store: store.put(stale, None)])
    assert isinstance(refused, Exception)
    start(store, 1)
    assert store.analysis_ids() == {"id-0", "id-1"}
    store.close()
