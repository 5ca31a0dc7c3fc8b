"""Reads a JSON text one member at a time, so that no long text has to be decoded at once.

The decoder of the standard library can decode one value out of a larger text; orjson would hold the interpreter for the
complete text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final, NoReturn, cast

from attrs import define

__all__ = ["JsonCursor"]


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_STRICT: Final = json.JSONDecoder(parse_constant=_refuse)
_SPACE: Final = re.compile(r"[ \t\r\n]*")


@define
class JsonCursor:
    """A position in a JSON text. Every method raises `ValueError` if the text is not JSON."""

    text: str
    decoder: json.JSONDecoder = _STRICT
    position: int = 0

    def peek(self) -> str:
        """The next character after spaces; an empty text at the end."""
        self.position = cast("re.Match[str]", _SPACE.match(self.text, self.position)).end()
        return self.text[self.position : self.position + 1]

    def expect(self, character: str) -> None:
        """Moves past this character."""
        if self.peek() != character:
            raise ValueError(f"expected {character!r} at character {self.position}")
        self.position += 1

    def value(self) -> Any:
        """Decodes the next value and moves past it."""
        self.peek()
        try:
            found, self.position = self.decoder.raw_decode(self.text, self.position)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        return found

    def members(self) -> Iterator[str]:
        """The keys of the object at this position. The caller reads each value before it requests the next key."""
        self.expect("{")
        if self.peek() != "}":
            while True:
                name = self.value()
                if not isinstance(name, str):
                    raise ValueError("the key of an object must be a text")
                self.expect(":")
                yield name
                if self.peek() != ",":
                    break
                self.position += 1
        self.expect("}")

    def end(self) -> None:
        """Makes sure that nothing follows."""
        if self.peek():
            raise ValueError("more text after the end")
