"""What a batch saves: which artifacts of each clip, in which folder, and the tables over all clips.

Invariant: options that cannot be fulfilled are refused before a credit is spent, and saving never loses an outcome.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from anyio import to_thread
from attrs import define, field

from ...core import SessionCore
from ...errors import InvalidSettings, OchyError
from ...storage import Storage
from .collector import ArtifactCollector, CollectedArtifacts, PaidAnalysis
from .folder import ARTIFACT_FILES, OutputFolder
from .tables import Tables, open_tables

__all__ = ["OutputPlan"]

MEDIA: Final = frozenset({"thumbnail", "output_video"})


@define(eq=False)
class OutputPlan:
    """What a batch saves."""

    folder: OutputFolder | None = None
    artifacts: tuple[str, ...] = ()
    """Keys of `ARTIFACT_FILES`, in its order."""
    _tables_open: bool = field(default=False, init=False)

    @classmethod
    def of(
        cls, out: str | os.PathLike[str] | None, keep: Collection[str] | None, storage: Storage | None
    ) -> OutputPlan:
        """The plan for the options `out` and `keep`. Raises `InvalidSettings` if it cannot be fulfilled."""
        if keep is None:
            keep = () if out is None else ("calculated",)
        if isinstance(keep, str) or not all(artifact in ARTIFACT_FILES for artifact in keep):
            raise InvalidSettings(f"keep must be a list of some of {', '.join(ARTIFACT_FILES)}, not {keep!r}")
        artifacts = tuple(artifact for artifact in ARTIFACT_FILES if artifact in keep)
        files = [artifact for artifact in artifacts if artifact != "calculated"]
        if out is None and files:
            raise InvalidSettings(f"{', '.join(files)}: files need a folder. Give one with out=… (--out)")
        if storage is None and MEDIA.intersection(keep):
            raise InvalidSettings("Thumbnails and videos need a storage. Give the session one beside its transport")
        return cls(None if out is None else OutputFolder(Path(out)), artifacts)

    async def open(self) -> None:
        """Verifies that the folder can be written, before a credit is spent. Raises `OutputError`."""
        if self.folder is not None:
            await to_thread.run_sync(self.folder.open)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to collect."""
        return self.folder is None and not self.artifacts

    async def collect(
        self, core: SessionCore, paid: PaidAnalysis, on_error: Callable[[OchyError], object] = lambda _: None
    ) -> CollectedArtifacts:
        """Collects the artifacts of an analysis. `on_error` is called with every error on the way."""
        return await ArtifactCollector(core, paid, self.folder, on_error).collect(self.artifacts)

    @asynccontextmanager
    async def tables(self) -> AsyncGenerator[Tables]:
        """The tables of one run, written however the block ends. Raises `OutputError` if they cannot be opened."""
        if self._tables_open:
            raise InvalidSettings("A batch with an output folder runs once at a time. Wait for the other `run` to end.")
        self._tables_open = self.folder is not None
        try:
            async with open_tables(None if self.folder is None else self.folder.path) as tables:
                yield tables
        finally:
            self._tables_open = False
