"""What is kept of a paid analysis: the results, the calculated data, and the files that were asked for.

Invariant: nothing here costs a credit and nothing here raises for an analysis. What is there is not fetched again;
what cannot be had this time is named, with the reason, and fetched by the next run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson
from anyio import to_thread
from attrs import define, field, frozen

from ...core import SessionCore
from ...errors import OchyError, UnreadableAnswer
from ...protocol.analysis import Started, calculated_call
from ...protocol.answer import Answer
from ...protocol.call import Call
from ...protocol.redaction import may_contain_links, redact_links
from ...protocol.routes import RAW_DATA
from ...protocol.wire import Request, Response
from .downloads import download
from .file_links import FileLinks
from .folder import ARTIFACT_FILES, RESULTS_FILE, OutputFolder

__all__ = ["ARTIFACT_FILES", "ArtifactCollector", "CollectedArtifacts", "PaidAnalysis"]


async def _nowhere(_: bytes) -> None:
    """Calculated data that no journal remembers."""


def _ignored(_: OchyError) -> None:
    """An error that nobody but the outcome tells."""


@frozen(kw_only=True)
class PaidAnalysis:
    """A finished analysis that was paid for."""

    started: Started[Any, Any] | str
    """The analysis, or its id alone."""
    results: Answer
    """Its results; their links are used if there are some."""
    clip: str = ""
    """What its files are named after. Empty: the id alone, or the name that its files have already."""
    calculated: bytes | None = None
    """The calculated data, where they are known."""
    remember: Callable[[bytes], Awaitable[None]] = _nowhere
    """Is told the calculated data once they were fetched."""

    @property
    def analysis_id(self) -> str:
        """The id of the analysis."""
        return self.started if isinstance(self.started, str) else self.started.analysis_id


@frozen(kw_only=True)
class CollectedArtifacts:
    """What was collected of an analysis."""

    calculated: Any = field(default=None, repr=False)
    files: tuple[Path, ...] = ()
    missing: Mapping[str, OchyError] = field(factory=dict, hash=False)
    """What could not be had, and why."""

    @property
    def reason(self) -> str:
        """Why something is missing; empty where nothing is."""
        return " ".join(f"{word}: {why}" for word, why in self.missing.items())


@define(eq=False)
class ArtifactCollector:
    """Collects what was asked for, of one analysis after the other."""

    core: SessionCore
    folder: OutputFolder | None
    want: tuple[str, ...]
    """Words of `ARTIFACT_FILES`, in its order."""
    refused: Callable[[OchyError], None] = _ignored
    """Is told every error: one of them may be about the account."""

    async def collect(self, paid: PaidAnalysis) -> CollectedArtifacts:
        """All that can be had of an analysis. Raises no `OchyError`."""
        basket = _Basket(paid, self.core, self.folder, self.refused)
        if self.folder is not None:
            await basket.put("results", basket.keep_results)
        for word in self.want:
            await basket.put(word, _WAYS[word](basket))
        return CollectedArtifacts(calculated=basket.calculated, files=tuple(basket.files), missing=basket.missing)


@define(eq=False)
class _Basket:
    """What was collected of one analysis so far."""

    paid: PaidAnalysis
    core: SessionCore
    folder: OutputFolder | None
    refused: Callable[[OchyError], None]
    calculated: Any = field(default=None, init=False)
    files: list[Path] = field(factory=list, init=False)
    missing: dict[str, OchyError] = field(factory=dict, init=False)
    _links: FileLinks = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._links = FileLinks(self.core, self.paid.started, self.paid.results)

    async def put(self, word: str, way: Callable[[], Awaitable[None]]) -> None:
        """Collects one thing, or remembers why not."""
        try:
            await way()
        except OchyError as error:
            self.refused(error)
            self.missing[word] = error

    async def keep_results(self) -> None:
        """The results without their links."""
        await self._save(RESULTS_FILE, orjson.dumps(redact_links(self.paid.results.raw)))

    async def calculate(self) -> None:
        """The calculated data: those that are known, else from the server."""
        call, body = calculated_call(self.paid.started), self.paid.calculated
        if body is not None:
            self.calculated, _ = call.outcome(Response(200, {}, body))
        else:
            self.calculated = await self.core.perform(call)
            body = orjson.dumps(redact_links(self.calculated.raw))
            await self.paid.remember(body)
        await self._save(ARTIFACT_FILES["calculated"], body)

    async def film_data(self) -> None:
        """The raw data as they came."""
        target = await self._missing_file(ARTIFACT_FILES["raw_data"])
        if target is None:
            return
        body = await self.core.perform(_raw_call(self.paid.analysis_id))
        await self._write(target, await to_thread.run_sync(_unlinked, body))

    async def fetch(self, word: str) -> None:
        """A file from the storage."""
        target = await self._missing_file(ARTIFACT_FILES[word])
        if target is None or self.core.storage is None:
            return
        await download(self.core, self.core.storage, partial(self._links.link, word), self._folder, target)
        self.files.append(target)

    async def _save(self, name: str, content: bytes) -> None:
        """Keeps a file, unless it is there."""
        target = await self._missing_file(name)
        if target is not None:
            await self._write(target, content)

    async def _missing_file(self, name: str) -> Path | None:
        """Where a file is to be put. None where it is there, and so counts as kept, or where there is no folder."""
        if self.folder is None:
            return None
        path = await to_thread.run_sync(self.folder.file, self.paid.clip, self.paid.analysis_id, name)
        if not await to_thread.run_sync(self.folder.has, path):
            return path
        self.files.append(path)
        return None

    async def _write(self, path: Path, content: bytes) -> None:
        await to_thread.run_sync(self._folder.write, path, content)
        self.files.append(path)

    @property
    def _folder(self) -> OutputFolder:
        if self.folder is None:
            raise LookupError("there is no folder to keep files in")
        return self.folder


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


def _unlinked(body: bytes) -> bytes:
    """The raw data without links: the very bytes, where they cannot hold any."""
    if not may_contain_links(body):
        return body
    try:
        return orjson.dumps(redact_links(orjson.loads(body)))
    except ValueError:
        pass
    raise UnreadableAnswer("The raw data are no JSON. Report it.", route=str(RAW_DATA))
