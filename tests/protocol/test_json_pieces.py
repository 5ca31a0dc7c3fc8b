"""Tests of long JSON texts that are read in slices."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import pytest

from ochy_async.errors import UnreadableAnswer
from ochy_async.protocol import json_pieces
from ochy_async.protocol.analysis_list import list_call
from ochy_async.protocol.json_pieces import ITEMS_PER_SLICE, MAX_DEPTH, PIECE, JsonPieces
from ochy_async.protocol.wire import Response


def value_of(body: bytes) -> Any:
    """The value that is read from a complete body."""
    pieces = JsonPieces(body)
    reading: Generator[None, None, Any] = pieces.value()
    while True:
        try:
            next(reading)
        except StopIteration as end:
            pieces.end()
            return end.value


VALUES: list[Any] = [
    0,
    -12.5e-7,
    123456789,
    "",
    "plain",
    'quoted "and" \\ back',
    "🏃 é 王",
    None,
    True,
    [],
    {},
    [[], {}, [1, 22, 333], "four"],
    {"a": {"b": [{"c": "🏃"}, 1.5, None, "x" * 30]}, "d": list(range(40))},
    [{"id": f"{number:08x}", "name": "王小明"} for number in range(10)],
]


@pytest.mark.parametrize("piece", [1, 2, 3, 5, 8, 64, PIECE])
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("indent", [None, 3])
def test_a_value_is_the_same_however_it_is_cut(
    monkeypatch: pytest.MonkeyPatch, piece: int, ascii_only: bool, indent: int | None
) -> None:
    """A piece may end within a character, an escape, a number or a word."""
    monkeypatch.setattr(json_pieces, "PIECE", piece)
    for value in VALUES:
        body = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
        assert value_of(b" \n" + body + b"\t") == value


NO_JSON = [
    b"",
    b" ",
    b"[",
    b"[1",
    b"[1,",
    b"[1 2]",
    b"[1,]",
    b"[1]]",
    b"[1}",
    b"[Infinity]",
    b"1 2",
    b"tru",
    b"01",
    b"NaN",
]
NO_OBJECTS = [b"[NaN]", b'{"a"}', b'{"a":}', b'{"a":1,}', b"{1:2}"]
NO_TEXTS = [b'"a', b'"\x01"', b'"\xff"', b'"\xf0\x9f', b"\xef\xbb\xbf[]"]


@pytest.mark.parametrize("piece", [1, 2, 3, PIECE])
@pytest.mark.parametrize("body", NO_JSON + NO_OBJECTS + NO_TEXTS)
def test_what_is_not_json_is_refused(monkeypatch: pytest.MonkeyPatch, piece: int, body: bytes) -> None:
    """As by the decoder of the standard library."""
    monkeypatch.setattr(json_pieces, "PIECE", piece)
    with pytest.raises(ValueError):  # noqa: PT011 - the texts are those of two decoders
        value_of(body)


def test_the_depth_is_bounded() -> None:
    """Small values are as deep as the decoder allows; long ones have a bound of their own."""
    for brackets in ("[]", "{}"):
        opening = "[" if brackets == "[]" else '{"a":'
        long = f'"{"x" * 2 * PIECE}"'
        at_most = opening * (MAX_DEPTH + 1) + long + brackets[1] * (MAX_DEPTH + 1)
        assert value_of(at_most.encode()) == json.loads(at_most)
        with pytest.raises(ValueError, match="too deeply"):
            value_of((opening + at_most + brackets[1]).encode())
    with pytest.raises(ValueError, match="too deeply"):
        value_of(b"[" * 1_000_000)


ITEM = {"video_id": "a" * 32, "status": "success", "created_at": "2026-01-01T00:00:00Z"}
LONG: dict[str, Any] = {
    "plain": {"analyses": [ITEM] * 20_000},
    "one emoji": {"analyses": [*[ITEM] * 20_000, {"video_id": "🏃"}]},
    "long items": {"analyses": [{**ITEM, "points": [[0.1234567, 0.7654321]] * 900}] * 200},
    "wrapped": {"data": {"analyses": [ITEM] * 20_000}},
    "beside": {"analyses": [ITEM], "users": {str(number): ITEM for number in range(20_000)}},
    "numbers": {"analyses": [], "counts": [0] * 400_000},
}


@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("spaces", [None, 2])
def test_a_slice_has_few_bytes_and_few_items(monkeypatch: pytest.MonkeyPatch, name: str, spaces: int | None) -> None:
    """Whatever a list holds, and however it is wrapped."""
    taken, read = [0], [0]
    take, at_once = JsonPieces._take, JsonPieces._at_once  # pyright: ignore[reportPrivateUsage]

    def counted_take(self: JsonPieces, size: int = PIECE) -> None:
        taken[-1] += size
        take(self, size)

    def counted_value(self: JsonPieces) -> Any:
        read[-1] += 1
        return at_once(self)

    monkeypatch.setattr(JsonPieces, "_take", counted_take)
    monkeypatch.setattr(JsonPieces, "_at_once", counted_value)
    body = json.dumps(LONG[name], ensure_ascii=False, indent=spaces).encode()
    assert len(body) > 10 * PIECE
    reader, _ = list_call(keep=lambda _: False).outcome(Response(200, {}, body))
    done = False
    while not done:
        taken.append(0)
        read.append(0)
        try:
            done = reader.advance()
        except UnreadableAnswer:
            assert name == "wrapped"
            done = True
    assert max(taken) <= 2 * PIECE
    assert max(read) <= 2 * ITEMS_PER_SLICE + 2
    assert sum(taken) >= len(body)
