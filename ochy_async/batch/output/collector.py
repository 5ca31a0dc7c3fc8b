"""What is saved of a paid analysis: its results, the calculated data, and the files that were asked for.

Invariant: collecting costs no credit and never raises an `OchyError`. A file that is already there is not fetched
again; what could not be fetched is reported with the reason, and the next run fetches it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

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
from .folder import ARTIFACT_FILES, RESULTS_FILE, OutputFolder, write_output

__all__ = ["ArtifactCollector", "CollectedArtifacts", "PaidAnalysis"]


@frozen(kw_only=True)
class PaidAnalysis:
    """A finished analysis that was paid for."""

    started: Started[Any, Any] | str
    """The analysis, or its id."""
    results: Answer
    """Its results; their links to files are used if there are any."""
    clip: str = ""
    """The clip that its files are named after. Empty: the name that its files already have, or else the id alone."""
    calculated: bytes | None = None
    """The calculated data, if they are stored already."""
    store_calculated: Callable[[bytes], Awaitable[None]] | None = None
    """Called with the calculated data after they were fetched."""

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
    """The artifacts that could not be collected, each with the error."""

    @property
    def reason(self) -> str:
        """Why artifacts are missing; empty if none is."""
        return " ".join(f"{artifact}: {error}" for artifact, error in self.missing.items())


@define(eq=False)
class ArtifactCollector:
    """Collects the artifacts of one analysis; used once."""

    _core: SessionCore
    _analysis: PaidAnalysis
    _folder: OutputFolder | None
    _on_error: Callable[[OchyError], object]
    """Called with every error: one of them may concern the account."""
    _calculated: Any = field(default=None, init=False)
    _files: list[Path] = field(factory=list, init=False)
    _missing: dict[str, OchyError] = field(factory=dict, init=False)
    _links: FileLinks = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._links = FileLinks(self._core, self._analysis.started, self._analysis.results)

    async def collect(self, artifacts: tuple[str, ...]) -> CollectedArtifacts:
        """Collects the results, if there is a folder for them, and `artifacts`. Raises no `OchyError`."""
        for artifact in artifacts if self._folder is None else ("results", *artifacts):
            try:
                await self._collect(artifact)
            except OchyError as error:
                self._on_error(error)
                self._missing[artifact] = error
        return CollectedArtifacts(calculated=self._calculated, files=tuple(self._files), missing=self._missing)

    async def _collect(self, artifact: str) -> None:
        match artifact:
            case "results":
                await self._save(RESULTS_FILE, orjson.dumps(redact_links(self._analysis.results.raw)))
            case "calculated":
                await self._save(ARTIFACT_FILES[artifact], await self._calculated_data())
            case "raw_data":
                await self._fetch_raw_data()
            case _:
                await self._download(artifact)

    async def _calculated_data(self) -> bytes:
        """The stored calculated data, or else those of the server, without links."""
        call, body = calculated_call(self._analysis.started), self._analysis.calculated
        if body is not None:
            self._calculated, _ = call.outcome(Response(200, {}, body))
            return body
        self._calculated = await self._core.perform(call)
        body = orjson.dumps(redact_links(self._calculated.raw))
        if self._analysis.store_calculated is not None:
            await self._analysis.store_calculated(body)
        return body

    async def _fetch_raw_data(self) -> None:
        target = await self._missing_file(ARTIFACT_FILES["raw_data"])
        if target is not None:
            body = await self._core.perform(_raw_data_call(self._analysis.analysis_id))
            await self._write(target, await to_thread.run_sync(_without_links, body))

    async def _download(self, artifact: str) -> None:
        target = await self._missing_file(ARTIFACT_FILES[artifact])
        if target is not None and self._core.storage is not None:
            await download(self._core, self._core.storage, partial(self._links.link, artifact), target)
            self._files.append(target)

    async def _save(self, name: str, content: bytes) -> None:
        """Writes a file, unless it is already there."""
        target = await self._missing_file(name)
        if target is not None:
            await self._write(target, content)

    async def _missing_file(self, name: str) -> Path | None:
        """Where a file is to be written. None if it is already there, and so collected, or if there is no folder."""
        if self._folder is None:
            return None
        path = await to_thread.run_sync(self._folder.file_path, self._analysis.clip, self._analysis.analysis_id, name)
        if not await to_thread.run_sync(self._folder.has, path):
            return path
        self._files.append(path)
        return None

    async def _write(self, path: Path, content: bytes) -> None:
        await to_thread.run_sync(write_output, path, content)
        self._files.append(path)


def _raw_data_call(analysis_id: str) -> Call[bytes]:
    """A call for the raw data as bytes: megabytes of JSON that need not be parsed here."""
    request = Request(RAW_DATA, RAW_DATA.path(analysis_id=analysis_id))
    return Call(request, bytes, "raw data", repeatable=True, analysis_id=analysis_id, json=_json_object)


def _json_object(response: Response) -> bytes:
    """The body, if it begins and ends like a JSON object. Raises `ValueError` for the page of a proxy, for example."""
    if response.body[:100].lstrip()[:1] != b"{" or response.body[-100:].rstrip()[-1:] != b"}":
        raise ValueError("not a JSON object")
    return response.body


def _without_links(body: bytes) -> bytes:
    """The raw data without links; unchanged, byte for byte, if they cannot hold any."""
    if not may_contain_links(body):
        return body
    try:
        return orjson.dumps(redact_links(orjson.loads(body)))
    except ValueError:
        pass
    raise UnreadableAnswer("The raw data are not valid JSON. Please report this.", route=str(RAW_DATA))
