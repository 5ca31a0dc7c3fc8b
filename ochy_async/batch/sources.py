"""The clips of a batch as they come: any iterable, lazily, each with its place and its request.

Invariant: one clip is taken when there is room for it, and none before. What a slow folder keeps
waiting is a thread, never the loop.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from anyio import to_thread
from anyio.lowlevel import checkpoint
from attrs import field, frozen

from ..cancellation import cancelled_elsewhere
from ..clips import Clip, ClipSource
from ..errors import FixRequest, InvalidRequest, Problem
from ..field_docs import documented
from ..protocol.request import AnalysisRequest

__all__ = ["BatchItem", "Clips", "Item", "Pair", "items"]


@documented
@frozen
class BatchItem:
    """A clip for a batch with all that is known of it: a row of a manifest, or one of your own."""

    clip: ClipSource
    request: AnalysisRequest[Any, Any] | None = None
    """Its own request. None: the one that the batch was given."""
    extra: Mapping[str, str] = field(factory=dict, repr=False, hash=False, kw_only=True)
    """What else is known of it, by name: comes back with its outcome and in the tables, and goes nowhere else."""
    subject: str | None = field(default=None, repr=False, kw_only=True)
    """The runner's name, where `Batch.resolve_subjects` has found the id that the request holds."""
    where: str = field(default="", eq=False, kw_only=True)
    """Where it was named, for error texts, such as `runners.csv, line 3`."""

    @property
    def told(self) -> str:
        """How an error text names it."""
        return self.where or label_of(self.clip) or "a clip"


Pair = tuple[ClipSource, AnalysisRequest[Any, Any]]
Clips = Iterable[ClipSource | Pair | BatchItem] | AsyncIterable[ClipSource | Pair | BatchItem]
"""What a batch takes: clips, pairs of a clip and a request of its own, or `BatchItem`s."""


@frozen
class Item:
    """One clip of the input."""

    index: int
    """Its place, from 0."""
    clip: ClipSource
    request: AnalysisRequest[Any, Any]
    extra: Mapping[str, str] = field(factory=dict, repr=False)
    subject: str | None = field(default=None, repr=False)

    @property
    def facts(self) -> dict[str, Any]:
        """What every outcome tells of it."""
        told = {"clip": self.clip, "index": self.index, "label": self.label, "request": self.request}
        return {**told, "extra": self.extra, "subject": self.subject}

    @property
    def label(self) -> str:
        """What events, logs and reports call it."""
        return label_of(self.clip) or f"clip {self.index + 1}"


def label_of(clip: ClipSource) -> str:
    """The path or name of a clip; empty where it has none."""
    if isinstance(clip, Clip):
        return clip.name
    if isinstance(clip, bytes | bytearray | memoryview):
        return ""
    name = getattr(clip, "name", None) if hasattr(clip, "read") else clip
    return str(name) if name is not None else ""


async def items(clips: Clips, request: AnalysisRequest[Any, Any] | None) -> AsyncGenerator[Item]:
    """Each clip with its request.

    Raises `InvalidRequest` for one that has none, and for one clip where many belong; `FixRequest` where what the input
    awaits was cancelled by somebody else.
    """
    if isinstance(clips, str | bytes | bytearray | memoryview | os.PathLike | Clip):
        problem = Problem("clips", "must be an iterable of clips: a list, or such as `Path(folder).glob('*.mp4')`")
        raise InvalidRequest.of("batch", (problem,))
    index = 0
    with cancelled_elsewhere(_cancelled):
        async for each in _each(clips):
            yield _item(index, each, request)
            index += 1


def _cancelled() -> FixRequest:
    return FixRequest(
        "The input ended early: what it awaits was cancelled elsewhere, and nobody has cancelled the batch. "
        "Mend the input and run again; clips that were bought are not bought twice where a journal is kept."
    )


def _item(index: int, given: Any, request: AnalysisRequest[Any, Any] | None) -> Item:
    item = given if isinstance(given, BatchItem) else _made(given)
    paired = item is not given and isinstance(given, tuple)  # a None in a pair is a mistake, and not "as the others"
    own: Any = item.request if item.request is not None or paired else request
    if not isinstance(own, AnalysisRequest):
        problem = Problem(f"clip {index + 1}", "has no request: give one to `batch`, or pairs of clip and request")
        raise InvalidRequest.of("batch", (problem,))
    return Item(index, item.clip, own, item.extra, item.subject)


def _made(given: Any) -> BatchItem:
    """What stands for an item: a pair, or a bare clip."""
    pair: tuple[Any, Any] = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
    return BatchItem(*pair)


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
