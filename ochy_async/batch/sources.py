"""The clips of a batch as they come: any iterable, lazily, each with its place and its request.

Law of this room: one clip is taken when there is room for it, and none before. What a slow folder keeps
waiting is a thread, never the loop.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterable, Collection, Iterable, Iterator
from typing import Any, Final

from anyio import to_thread
from anyio.lowlevel import checkpoint
from attrs import frozen

from ..clips import Clip, ClipSource
from ..errors import InvalidRequest, Problem
from ..protocol.request import AnalysisRequest

__all__ = ["Clips", "Item", "Pair", "items"]

Pair = tuple[ClipSource, AnalysisRequest[Any, Any]]
Clips = Iterable[ClipSource | Pair] | AsyncIterable[ClipSource | Pair]
"""What a batch takes: clips, or pairs of a clip and a request of its own."""


@frozen
class Item:
    """One clip of the input."""

    index: int
    """Its place, from 0."""
    clip: ClipSource
    request: AnalysisRequest[Any, Any]

    @property
    def facts(self) -> dict[str, Any]:
        """What every outcome tells of it."""
        return {"clip": self.clip, "index": self.index, "label": self.label, "request": self.request}

    @property
    def label(self) -> str:
        """What events, logs and reports call it."""
        clip = self.clip
        if isinstance(clip, Clip):
            return clip.name
        if isinstance(clip, bytes | bytearray | memoryview):
            return f"clip {self.index + 1}"
        name = getattr(clip, "name", None) if hasattr(clip, "read") else clip
        return str(name) if name is not None else f"clip {self.index + 1}"


async def items(clips: Clips, request: AnalysisRequest[Any, Any] | None) -> AsyncGenerator[Item]:
    """Each clip with its request. Raises `InvalidRequest` for one that has none, and for one clip where many belong."""
    if isinstance(clips, str | bytes | bytearray | memoryview | os.PathLike | Clip):
        problem = Problem("clips", "must be an iterable of clips: a list, or such as `Path(folder).glob('*.mp4')`")
        raise InvalidRequest.of("batch", (problem,))
    index = 0
    async for each in _each(clips):
        yield _item(index, each, request)
        index += 1


def _item(index: int, given: Any, request: AnalysisRequest[Any, Any] | None) -> Item:
    pair: tuple[Any, Any] = given if isinstance(given, tuple) and len(given) == 2 else (given, request)
    clip, own = pair
    if not isinstance(own, AnalysisRequest):
        problem = Problem(f"clip {index + 1}", "has no request: give one to `batch`, or pairs of clip and request")
        raise InvalidRequest.of("batch", (problem,))
    return Item(index, clip, own)


async def _each(clips: Clips) -> AsyncGenerator[Any]:
    if isinstance(clips, AsyncIterable):
        async for each in clips:
            yield each
    elif isinstance(clips, Collection):
        for each in clips:
            await checkpoint()
            yield each
    else:
        walk = iter(clips)
        while (each := await to_thread.run_sync(_next, walk)) is not _END:
            yield each


_END: Final = object()


def _next(walk: Iterator[Any]) -> Any:
    return next(walk, _END)
