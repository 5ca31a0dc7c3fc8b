"""What a batch was asked to keep: which files of each clip, in which folder, and the tables over all.

Law of this room: what nobody can keep is refused before anything is bought, and nothing here loses an outcome.
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

from ..errors import InvalidSettings, OchyError
from ..journal.contract import Kept
from ..policy.batching import State
from ..protocol.values import Answer
from ..storage import Storage
from .collecting import FILES, ArtifactCollector, Collected, Paid
from .folder import Folder
from .tables import Tabled, tabled
from .walk import Walk

__all__ = ["Keeper"]

MEDIA: Final = frozenset({"thumbnail", "output_video"})


@define(eq=False)
class Keeper:
    """What a batch was asked to keep."""

    folder: Folder | None = None
    want: tuple[str, ...] = ()
    """Words of `FILES`, in its order."""
    _tabling: bool = field(default=False, init=False)

    @classmethod
    def of(cls, out: str | os.PathLike[str] | None, keep: Collection[str] | None, storage: Storage | None) -> Keeper:
        """A keeper of what was asked for. Raises `InvalidSettings` for what nobody can keep."""
        if keep is None:
            keep = () if out is None else ("calculated",)
        if isinstance(keep, str) or not all(word in FILES for word in keep):
            raise InvalidSettings(f"keep must be a list of some of {', '.join(FILES)}, not {keep!r}")
        homeless = [word for word in FILES if word in keep and word != "calculated"]
        if out is None and homeless:
            raise InvalidSettings(f"{', '.join(homeless)}: files need a folder. Give one with out=… (--out)")
        if storage is None and MEDIA.intersection(keep):
            raise InvalidSettings("Thumbnails and videos need a storage. Give the session one beside its transport")
        return cls(None if out is None else Folder(Path(out)), tuple(word for word in FILES if word in keep))

    async def open(self) -> None:
        """Finds out whether the folder can be written, before anything is bought. Raises `OutputTrouble`."""
        if self.folder is not None:
            await to_thread.run_sync(self.folder.open)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to collect."""
        return self.folder is None and not self.want

    async def collect(self, walk: Walk, results: Answer, kept: Kept) -> Collected:
        """Collects what is wanted of an analysed clip. Calculated data go into the journal too."""

        def refused(error: OchyError) -> None:
            walk.road.books.guard.refused(error, current_time())

        paid = Paid(
            started=walk.started,
            results=results,
            clip=walk.known.clip or walk.known.name,  # as the journal knows it: a renamed clip keeps its files
            calculated=kept.calculated,
            remember=partial(_remember, walk, kept.results),
        )
        return await ArtifactCollector(walk.road.exchange, self.folder, self.want, refused).collect(paid)

    @asynccontextmanager
    async def tabled(self) -> AsyncGenerator[Tabled]:
        """The tables of one run, closed whatever happens. Raises `OutputTrouble` where they cannot be begun."""
        if self._tabling:
            raise InvalidSettings("A batch with an output folder runs once at a time; wait for the other `run` to end.")
        self._tabling = self.folder is not None
        try:
            async with tabled(None if self.folder is None else self.folder.path) as tables:
                yield tables
        finally:
            self._tabling = False


async def _remember(walk: Walk, results: bytes, calculated: bytes) -> None:
    kept = Kept(results=results, calculated=calculated)
    walk.entry = await walk.road.books.record(walk.known, State.ANALYSED, kept)
