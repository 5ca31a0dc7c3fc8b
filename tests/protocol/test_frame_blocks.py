"""Blocks of frames are read exactly as frame by frame, or not at all."""

from __future__ import annotations

import json
import random
import re
from array import array
from typing import Any

import pytest

from ochy_async.errors import UnreadableAnswer
from ochy_async.protocol.frame_blocks import FRAMES_PER_BLOCK, FrameBlock, FrameTemplate
from ochy_async.protocol.landmarks import landmarks_call
from ochy_async.protocol.wire import Response

STYLES: dict[str, dict[str, Any]] = {
    "tight": {"separators": (",", ":")},
    "as Python writes it": {},
    "wide": {"separators": (" , ", " : ")},
    "indented": {"indent": 1},
}


def recording(frames: int, **style: Any) -> bytes:
    """Frames that differ only in numbers."""
    outcome_of = {str(n): {"nose": {"x": n + 0.5, "y": -n}, "hip": {"x": n * 3.25, "y": 7}} for n in range(frames)}
    return json.dumps({"frames": outcome_of, "more": 1}, **style).encode()


def template_of(body: bytes) -> tuple[FrameTemplate | None, int]:
    """The template of the first frame, and the offset at which that frame ends."""
    start = body.index(b"{", body.index(b'"0"'))
    end = re.compile(rb"\}\s*\}").search(body, start)
    assert end is not None
    return FrameTemplate.of(body, start, end.end(), ["nose", "hip"], ["x", "y"]), end.end()


# --- blocks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_frames_that_differ_in_numbers_only_are_a_block(style: dict[str, Any]) -> None:
    """This holds for any spacing. The last frame, which nothing follows, is not part of the block."""
    template, at = template_of(recording(5, **style))
    assert template is not None
    block = template.block(recording(5, **style), at)
    assert block is not None
    assert block.numbers == [1, 2, 3]
    assert block.values == array("d", [1.5, -1, 3.25, 7, 2.5, -2, 6.5, 7, 3.5, -3, 9.75, 7])
    assert recording(5, **style)[block.end :].lstrip(b", \r\n").startswith(b'"4"')
    assert template.block(recording(5, **style), block.end) is None


def test_small_numbers_are_numbers() -> None:
    """Python writes numbers below 0.0001 with an exponent."""
    body = b'{"0":{"nose":{"x":1e-05}},"1":{"nose":{"x":-2.5e-07}},"2":{"nose":{"x":3}},"3":{}}'
    template = FrameTemplate.of(body, 5, 25, ["nose"], ["x"])
    assert template is not None
    block = template.block(body, 25)
    assert block is not None
    assert block.values == array("d", [-2.5e-07, 3][: len(block.numbers)])


def test_a_block_is_bounded() -> None:
    """One step stays short, however long the recording and however short its frames."""
    body = recording(600, separators=(",", ":")).replace(b'"x":0.5', b'"x":0.5' + b"0" * 300)
    template, at = template_of(body)
    assert template is not None
    block = template.block(body, at)
    assert block is not None
    assert len(block.numbers) == FRAMES_PER_BLOCK < 16


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('"y":-3', '"y":null'),
        ('"y":-3', '"y":'),
        ('"y":-3', '"y":-'),
        ('"y":-3', '"y":-03'),
        ('"y":-3', '"y":+3'),
        ('"y":-3', '"y":3.'),
        ('"y":-3', '"y":.3'),
        ('"y":-3', '"y":3e1'),
        ('"y":-3', '"y":3-1'),
        ('"y":-3', '"y":e-3'),
        ('"y":-3', '"y":3\x01-3'),
        ('"hip":{"x":9.75', '"hip\x01":{"x":9.75'),
        ('"nose":{"x":3.5', '"nose-":{"x":3.5'),
        ('"nose":{"x":3.5', '"nos4e-5":{"x":3.5'),
        ('"y":-3', '"y":"3"'),
        ('"y":-3', '"y":NaN'),
        ('"y":-3', '"y":[3]'),
        ('"y":-3', '"y1":-3'),
        ('"y":-3', '1"y":-3'),
        ('"y":-3', '"y"1:-3'),
        ('"y":-3', '"-y":-3'),
        ('"y":-3', '"Y":-3'),
        ('"y":-3', '"y" :-3'),
        ('"y":-3', '"y":-3,"z":1'),
        ('"y":-3', '"y":-3}1'),
        ('{"x":9.75', '1{"x":9.75'),
        ('{"x":9.75', '{1"x":9.75'),
        (',"3":{', ',1"3":{'),
        (',"3":{', ',"3"1:{'),
        (',"3":{', ',"3":1{'),
        (',"3":{', '1,"3":{'),
        (',"3":{', ',"3.5":{'),
        (',"3":{', ',"+3":{'),
        (',"3":{', ',"1234567890123456":{'),
        ('"hip":{"x":9.75,"y":7}},', '"hip":{"x":9.75,"y":7}1},'),
        ('"hip":{"x":9.75,"y":7}},', '"hip":{"x":9.75,"y":7}}1,'),
        ('"nose":{"x":3.5', '"hip":{"x":3.5'),
        ('"nose":{"x":3.5', '"nose":{"x":' + "9" * 400),
    ],
    ids=lambda text: text[:20],
)
def test_a_frame_that_differs_in_more_ends_the_block(right: str, wrong: str) -> None:
    """No frame after it is read with the block, and no number is read from a wrong position."""
    text = recording(6, separators=(",", ":")).decode()
    assert text.count(right) == 1
    body = text.replace(right, wrong).encode()
    template, at = template_of(body)
    assert template is not None
    block = template.block(body, at)
    assert block is None or block.numbers in ([1], [1, 2])


@pytest.mark.parametrize(
    ("first", "names"),
    [
        ('{"n1":{"x":1}}', ["n1"]),
        ('{"a b":{"x":1}}', ["a b"]),
        ('{"\\u0061":{"x":1}}', ["a"]),
        ('{"a":{"x":1},"a":{"x":1}}', ["a"]),
        ('{"a":{"x":1,"x":1}}', ["a"]),
        ('{"a":{"x":1e5}}', ["a"]),
        ('{"a":{"x":null}}', ["a"]),
        ('{"b":{"x":1},"a":{"x":1}}', ["a", "b"]),
        ('{"a":{"x":1,"y":1}}', ["a"]),
        ('{"a":{"x":1},"b":{}}', ["a", "b"]),
        ('{"a,b":{"x":1}}', ["a,b"]),
        ('{"a[],":{"x":1}}', ["a[],"]),
    ],
    ids=str,
)
def test_an_ambiguous_frame_is_no_template(first: str, names: list[str]) -> None:
    """Digits or signs in a name, a repeated name, a value that is no plain number, and another order are ambiguous."""
    body = f'{first},"1":{first}'.encode()
    assert FrameTemplate.of(body, 0, len(first), names, ["x"]) is None


# --- compared with single frames --------------------------------------------------------------------


def outcome_of(body: bytes) -> Any:
    """The value of a reading with its notes, or its error."""
    reading = landmarks_call("a1").read(Response(200, {}, body))
    try:
        while not reading.advance():
            pass
    except UnreadableAnswer as error:
        return str(error)
    found = reading.result()
    grids = [(name, grid.shape, grid.values.tobytes()) for name, grid in found.coordinates.items()]
    return found.frame_numbers, found.names, grids, dict(found.raw), reading.notes


_ODD_NUMBERS = [
    *("1e5", "-", "null", "NaN", "01", "1.", ".5", "-0", "-0.0", "--1", "1-2", "true", "{}", "1 2", "\x01"),
    *("0.1e-7", "2e-05", "e-5", "1e999", "1e-999", "18446744073709551616", "9" * 400),
]
_ANY = '0123456789.+-eE{}[],:" \nnx\\é'


def frames_of(chance: random.Random) -> str:
    """A recording of some frames, most of them alike."""
    names = chance.sample(["nose", "hip", "toe", "x", "n1", "ü"][: chance.choice((4, 6))], chance.randrange(1, 4))
    form = chance.sample(["x", "y", "score", "visibility"], chance.randrange(1, 4))
    numbers = list(map(str, range(chance.choice((2, 18, 40)))))
    if chance.random() < 0.3:
        chance.shuffle(numbers)
    frames: dict[str, Any] = {
        number: {name: {each: round(chance.uniform(-99, 99), chance.randrange(4)) for each in form} for name in names}
        for number in numbers
    }
    if chance.random() < 0.3:
        frames[chance.choice(numbers)][chance.choice([*names, "new"])] = chance.choice(({"x": 1}, None, [1, 2], {}))
    before = chance.choice(({}, {"über": "é"}))
    return json.dumps(
        {**before, "frames": frames, "more": 1}, **chance.choice(list(STYLES.values())), ensure_ascii=False
    )


def mutated(chance: random.Random, text: str) -> str:
    """A copy with a character added, removed or replaced, or with an unusual number."""
    for _ in range(chance.choice((0, 1, 1, 2))):
        at = chance.randrange(len(text))
        if chance.random() < 0.5:
            first, end = chance.choice([found.span() for found in re.finditer(r"(?<=[: ])-?\d+(\.\d+)?", text)])
            text = text[:first] + chance.choice(_ODD_NUMBERS) + text[end:]
        else:
            text = text[:at] + chance.choice(("", chance.choice(_ANY))) + text[at + chance.choice((0, 1)) :]
    return text


@pytest.mark.parametrize("seed", range(8))
def test_blocks_read_what_single_frames_read(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values, gaps, notes and errors are equal, for regular, irregular and damaged recordings."""
    chance = random.Random(seed)
    bodies = [mutated(chance, frames_of(chance)).encode() for _ in range(150)]
    at_a_stroke = [outcome_of(body) for body in bodies]
    monkeypatch.setattr(FrameTemplate, "of", lambda *_: None)
    for body, found in zip(bodies, at_a_stroke, strict=True):
        assert outcome_of(body) == found, body


def test_byte_offsets_are_not_used_as_text_offsets() -> None:
    """Before the frames there are as many two-byte letters as a frame is long."""
    frames = [f'"{n}":{{"nose":{{"x":{n}}}}}' for n in range(10, 60)]
    text = f'{{"über":"{"é" * len(frames[0])}","frames":{{{",".join(frames)}}}}}'
    numbers, *_ = outcome_of(text.encode())
    assert numbers == tuple(range(10, 60))


def test_a_regular_recording_is_read_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first and the last frame are read one by one."""
    at_a_stroke: list[int] = []
    block = FrameTemplate.block

    def noted(template: FrameTemplate, body: bytes, at: int) -> FrameBlock | None:
        found = block(template, body, at)
        at_a_stroke.extend(found.numbers if found else ())
        return found

    monkeypatch.setattr(FrameTemplate, "block", noted)
    outcome_of(recording(600, separators=(",", ":")))
    assert at_a_stroke == list(range(1, 599))
