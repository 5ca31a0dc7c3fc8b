"""Compressed answers, unpacked piece by piece: whoever takes the pieces decides when to stop.

Invariant: one step unpacks at most `PIECE` bytes, of at most `SLICE` bytes of input, whatever the input is.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final, Protocol

__all__ = ["ENCODINGS", "Garbled", "Plain", "Unpacked", "unpacking"]

ENCODINGS: Final = "gzip, deflate"
"""What answers may be packed with. Not every package for Brotli or Zstandard can be stopped half-way."""

PIECE: Final = 64 * 1024
SLICE: Final = 16 * 1024
"""Many empty members may lie in a slice, and each makes a copy of what is left of it."""


class Garbled(Exception):
    """The content is not packed as it says, or is cut short."""


class _Member(Protocol):
    """What `zlib.decompressobj` gives; it has no public name."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class Plain:
    """Content that is not packed."""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """The content of the next bytes of the answer."""
        yield data

    def finish(self) -> None:
        """To be called at the end of the answer. Raises `Garbled` where something is missing."""


class Unpacked:
    """Content that is packed with gzip (also in several members) or deflate (with its header or without)."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._member: _Member | None = zlib.decompressobj(_GZIP) if gzip else None

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """The content of the next bytes of the answer; a piece may be empty. Raises `Garbled`."""
        for start in range(0, len(data), SLICE):
            yield from self._of_slice(data[start : start + SLICE])

    def _of_slice(self, packed: bytes) -> Iterator[bytes]:
        more = bool(packed)
        while more:
            member = self._current(packed)
            try:
                piece = member.decompress(packed, PIECE)
            except zlib.error:
                raise Garbled from None
            packed = member.unused_data if member.eof else member.unconsumed_tail
            more = bool(packed) or (len(piece) == PIECE and not member.eof)  # of a full piece, more may be inside
            yield piece

    def _current(self, packed: bytes) -> _Member:
        if self._member is None:
            self._member = zlib.decompressobj(zlib.MAX_WBITS if packed[0] & 0x0F == _HEADER else -zlib.MAX_WBITS)
        elif self._member.eof:
            if not self._gzip:
                raise Garbled
            self._member = zlib.decompressobj(_GZIP)
        return self._member

    def finish(self) -> None:
        """To be called at the end of the answer. Raises `Garbled` where something is missing."""
        if self._member is not None and not self._member.eof:
            raise Garbled


def unpacking(encoding: str) -> Plain | Unpacked:
    """What unpacks an answer with this `Content-Encoding`. Raises `Garbled` for one that was not asked for."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return Plain()
    if name in ("gzip", "x-gzip", "deflate"):
        return Unpacked(gzip=name != "deflate")
    raise Garbled


_GZIP: Final = zlib.MAX_WBITS | 16
_HEADER: Final = 8
"""The low half of the first byte of a zlib header; without one it is deflate alone."""
