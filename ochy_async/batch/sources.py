"""The input of a batch: any iterable of clips, read lazily, each clip with its position and its request.

Invariant: a clip is read only when there is capacity for it. A slow iterator blocks a worker thread, never the event
loop.
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

__all__ = ["BatchItem", "Clips", "Item", "Pair", "items", "label_of"]


@documented
@frozen
class BatchItem:
    """A clip for a batch with its request and further data: a row of a manifest, or your own."""

    clip: ClipSource
    request: AnalysisRequest[Any, Any] | None = None
    """Its own request. None: the request of the batch."""
    extra: Mapping[str, str] = field(factory=dict, repr=False, hash=False, kw_only=True)
    """Further texts by name. They are returned with the outcome and written to the tables, and sent nowhere."""
    subject: str | None = field(default=None, repr=False, kw_only=True)
    """The runner's name, if `Batch.resolve_subjects` found the id that the request holds."""
    where: str = field(default="", eq=False, kw_only=True)
    """Where the input names the clip, for error texts, such as `runners.csv, line 3`."""

    @property
    def display_name(self) -> str:
        """The name of the clip in error texts."""
        return self.where or label_of(self.clip) or "a clip"


Pair = tuple[ClipSource, AnalysisRequest[Any, Any]]
Clips = Iterable[ClipSource | Pair | BatchItem] | AsyncIterable[ClipSource | Pair | BatchItem]
"""The input of a batch: clips, pairs of a clip and its own request, or `BatchItem`s."""


@frozen
class Item:
    """One clip of the input."""

    index: int
    """Its position in the input, from 0."""
    clip: ClipSource
    request: AnalysisRequest[Any, Any]
    extra: Mapping[str, str] = field(factory=dict, repr=False)
    subject: str | None = field(default=None, repr=False)

    @property
    def facts(self) -> dict[str, Any]:
        """What every outcome says about the clip."""
        return {
            "clip": self.clip,
            "index": self.index,
            "label": self.label,
            "request": self.request,
            "extra": self.extra,
            "subject": self.subject,
        }

    @property
    def label(self) -> str:
        """The name of the clip in events, logs and reports."""
        return label_of(self.clip) or f"clip {self.index + 1}"


def label_of(clip: ClipSource) -> str:
    """Returns the path, the URL or the name of a clip; empty if it has none."""
    if isinstance(clip, Clip):
        return clip.name if clip.remote is None else clip.remote.label
    if isinstance(clip, bytes | bytearray | memoryview):
        return ""
    name = getattr(clip, "name", None) if hasattr(clip, "read") else clip
    return str(name) if name is not None else ""


async def items(clips: Clips, request: AnalysisRequest[Any, Any] | None) -> AsyncGenerator[Item]:
    """Yields each clip with its request.

    Raises `InvalidRequest` for a clip without a request and for an input that is a single clip, and `FixRequest` if
    something that the input awaits was cancelled, but not the batch.
    """
    if isinstance(clips, str | bytes | bytearray | memoryview | os.PathLike | Clip):
        problem = Problem("clips", "must be an iterable of clips: a list, or `Path(folder).glob('*.mp4')`")
        raise InvalidRequest.of("batch", (problem,))
    index = 0
    with cancelled_elsewhere(_input_cancelled):
        async for each in _iterate(clips):
            yield _item(index, each, request)
            index += 1


def _input_cancelled() -> FixRequest:
    return FixRequest(
        "The input ended early: a task that it awaits was cancelled, but the batch was not. "
        "Fix the input and run again. With a journal, no clip is bought twice."
    )


def _item(index: int, given: Any, request: AnalysisRequest[Any, Any] | None) -> Item:
    item = given if isinstance(given, BatchItem) else _as_batch_item(given)
    # None as the request of a pair is a mistake; it does not mean the request of the batch.
    paired = item is not given and isinstance(given, tuple)
    own: Any = item.request if item.request is not None or paired else request
    if not isinstance(own, AnalysisRequest):
        problem = Problem(f"clip {index + 1}", "has no request. Give one to `batch`, or use pairs of clip and request")
        raise InvalidRequest.of("batch", (problem,))
    return Item(index, item.clip, own, item.extra, item.subject)


def _as_batch_item(given: Any) -> BatchItem:
    """Returns a pair, or a clip alone, as a `BatchItem`."""
    pair: tuple[Any, Any] = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
    return BatchItem(*pair)


async def _iterate(clips: Clips) -> AsyncGenerator[Any]:
    if isinstance(clips, AsyncIterable):
        async for each in clips:
            yield each
    elif isinstance(clips, Collection):
        for each in clips:
            await checkpoint()
            yield each
    else:
        iterator = iter(clips)
        while (each := await to_thread.run_sync(_next, iterator)) is not _EXHAUSTED:
            yield each


_EXHAUSTED: Final = object()


def _next(iterator: Iterator[Any]) -> Any:
    return next(iterator, _EXHAUSTED)
