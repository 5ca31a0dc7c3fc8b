"""What is kept of each analysed clip: the results, the calculated data, and the files that were asked for.

Law of this room: nothing here costs a credit and nothing here loses an outcome. What is there is not
fetched again; what cannot be had this time is named, with the reason, and fetched by the next run.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson
from anyio import CancelScope, current_time, to_thread
from attrs import define, field

from ..errors import InvalidSettings, OchyError, OutputTrouble, UnreadableAnswer
from ..journal.contract import Kept
from ..policy.batching import State
from ..protocol.analysis import calculated_call, results_call
from ..protocol.call import Call
from ..protocol.links import without_links
from ..protocol.routes import RAW_DATA
from ..protocol.values import SignedUrl
from ..protocol.wire import Request, Response
from ..storage import Storage
from .downloads import download
from .folder import Folder
from .outcomes import Outcome
from .tables import Tables
from .walk import Walk

__all__ = ["FILES", "Keeper", "Tabled"]

logger = logging.getLogger("ochy_async")

FILES: Final[Mapping[str, str]] = {
    "calculated": "calculated.json",
    "raw_data": "raw_data.json",
    "thumbnail": "thumbnail.jpg",
    "output_video": "output_video.mp4",
}
"""What can be asked for, and how its file is called."""
MEDIA: Final = frozenset({"thumbnail", "output_video"})


@define(eq=False)
class Keeper:
    """Collects what a batch was asked to keep."""

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

    async def collect(self, walk: Walk, kept: Kept) -> dict[str, Any]:
        """What `Analyzed` tells of what was collected: calculated data, files, and what is missing."""
        basket = _Basket(walk, kept, self.folder)
        if self.folder is not None:
            await basket.put("results", partial(basket.save, "results.json", kept.results))
        for word in self.want:
            await basket.put(word, _WAYS[word](basket))
        return {
            "calculated": basket.calculated,
            "files": tuple(basket.files),
            "missing": tuple(basket.missing),
            "reason": " ".join(f"{word}: {why}" for word, why in basket.missing.items()),
        }

    @asynccontextmanager
    async def tabled(self) -> AsyncGenerator[Tabled]:
        """The tables of one run, closed whatever happens. Raises `OutputTrouble` where they cannot be begun."""
        if self._tabling:
            raise InvalidSettings("A batch with an output folder runs once at a time; wait for the other `run` to end.")
        tabled = Tabled(None if self.folder is None else Tables(self.folder.path))
        self._tabling = self.folder is not None
        try:
            await tabled.begin()
            yield tabled
        finally:
            self._tabling = False
            with CancelScope(shield=True):
                await tabled.close()


@define(eq=False)
class Tabled:
    """The tables of one run; without a folder there are none. A row that cannot be written costs no outcome."""

    tables: Tables | None
    trouble: OutputTrouble | None = field(default=None, init=False)
    """Why the tables are not complete."""

    async def begin(self) -> None:
        """Opens them."""
        if self.tables is not None:
            await to_thread.run_sync(self.tables.begin)

    async def add(self, outcome: Outcome[Any, Any]) -> None:
        """Adds a row, as long as there was no trouble."""
        if self.tables is None or self.trouble is not None:
            return
        try:
            await to_thread.run_sync(self.tables.add, outcome)
        except OutputTrouble as trouble:
            self._fails(trouble)

    async def finish(self) -> None:
        """Makes them the tables of the folder. Raises the first trouble that there was with them."""
        if self.trouble is not None:
            raise self.trouble
        if self.tables is not None:
            await to_thread.run_sync(self.tables.finish)

    async def close(self) -> None:
        """Leaves them as they are."""
        if self.tables is None:
            return
        try:
            await to_thread.run_sync(self.tables.close)
        except OutputTrouble as trouble:
            self._fails(trouble)

    def _fails(self, trouble: OutputTrouble) -> None:
        self.trouble = self.trouble or trouble
        logger.error("the tables of the batch stay incomplete: %s", trouble)


@define(eq=False)
class _Basket:
    """What was collected of one clip."""

    walk: Walk
    kept: Kept
    folder: Folder | None
    calculated: Any = field(default=None, init=False)
    files: list[Path] = field(factory=list, init=False)
    missing: dict[str, str] = field(factory=dict, init=False)
    """What could not be had, and why."""
    _links: Any = field(init=False, repr=False)
    """Results that hold links, once there are some."""

    def __attrs_post_init__(self) -> None:
        self._links = None if self.walk.state is None else self.walk.state.results

    async def put(self, word: str, way: Callable[[], Awaitable[None]]) -> None:
        """Collects one thing, or remembers why not."""
        try:
            await way()
        except OchyError as error:
            self.walk.road.books.guard.refused(error, current_time())
            self.missing[word] = str(error)

    async def save(self, name: str, content: bytes) -> None:
        """Keeps a file, unless it is there."""
        if not await self._there(name):
            await self._write(name, content)

    async def calculate(self) -> None:
        """The calculated data: from the journal, else from the server into the journal."""
        call, body = calculated_call(self.walk.started), self.kept.calculated
        if body is not None:
            self.calculated, _ = call.outcome(Response(200, {}, body))
        else:
            self.calculated = await self.walk.road.exchange.perform(call)
            body = orjson.dumps(without_links(self.calculated.raw))
            kept = Kept(results=self.kept.results, calculated=body)
            self.walk.entry = await self.walk.road.books.record(self.walk.known, State.ANALYSED, kept)
        await self.save(FILES["calculated"], body)

    async def film_data(self) -> None:
        """The raw data as they came."""
        if await self._there(FILES["raw_data"]):
            return
        body = await self.walk.road.exchange.perform(_raw_call(self.walk.started.analysis_id))
        if b"://" in body or rb":\/\/" in body:
            body = await to_thread.run_sync(_masked, body)
        await self._write(FILES["raw_data"], body)

    async def fetch(self, word: str) -> None:
        """A file from the storage."""
        exchange = self.walk.road.exchange
        if await self._there(FILES[word]) or exchange.storage is None:
            return
        target = self._file(FILES[word])
        await download(exchange, exchange.storage, partial(self._link, word), self._folder, target)
        self.files.append(target)

    async def _link(self, word: str, fresh: bool) -> SignedUrl:
        if fresh or self._links is None:
            state = await self.walk.road.exchange.perform(results_call(self.walk.started))
            self._links = state.results
        url: SignedUrl | None = getattr(self._links, word, None)
        if url is None:
            raise UnreadableAnswer("The results hold no link to it. Run again later.", analysis_id=self._id)
        return url

    async def _there(self, name: str) -> bool:
        """Whether a file is there: then it counts as kept. Without a folder nothing is to be done."""
        if self.folder is None:
            return True
        there = await to_thread.run_sync(self.folder.has, self._file(name))
        self.files += [self._file(name)] if there else []
        return there

    async def _write(self, name: str, content: bytes) -> None:
        await to_thread.run_sync(self._folder.write, self._file(name), content)
        self.files.append(self._file(name))

    def _file(self, name: str) -> Path:
        return self._folder.file(self._id, name)

    @property
    def _folder(self) -> Folder:
        if self.folder is None:
            raise LookupError("there is no folder to keep files in")
        return self.folder

    @property
    def _id(self) -> str:
        return self.walk.started.analysis_id


_WAYS: Final[Mapping[str, Callable[[_Basket], Callable[[], Awaitable[None]]]]] = {
    "calculated": lambda basket: basket.calculate,
    "raw_data": lambda basket: basket.film_data,
    "thumbnail": lambda basket: partial(basket.fetch, "thumbnail"),
    "output_video": lambda basket: partial(basket.fetch, "output_video"),
}


def _raw_call(analysis_id: str) -> Call[bytes]:
    """The raw data as bytes: megabytes that nobody needs to read here."""
    request = Request(RAW_DATA, RAW_DATA.path(analysis_id=analysis_id))
    return Call(request, _same, "raw data", repeatable=True, analysis_id=analysis_id, json=_object)


def _object(response: Response) -> bytes:
    """The body, if it looks like a JSON object from both ends. Raises `ValueError` for a proxy's page."""
    if response.body[:100].lstrip()[:1] != b"{" or response.body[-100:].rstrip()[-1:] != b"}":
        raise ValueError("no object")
    return response.body


def _same(body: bytes) -> bytes:
    return body


def _masked(body: bytes) -> bytes:
    try:
        return orjson.dumps(without_links(orjson.loads(body)))
    except ValueError:
        pass
    raise UnreadableAnswer("The raw data are no JSON. Report it.", route=str(RAW_DATA))
