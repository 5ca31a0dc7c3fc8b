"""The tables over a whole batch: one line of JSON and one record of CSV for each outcome.

Law of this room: rows are written as outcomes come, under the name of a partial table; a complete table
is replaced by a complete one only. All of it is work for a worker thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from .columns import csv_line, header, json_line
from .folder import publish, troubles, write_all
from .outcomes import Outcome

__all__ = ["Tables"]

LINES: Final[Mapping[str, Callable[[Outcome[Any, Any]], str]]] = {"results.jsonl": json_line, "results.csv": csv_line}


@define(eq=False)
class Tables:
    """The two tables of one run. Each method raises `OutputTrouble`."""

    folder: Path
    _files: dict[str, FileIO] = field(factory=dict, init=False)

    def begin(self) -> None:
        """Opens both, empty, under their partial names."""
        for name in LINES:
            with troubles(self._part(name)):
                self._files[name] = self._part(name).open("wb", buffering=0)
        self._write("results.csv", header())

    def add(self, outcome: Outcome[Any, Any]) -> None:
        """Adds a row to each."""
        for name, line in LINES.items():
            self._write(name, line(outcome))

    def finish(self) -> None:
        """The whole input went through: gives both their names."""
        for name, file in self._files.items():
            with troubles(self._part(name)):
                publish(file.fileno(), self._part(name), self.folder / name)

    def close(self) -> None:
        """Leaves them as they are."""
        with troubles(self.folder), ExitStack() as closing:
            for file in self._files.values():
                closing.callback(file.close)

    def _write(self, name: str, line: str) -> None:
        with troubles(self._part(name)):
            # What UTF-8 cannot spell (half a surrogate pair, from an undecodable file name) is escaped.
            write_all(self._files[name], line.encode(errors="backslashreplace"))

    def _part(self, name: str) -> Path:
        return self.folder / f"{name}.part"
