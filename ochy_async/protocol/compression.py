"""Compressed answers, decompressed piece by piece, so that the caller can stop at any size.

Invariant: one step reads at most `SLICE` bytes of input and returns at most `PIECE` bytes of output, whatever the
input is.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final, Protocol

__all__ = ["ENCODINGS", "CorruptContent", "IdentityDecoder", "ZlibDecoder", "decoder_for"]

ENCODINGS: Final = "gzip, deflate"
"""The value of `Accept-Encoding`. Most packages for Brotli and Zstandard cannot be stopped within a step."""

PIECE: Final = 64 * 1024
SLICE: Final = 16 * 1024
"""A slice may hold many empty gzip members, and each of them copies the rest of the slice."""


class CorruptContent(Exception):
    """The content does not match its `Content-Encoding`, or is cut short."""


class _Decompressor(Protocol):
    """The type of `zlib.decompressobj()`, which has no public name."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class IdentityDecoder:
    """Passes on content that is not compressed."""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """The content of the next bytes of the answer."""
        yield data

    def finish(self) -> None:
        """Call it at the end of the answer. Raises `CorruptContent` if content is missing."""


class ZlibDecoder:
    """Decompresses gzip (also with several members) and deflate (with or without a zlib header)."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._member: _Decompressor | None = zlib.decompressobj(_GZIP) if gzip else None

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """The content of the next bytes of the answer; a piece may be empty. Raises `CorruptContent`."""
        for start in range(0, len(data), SLICE):
            yield from self._decompressed(data[start : start + SLICE])

    def _decompressed(self, compressed: bytes) -> Iterator[bytes]:
        more = bool(compressed)
        while more:
            member = self._member_for(compressed)
            try:
                piece = member.decompress(compressed, PIECE)
            except zlib.error:
                raise CorruptContent from None
            compressed = member.unused_data if member.eof else member.unconsumed_tail
            more = bool(compressed) or (len(piece) == PIECE and not member.eof)  # after a full piece, more may follow
            yield piece

    def _member_for(self, compressed: bytes) -> _Decompressor:
        if self._member is None:
            has_header = compressed[0] & 0x0F == _DEFLATE
            self._member = zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
        elif self._member.eof:
            if not self._gzip:
                raise CorruptContent
            self._member = zlib.decompressobj(_GZIP)
        return self._member

    def finish(self) -> None:
        """Call it at the end of the answer. Raises `CorruptContent` if content is missing."""
        if self._member is not None and not self._member.eof:
            raise CorruptContent


def decoder_for(encoding: str) -> IdentityDecoder | ZlibDecoder:
    """The decoder for a `Content-Encoding`. Raises `CorruptContent` for an encoding that was not requested."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return IdentityDecoder()
    if name in ("gzip", "x-gzip", "deflate"):
        return ZlibDecoder(gzip=name != "deflate")
    raise CorruptContent


_GZIP: Final = zlib.MAX_WBITS | 16
_DEFLATE: Final = 8
"""The compression method in the low half of the first byte of a zlib header. Raw deflate has no header."""
