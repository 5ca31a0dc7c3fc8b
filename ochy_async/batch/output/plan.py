"""What a batch was asked to keep: which files of each clip, in which folder, and the tables over all.

Invariant: what nobody can keep is refused before anything is bought, and nothing here loses an outcome.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from anyio import current_time, to_thread
from attrs import define, field

from ...errors import InvalidSettings, OchyError
from ...journal.contract import StoredResults
from ...policy.clip_states import State
from ...protocol.answer import Answer
from ...storage import Storage
from ..clip_job import ClipJob
from .collector import ARTIFACT_FILES, ArtifactCollector, CollectedArtifacts, PaidAnalysis
from .folder import OutputFolder
from .tables import Tables, tabled

__all__ = ["OutputPlan"]

MEDIA: Final = frozenset({"thumbnail", "output_video"})


@define(eq=False)
class OutputPlan:
    """What a batch was asked to keep."""

    folder: OutputFolder | None = None
    want: tuple[str, ...] = ()
    """Words of `ARTIFACT_FILES`, in its order."""
    _tabling: bool = field(default=False, init=False)

    @classmethod
    def of(
        cls, out: str | os.PathLike[str] | None, keep: Collection[str] | None, storage: Storage | None
    ) -> OutputPlan:
        """A keeper of what was asked for. Raises `InvalidSettings` for what nobody can keep."""
        if keep is None:
            keep = () if out is None else ("calculated",)
        if isinstance(keep, str) or not all(word in ARTIFACT_FILES for word in keep):
            raise InvalidSettings(f"keep must be a list of some of {', '.join(ARTIFACT_FILES)}, not {keep!r}")
        homeless = [word for word in ARTIFACT_FILES if word in keep and word != "calculated"]
        if out is None and homeless:
            raise InvalidSettings(f"{', '.join(homeless)}: files need a folder. Give one with out=… (--out)")
        if storage is None and MEDIA.intersection(keep):
            raise InvalidSettings("Thumbnails and videos need a storage. Give the session one beside its transport")
        return cls(
            None if out is None else OutputFolder(Path(out)), tuple(word for word in ARTIFACT_FILES if word in keep)
        )

    async def open(self) -> None:
        """Finds out whether the folder can be written, before anything is bought. Raises `OutputError`."""
        if self.folder is not None:
            await to_thread.run_sync(self.folder.open)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to collect."""
        return self.folder is None and not self.want

    async def collect(self, job: ClipJob, results: Answer, kept: StoredResults) -> CollectedArtifacts:
        """Collects what is wanted of an analyzed clip. Calculated data go into the journal too."""

        def refused(error: OchyError) -> None:
            job.context.recorder.guard.refused(error, current_time())

        paid = PaidAnalysis(
            started=job.started,
            results=results,
            clip=job.known.clip or job.known.name,  # as the journal knows it: a renamed clip keeps its files
            calculated=kept.calculated,
            remember=partial(_remember, job, kept.results),
        )
        return await ArtifactCollector(job.context.core, self.folder, self.want, refused).collect(paid)

    @asynccontextmanager
    async def tabled(self) -> AsyncGenerator[Tables]:
        """The tables of one run, closed whatever happens. Raises `OutputError` where they cannot be begun."""
        if self._tabling:
            raise InvalidSettings("A batch with an output folder runs once at a time; wait for the other `run` to end.")
        self._tabling = self.folder is not None
        try:
            async with tabled(None if self.folder is None else self.folder.path) as tables:
                yield tables
        finally:
            self._tabling = False


async def _remember(job: ClipJob, results: bytes, calculated: bytes) -> None:
    kept = StoredResults(results=results, calculated=calculated)
    job.entry = await job.context.recorder.record(job.known, State.ANALYZED, kept)
