"""The JPEG files that the emulator draws are real ones: a decoder reads the colors that were drawn."""

from __future__ import annotations

import io
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ochy_async.emulator.file_store import FileStore
from ochy_async.emulator.mosaic_jpeg import mosaic_jpeg

av = pytest.importorskip("av", reason="needs the extra `video`: PyAV decodes the files")
colors = st.tuples(*[st.integers(0, 255)] * 3)
pictures = st.integers(1, 5).flatmap(
    lambda width: st.lists(st.lists(colors, min_size=width, max_size=width), min_size=1, max_size=5)
)


def decoded(jpeg: bytes) -> Any:
    """The channels of a picture: luminance, blue and red difference, each as rows of pixels."""
    with av.open(io.BytesIO(jpeg)) as file:
        (frame,) = file.decode(video=0)
        assert frame.format.name == "yuvj444p"
        return frame.to_ndarray()


@given(pictures)
def test_each_square_has_its_color(rows: list[list[tuple[int, int, int]]]) -> None:
    """All pixels of each square have exactly the color that was given."""
    pixels = decoded(mosaic_jpeg(rows))
    assert pixels.shape == (3, 8 * len(rows), 8 * len(rows[0]))
    for (row, column), channel in product(product(range(len(rows)), range(len(rows[0]))), range(3)):
        square = pixels[channel, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        assert (square == rows[row][column][channel]).all()


@pytest.mark.parametrize("sha256", ["00" * 32, "ff" * 32, "7a13" * 16])
def test_a_thumbnail_can_be_decoded(sha256: str) -> None:
    """The thumbnail of any clip is a picture of 192 x 112 pixels."""
    thumbnail = FileStore(b"secret", 60, "https://storage.invalid").serve(sha256, "thumbnail.jpg", None)
    assert decoded(thumbnail.body).shape == (3, 112, 192)
