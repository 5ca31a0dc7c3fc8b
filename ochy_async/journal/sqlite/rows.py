"""Entries and all that belongs to them as rows of a table, each with its checksum.

Invariant: pure, and the same for every database. Text is ASCII: whatever a file name holds, half
characters too, comes back as it was.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from attrs import frozen
from cattrs.preconf.json import make_converter

from ..contract import Entry, Kept, Past

__all__ = ["ENTRIES", "HISTORY", "MARKS", "NOTES", "RESULTS", "SEALED", "TABLES", "Row", "Seal", "Table", "Values"]

Values = tuple[Any, ...]
"""What stands in the columns of a table: text, whole numbers, bytes, None."""

_CONVERTER: Final = make_converter(detailed_validation=False)


@frozen
class Table:
    """One kind of rows."""

    name: str
    columns: tuple[str, ...]
    unique: tuple[str, ...]
    """The columns by which a row is found, and that no two rows share."""

    def checksum(self, values: Values) -> bytes:
        """16 bytes over the canonical content; bytes stand in it by their own digest."""
        text = json.dumps([self.name, *values], default=_digest)
        return hashlib.blake2b(text.encode("ascii"), digest_size=16).digest()

    def proves(self, row: Row) -> bool:
        """Whether a row is what was written."""
        return isinstance(row.checksum, bytes) and self.checksum(row.values) == row.checksum


ENTRIES: Final = Table("entries", ("key", "state", "version", "credits", "facts"), ("key",))
"""The current state. `facts` holds the whole entry; the columns beside it are for who asks with SQL."""
HISTORY: Final = Table("history", ("key", "version", "facts"), ("key", "version"))
"""Append-only."""
RESULTS: Final = Table("results", ("key", "results", "calculated"), ("key",))
"""Health data, apart from all else."""
NOTES: Final = Table("notes", ("name", "value"), ("name",))
MARKS: Final = Table("marks", ("name", "value"), ("name",))
"""What the journal notes about itself: its seals, and whether it was closed."""
SEALED: Final = (ENTRIES, HISTORY, RESULTS, NOTES)
TABLES: Final = (*SEALED, MARKS)


@frozen
class Row:
    """A row as it was found."""

    seq: int
    """Its place in the order in which rows came."""
    values: Values
    checksum: bytes


@frozen
class Seal:
    """What all rows of a table come to. A checksum of a row cannot miss the row itself; this does."""

    rows: int = 0
    total: int = 0
    """The checksums of all rows, combined by exclusive or: in any order, and a row can be taken out again."""

    def replaced(self, before: bytes | None, after: bytes) -> Seal:
        """The seal once a row has a new checksum; `before` is None for a row that was added."""
        rows = self.rows + (before is None)
        return Seal(rows, self.total ^ int.from_bytes(before or b"") ^ int.from_bytes(after))


def seals_text(seals: dict[str, Seal]) -> str:
    """The seals of all tables as the value of one mark."""
    return json.dumps({name: [seal.rows, f"{seal.total:032x}"] for name, seal in sorted(seals.items())})


def seals_of(text: str) -> dict[str, Seal]:
    """The seals that a mark tells."""
    return {name: Seal(rows, int(total, 16)) for name, (rows, total) in json.loads(text).items()}


def entry_row(entry: Entry) -> Values:
    """The values of an entry in `ENTRIES`."""
    return (plain(entry.key), entry.state.value, entry.version, entry.credits, _facts(entry))


def entry_of(values: Values) -> Entry:
    """The entry that a row of `ENTRIES` holds."""
    return _CONVERTER.loads(values[4], Entry)


def past_row(key: str, past: Past) -> Values:
    """The values of one line of history in `HISTORY`."""
    return (plain(key), past.version, _facts(past))


def past_of(values: Values) -> Past:
    """The line of history that a row of `HISTORY` holds."""
    return _CONVERTER.loads(values[2], Past)


def kept_row(key: str, kept: Kept) -> Values:
    """The values of what is kept in `RESULTS`."""
    return (plain(key), kept.results, kept.calculated)


def kept_of(values: Values) -> Kept:
    """What a row of `RESULTS` keeps."""
    return Kept(results=values[1], calculated=values[2])


def note_row(name: str, value: str) -> Values:
    """The values of a note in `NOTES`, or of a mark in `MARKS`."""
    return (plain(name), plain(value))


def note_of(values: Values) -> tuple[str, str]:
    """The name and the value of a note or a mark."""
    return _unplain(values[0]), _unplain(values[1])


def plain(text: str) -> str:
    """Any text in ASCII, such that what begins alike still begins alike."""
    return json.dumps(text)[1:-1]


def _unplain(text: str) -> str:
    return str(json.loads(f'"{text}"'))


def _facts(of: Entry | Past) -> str:
    return _CONVERTER.dumps(of, sort_keys=True)


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
