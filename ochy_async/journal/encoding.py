"""Entries as text that every database can hold.

Invariant: pure. All text is ASCII, so that any file name, even one with half a surrogate pair or a NUL, is read back
unchanged.
"""

from __future__ import annotations

import json
from typing import Final

from cattrs.preconf.json import make_converter

from .contract import Entry, HistoryEntry

__all__ = ["entry_from", "from_ascii", "history_from", "to_ascii", "to_json"]

_CONVERTER: Final = make_converter(detailed_validation=False)


def to_json(value: Entry | HistoryEntry) -> str:
    """Returns an entry, or a change of one, as JSON."""
    return _CONVERTER.dumps(value, sort_keys=True)


def entry_from(text: str) -> Entry:
    """Returns the entry that `to_json` was given."""
    return _CONVERTER.loads(text, Entry)


def history_from(text: str) -> HistoryEntry:
    """Returns the change that `to_json` was given."""
    return _CONVERTER.loads(text, HistoryEntry)


def to_ascii(text: str) -> str:
    """Returns any text as ASCII. Texts that share a prefix still share it."""
    return json.dumps(text)[1:-1]


def from_ascii(text: str) -> str:
    """Returns the text that `to_ascii` was given."""
    return str(json.loads(f'"{text}"'))
