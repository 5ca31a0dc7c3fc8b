"""Reads a long JSON text in slices: it is decoded in pieces, and what is longer than a piece is read part by part.

Invariant: between two `yield`s at most two pieces are decoded, unless a single text in the JSON is longer.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Generator
from typing import Any, Final

from attrs import define, field

from .json_cursor import JsonCursor

__all__ = ["ITEMS_PER_SLICE", "PIECE", "JsonPieces"]

PIECE: Final = 64 * 1024
"""Bytes: about a millisecond of work."""
ITEMS_PER_SLICE: Final = 200
"""Elements or members that are read without a `yield`: about half a millisecond of work if they are small."""
MAX_DEPTH: Final = 32
"""Arrays and objects longer than a piece that may be within each other."""
_LONG: Final = object()
"""Stands for a value that goes on after the decoded text."""


@define
class JsonPieces:
    """A position in the body of an answer. Every method raises `ValueError` if the body is not JSON."""

    body: bytes = field(repr=False)
    _taken: int = field(default=0, init=False)
    """Bytes that are decoded."""
    _decoder: codecs.IncrementalDecoder = field(factory=codecs.getincrementaldecoder("utf-8"), init=False)
    _cursor: JsonCursor = field(factory=lambda: JsonCursor(""), init=False, repr=False)
    """In the decoded text, without most of what was read already."""

    def peek(self) -> str:
        """The next character after spaces; an empty text at the end."""
        while not (found := self._cursor.peek()) and not self._all_taken:
            self._take()
        return found

    def value(self, depth: int = 0) -> Generator[None, None, Any]:
        """Decodes the next value."""
        while (found := self._at_once()) is _LONG:
            start, ahead = self.peek(), len(self._cursor.text) - self._cursor.position
            if start == "[" and ahead >= PIECE:
                return (yield from self.array(depth=depth))
            if start == "{" and ahead >= PIECE:
                return (yield from self.object(depth=depth))
            self._take(PIECE if start in ("[", "{") else max(PIECE, ahead))
            yield
        return found

    def array(self, keep: Callable[[Any], bool] | None = None, depth: int = 0) -> Generator[None, None, list[Any]]:
        """Decodes the array at this position, without the elements that `keep` rejects."""
        kept, number = list[Any](), 0
        self._open("[", depth)
        if self.peek() != "]":
            while True:
                if number % ITEMS_PER_SLICE == 0:
                    yield
                number += 1
                found = self._at_once()
                if found is _LONG:
                    found = yield from self.value(depth + 1)
                if keep is None or keep(found):
                    kept.append(found)
                if not self._goes_on():
                    break
        self._expect("]")
        return kept

    def object(
        self, keep: Callable[[Any], bool] | None = None, depth: int = 0
    ) -> Generator[None, None, dict[str, Any]]:
        """Decodes the object at this position. Its arrays are without the elements that `keep` rejects."""
        members, number = dict[str, Any](), 0
        self._open("{", depth)
        if self.peek() != "}":
            while True:
                if number % ITEMS_PER_SLICE == 0:
                    yield
                number += 1
                name = yield from self.value(depth + 1)
                if not isinstance(name, str):
                    raise ValueError("the key of an object must be a text")
                self._expect(":")
                filtered = keep is not None and self.peek() == "["
                members[name] = yield from self.array(keep, depth + 1) if filtered else self.value(depth + 1)
                if not self._goes_on():
                    break
        self._expect("}")
        return members

    def end(self) -> None:
        """Makes sure that nothing follows."""
        if self.peek():
            raise ValueError("more text after the end")

    def _at_once(self) -> Any:
        """The next value, unless it may go on after the decoded text."""
        cursor = self._cursor
        start = cursor.position
        try:
            found = cursor.value()
        except ValueError:
            if self._all_taken:
                raise
        else:
            if cursor.position < len(cursor.text) or self._all_taken:  # a number at the end may go on
                return found
        cursor.position = start
        return _LONG

    def _open(self, bracket: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise ValueError("nested too deeply")
        self._expect(bracket)

    def _expect(self, character: str) -> None:
        self.peek()
        self._cursor.expect(character)

    def _goes_on(self) -> bool:
        """Moves past a comma, if there is one."""
        comma = self.peek() == ","
        self._cursor.position += comma
        return comma

    @property
    def _all_taken(self) -> bool:
        return self._taken >= len(self.body)

    def _take(self, size: int = PIECE) -> None:
        """Decodes more bytes."""
        cursor, piece = self._cursor, self.body[self._taken : self._taken + size]
        self._taken += len(piece)
        cursor.text = cursor.text[cursor.position :] + self._decoder.decode(piece, final=self._all_taken)
        cursor.position = 0
