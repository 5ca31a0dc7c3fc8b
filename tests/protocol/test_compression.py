"""Compressed answers: complete however they are split, bounded for a decompression bomb, an error if corrupt."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ochy_async.protocol.compression import PIECE, CorruptContent, decoder_for


def raw_deflate(content: bytes) -> bytes:
    """Deflate without its zlib header, as some servers send it."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


WAYS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("X-GZip", gzip.compress),
    "gzip in members": (
        "gzip",
        lambda content: gzip.compress(content[:7]) + gzip.compress(b"") + gzip.compress(content[7:]),
    ),
    "deflate": ("deflate", zlib.compress),
    "deflate without a header": ("deflate", raw_deflate),
    "identity": ("identity", bytes),
    "nothing": ("", bytes),
}


def split(data: bytes, sizes: list[int]) -> list[bytes]:
    """The data in parts of these sizes, and the rest."""
    parts, start = [], 0
    for size in sizes:
        parts.append(data[start : start + size])
        start += size
    return [*parts, data[start:]]


def decompressed(encoding: str, *parts: bytes) -> list[bytes]:
    """The pieces of an answer that arrives in parts."""
    packing = decoder_for(encoding)
    pieces = [piece for part in parts for piece in packing.pieces(part)]
    packing.finish()
    return pieces


@pytest.mark.parametrize(("encoding", "pack"), WAYS.values(), ids=WAYS)
@given(start=st.binary(max_size=300), blanks=st.integers(0, 300_000), sizes=st.lists(st.integers(0, 40)))
def test_content_is_complete_and_its_pieces_are_bounded(
    encoding: str, pack: Callable[[bytes], bytes], start: bytes, blanks: int, sizes: list[int]
) -> None:
    """However the answer is split, its content is the same, and no piece exceeds the bound."""
    content = start + bytes(blanks)
    pieces = decompressed(encoding, *split(pack(content), sizes))
    assert b"".join(pieces) == content
    assert encoding in ("", "identity") or max(map(len, pieces), default=0) <= PIECE


@pytest.mark.parametrize(("encoding", "pack"), WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 1])
def test_content_that_ends_with_a_full_piece_is_complete(
    encoding: str, pack: Callable[[bytes], bytes], size: int
) -> None:
    """A full piece does not mean that more follows."""
    assert sum(map(len, decompressed(encoding, pack(bytes(size))))) == size


@pytest.mark.parametrize("name", ["gzip", "deflate", "deflate without a header"])
@given(content=st.binary(min_size=1, max_size=2_000), lost=st.integers(1, 4))
def test_a_truncated_answer_is_corrupt(name: str, content: bytes, lost: int) -> None:
    """It is never taken for a shorter answer."""
    encoding, pack = WAYS[name]
    packed = pack(content)
    with pytest.raises(CorruptContent):
        decompressed(encoding, packed[: max(1, len(packed) - lost)])


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@given(rubbish=st.binary(min_size=1))
def test_random_bytes_raise_nothing_but_corrupt_content(encoding: str, rubbish: bytes) -> None:
    """They are read or raise `CorruptContent`."""
    with suppress(CorruptContent):
        decompressed(encoding, rubbish)


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip"])
def test_an_encoding_that_was_not_requested_is_refused(encoding: str) -> None:
    """Packages for other encodings differ in whether they can be stopped within a step."""
    with pytest.raises(CorruptContent):
        decoder_for(encoding)


def test_a_decompression_bomb_is_read_only_as_far_as_the_caller_reads() -> None:
    """One step costs the same, however much follows."""
    bomb = gzip.compress(bytes(50_000_000), 9)
    pieces = decoder_for("gzip").pieces(bomb)
    assert [len(next(pieces)) for _ in range(3)] == [PIECE] * 3
