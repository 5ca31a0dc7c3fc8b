"""Entries and what belongs to them as table rows with checksums.

Invariant: pure. A row is read back exactly as its checksum was computed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from attrs import evolve, field, frozen

from ...policy.clip_states import State
from ..contract import Entry, HistoryEntry, StoredResults
from ..encoding import entry_from, from_ascii, history_from, to_ascii, to_json

__all__ = [
    "ANALYSES",
    "ENTRIES",
    "HISTORY",
    "MARKS",
    "NOTES",
    "RESULTS",
    "SEALED",
    "TABLES",
    "Row",
    "Seal",
    "Summary",
    "Table",
    "Values",
    "to_ascii",
]

Values = tuple[Any, ...]
"""The values in the columns of a table: text, integers, bytes, None."""


@frozen
class Table:
    """One table: its columns, and the key by which a row is found."""

    name: str
    columns: tuple[str, ...]
    unique: tuple[str, ...]
    """The columns by which a row is found. No two rows share their values."""

    def checksum(self, values: Values) -> bytes:
        """Returns 16 bytes over the canonical content, in which bytes are replaced by their digest."""
        text = json.dumps([self.name, *values], default=_digest)
        return hashlib.blake2b(text.encode("ascii"), digest_size=16).digest()

    def matches(self, row: Row) -> bool:
        """Whether a row is unchanged since it was written."""
        return isinstance(row.checksum, bytes) and self.checksum(row.values) == row.checksum


ENTRIES: Final = Table("entries", ("key", "state", "version", "credits", "facts"), ("key",))
"""The current entries. `facts` holds the entire entry; the other columns serve queries in SQL."""
HISTORY: Final = Table("history", ("key", "version", "facts"), ("key", "version"))
"""Append-only."""
ANALYSES: Final = Table("analyses", ("analysis_id", "key"), ("analysis_id",))
"""Append-only. Every analysis in the history, and the entry that has or had it. Schema 3 and later."""
RESULTS: Final = Table("results", ("key", "results", "calculated"), ("key",))
"""Health data, apart from everything else."""
NOTES: Final = Table("notes", ("name", "value"), ("name",))
MARKS: Final = Table("marks", ("name", "value"), ("name",))
"""What the journal records about itself: its `Summary`, and whether it was closed."""
SEALED: Final = (ENTRIES, HISTORY, RESULTS, NOTES, ANALYSES)
TABLES: Final = (*SEALED, MARKS)
_TOTALS: Final = "*"
"""The name of the totals in the value of a mark that otherwise has a seal for each table."""


@frozen
class Row:
    """A row as it was read."""

    seq: int
    """Its position in the order in which rows were added."""
    values: Values
    checksum: bytes


@frozen
class Seal:
    """A checksum over all rows of a table. It detects a missing row, which the checksum of that row cannot."""

    rows: int = 0
    total: int = 0
    """The checksums of all rows combined by XOR: the order does not matter, and a row can be removed again."""

    def replaced(self, before: bytes | None, after: bytes) -> Seal:
        """Returns the seal after a row got a new checksum; `before` is None for a row that was added."""
        rows = self.rows + (before is None)
        return Seal(rows, self.total ^ int.from_bytes(before or b"") ^ int.from_bytes(after))


@frozen
class Summary:
    """What the journal records about all its rows, so that nobody has to read them all."""

    seals: Mapping[str, Seal] = field(factory=dict)
    """The seal of each table; a table without rows may be left out."""
    states: Mapping[State, int] = field(factory=dict)
    """The number of entries by state; states without entries are left out."""
    credits: int = 0
    """How many credits all entries together may have cost."""

    @property
    def rows(self) -> int:
        return sum(seal.rows for seal in self.seals.values())

    def seal(self, table: Table) -> Seal:
        return self.seals.get(table.name, Seal())

    def replaced(self, table: Table, before: Row | None, after: Row) -> Summary:
        """Returns the summary after a row was replaced; `before` is None for a row that was added."""
        seal = self.seal(table).replaced(None if before is None else before.checksum, after.checksum)
        summary = evolve(self, seals={**self.seals, table.name: seal})
        if table is not ENTRIES:
            return summary
        states = dict(self.states)
        for row, one in ((before, -1), (after, 1)):
            if row is not None:
                state = State(row.values[1])
                states[state] = states.get(state, 0) + one
        earlier = 0 if before is None else before.values[3]
        return evolve(
            summary,
            states={state: count for state, count in states.items() if count},
            credits=self.credits - earlier + after.values[3],
        )


def summary_text(summary: Summary) -> str:
    """Returns a summary as the value of a mark."""
    seals = {name: [seal.rows, f"{seal.total:032x}"] for name, seal in summary.seals.items()}
    return json.dumps({**seals, _TOTALS: {"credits": summary.credits, "states": summary.states}}, sort_keys=True)


def summary_of(text: str) -> Summary:
    """Returns the summary that the value of a mark holds. Before schema 3 it has only seals."""
    seals = json.loads(text)
    totals = seals.pop(_TOTALS, {"credits": 0, "states": {}})
    return Summary(
        {name: Seal(rows, int(total, 16)) for name, (rows, total) in seals.items()},
        {State(state): count for state, count in totals["states"].items()},
        totals["credits"],
    )


def entry_row(entry: Entry) -> Values:
    """Returns an entry as a row of `ENTRIES`."""
    return (to_ascii(entry.key), entry.state.value, entry.version, entry.credits, to_json(entry))


def entry_of(values: Values) -> Entry:
    """Returns the entry that a row of `ENTRIES` holds."""
    return entry_from(values[4])


def history_row(key: str, change: HistoryEntry) -> Values:
    """Returns a change of an entry as a row of `HISTORY`."""
    return (to_ascii(key), change.version, to_json(change))


def history_key(values: Values) -> str:
    """Returns the key of the entry to which a row of `HISTORY` belongs."""
    return from_ascii(values[0])


def history_of(values: Values) -> HistoryEntry:
    """Returns the change that a row of `HISTORY` holds."""
    return history_from(values[2])


def analysis_row(analysis_id: str, key: str) -> Values:
    """Returns an analysis as a row of `ANALYSES`."""
    return (to_ascii(analysis_id), to_ascii(key))


def analysis_of(values: Values) -> tuple[str, str]:
    """Returns the analysis that a row of `ANALYSES` holds, and the key of its entry."""
    return from_ascii(values[0]), from_ascii(values[1])


def results_row(key: str, results: StoredResults) -> Values:
    """Returns stored results as a row of `RESULTS`."""
    return (to_ascii(key), results.results, results.calculated)


def results_of(values: Values) -> StoredResults:
    """Returns the results that a row of `RESULTS` holds."""
    return StoredResults(results=values[1], calculated=values[2])


def note_row(name: str, value: str) -> Values:
    """Returns a note as a row of `NOTES`, or a mark as a row of `MARKS`."""
    return (to_ascii(name), to_ascii(value))


def note_of(values: Values) -> tuple[str, str]:
    """Returns the name and the value of a note or a mark."""
    return from_ascii(values[0]), from_ascii(values[1])


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
