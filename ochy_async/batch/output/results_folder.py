"""Keeping what paid analyses bring, without a batch: the same files, the same tables, the same promises.

Invariant: it looks and never starts, so it spends nothing; what stands in the folder is added to and never made less.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from attrs import define, field

from ...core import SessionCore
from ...errors import InvalidSettings
from ...protocol.analysis import Started
from ...protocol.answer import Answer
from .collector import ArtifactCollector, CollectedArtifacts, PaidAnalysis
from .plan import OutputPlan
from .tables import Tables

__all__ = ["ResultsFolder"]


@define(eq=False)
class ResultsFolder:
    """A folder for paid analyses; made by `OchySession.results_folder` and used as `async with … as folder:`."""

    _core: SessionCore
    _keeper: OutputPlan
    _stack: AsyncExitStack = field(factory=AsyncExitStack, init=False)
    _tabled: Tables | None = field(default=None, init=False)

    async def __aenter__(self) -> Self:
        """Finds out whether the folder can be written. Raises `OutputError`."""
        self._core.check_open()
        await self._keeper.open()
        self._tabled = await self._stack.enter_async_context(self._keeper.tabled())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def keep(self, started: Started[Any, Any] | str, results: Answer) -> CollectedArtifacts:
        """Keeps the results of an analysis and fetches what was asked for besides. Raises no `OchyError`.

        What is there is not fetched again, whatever its clip is called; what could not be had is in `missing`.
        """
        collector = ArtifactCollector(self._core, self._keeper.folder, self._keeper.want)
        return await collector.collect(PaidAnalysis(started=started, results=results))

    async def add(self, record: Mapping[str, Any]) -> None:
        """Adds a record (see docs/results-schema.md) to the tables; trouble with them is told by `finish`."""
        await self._opened.add(lambda: record)

    async def finish(self) -> None:
        """Adds all records to the tables of the folder. Raises `OutputError` where that cannot be done."""
        await self._opened.finish(whole=False)

    @property
    def _opened(self) -> Tables:
        if self._tabled is None:
            raise InvalidSettings(
                "The folder is not open; use it inside `async with ochy.results_folder(…) as folder:`."
            )
        return self._tabled
