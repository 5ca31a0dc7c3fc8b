"""Saving paid analyses without a batch: the same files and the same tables.

Invariant: it starts no analysis, so it spends nothing, and it only adds to what is in the folder.
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
from .collector import CollectedArtifacts, PaidAnalysis
from .plan import OutputPlan
from .tables import Tables

__all__ = ["ResultsFolder"]


@define(eq=False)
class ResultsFolder:
    """A folder for paid analyses. `OchySession.results_folder` makes it; use it as `async with … as folder:`."""

    _core: SessionCore
    _plan: OutputPlan
    _stack: AsyncExitStack = field(factory=AsyncExitStack, init=False)
    _tables: Tables | None = field(default=None, init=False)

    async def __aenter__(self) -> Self:
        """Verifies that the folder can be written. Raises `OutputError`."""
        self._core.check_open()
        await self._plan.open()
        self._tables = await self._stack.enter_async_context(self._plan.tables())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def save(self, started: Started[Any, Any] | str, results: Answer) -> CollectedArtifacts:
        """Saves the results of an analysis and fetches the other artifacts. Raises no `OchyError`.

        A file that is already there is not fetched again, whatever its clip is called. `missing` names the artifacts
        that could not be fetched.
        """
        return await self._plan.collect(self._core, PaidAnalysis(started=started, results=results))

    async def add(self, record: Mapping[str, Any]) -> None:
        """Adds a record to the tables; docs/reference/results-schema.md describes it. `finish` reports their errors."""
        await self._opened.add(lambda: record)

    async def finish(self) -> None:
        """Adds all records to the tables of the folder. Raises `OutputError` if that fails."""
        await self._opened.finish(complete=False)

    @property
    def _opened(self) -> Tables:
        if self._tables is None:
            raise InvalidSettings(
                "The folder is not open. Use it inside `async with ochy.results_folder(…) as folder:`."
            )
        return self._tables
