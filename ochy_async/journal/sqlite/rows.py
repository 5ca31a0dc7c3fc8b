"""Entries and what belongs to them as table rows with checksums.

Invariant: pure, and the same for every database. Text is stored as ASCII, so that any file name, even one with half a
surrogate pair, is read back unchanged.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from attrs import frozen
from cattrs.preconf.json import make_converter

from ..contract import Entry, HistoryEntry, StoredResults

__all__ = ["ENTRIES", "HISTORY", "MARKS", "NOTES", "RESULTS", "SEALED", "TABLES", "Row", "Seal", "Table", "Values"]

Values = tuple[Any, ...]
"""The values in the columns of a table: text, integers, bytes, None."""

_CONVERTER: Final = make_converter(detailed_validation=False)


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
RESULTS: Final = Table("results", ("key", "results", "calculated"), ("key",))
"""Health data, apart from everything else."""
NOTES: Final = Table("notes", ("name", "value"), ("name",))
MARKS: Final = Table("marks", ("name", "value"), ("name",))
"""What the journal records about itself: its seals, and whether it was closed."""
SEALED: Final = (ENTRIES, HISTORY, RESULTS, NOTES)
TABLES: Final = (*SEALED, MARKS)


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


def seals_text(seals: dict[str, Seal]) -> str:
    """Returns the seals of all tables as the value of a mark."""
    return json.dumps({name: [seal.rows, f"{seal.total:032x}"] for name, seal in sorted(seals.items())})


def seals_of(text: str) -> dict[str, Seal]:
    """Returns the seals that the value of a mark holds."""
    return {name: Seal(rows, int(total, 16)) for name, (rows, total) in json.loads(text).items()}


def entry_row(entry: Entry) -> Values:
    """Returns an entry as a row of `ENTRIES`."""
    return (to_ascii(entry.key), entry.state.value, entry.version, entry.credits, _json(entry))


def entry_of(values: Values) -> Entry:
    """Returns the entry that a row of `ENTRIES` holds."""
    return _CONVERTER.loads(values[4], Entry)


def history_row(key: str, change: HistoryEntry) -> Values:
    """Returns a change of an entry as a row of `HISTORY`."""
    return (to_ascii(key), change.version, _json(change))


def history_of(values: Values) -> HistoryEntry:
    """Returns the change that a row of `HISTORY` holds."""
    return _CONVERTER.loads(values[2], HistoryEntry)


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
    return _from_ascii(values[0]), _from_ascii(values[1])


def to_ascii(text: str) -> str:
    """Returns any text as ASCII. Texts that share a prefix still share it."""
    return json.dumps(text)[1:-1]


def _from_ascii(text: str) -> str:
    return str(json.loads(f'"{text}"'))


def _json(value: Entry | HistoryEntry) -> str:
    return _CONVERTER.dumps(value, sort_keys=True)


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
