"""The thumbnail and the annotated video of one analysis, each fetched to a path of the caller's choice.

Invariant: a file is there whole or not at all, and bytes of two files are never joined, whatever stood at the path.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Final, Literal, get_args
from urllib.parse import urlsplit

from anyio import to_thread
from attrs import define, field

from ..errors import InvalidRequest, InvalidSettings, NotReady, OchyError, Problem, UnreadableAnswer
from ..exchange import Exchange
from ..protocol.analysis import Results, Started, Status, results_call
from ..protocol.routes import RESULTS
from ..protocol.values import ID_KEYS, Answer, SignedUrl
from ..waiting import failed
from .collecting import FILES
from .downloads import MOST_RENEWALS, download
from .folder import Folder

__all__ = ["Media", "MediaSource", "fetch", "masked"]

Media = Literal["output_video", "thumbnail"]
MediaSource = SignedUrl | Results | Started[Any, Any] | str | None
"""A link, results that hold links, or the analysis itself: a text is a link if it is an address, else an id. None, as
a field of results without a link is, is refused with words."""

_SOURCES: Final = "must be results, a link of theirs, what `start` returned, or an analysis id"


def masked(source: MediaSource) -> MediaSource:
    """The source; a link that came as text is one that no repr shows."""
    return SignedUrl(source) if isinstance(source, str) and "://" in source else source


async def fetch(exchange: Exchange, source: MediaSource, path: str | os.PathLike[str], file: Media) -> Path:
    """Fetches a file and returns where it is. See `OchySession.download`."""
    problems = tuple(_problems(source, path, file))
    if problems:
        raise InvalidRequest.of("download", problems)
    if exchange.storage is None:
        raise InvalidSettings("Thumbnails and videos need a storage. Give the session one beside its transport")
    link = _Link(exchange, source, file)
    target = await to_thread.run_sync(link.target, Path(path))
    renewals = MOST_RENEWALS if link.analysis is not None else 0
    folder = Folder(target.parent)
    try:
        await download(exchange, exchange.storage, link, folder, target, content=link.content, renewals=renewals)
    except OchyError as error:
        error.analysis_id = error.analysis_id or link.analysis_id
        raise
    return target


def _problems(source: Any, path: Any, file: Any) -> list[Problem]:
    problems: list[Problem] = []
    if source is None:
        problems.append(Problem("source", "is None: these results hold no such link. Give the results, or the id"))
    elif not isinstance(source, SignedUrl | Answer | Started | str):
        problems.append(Problem("source", _SOURCES))
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        problems.append(Problem("path", "must be a path"))
    if file not in get_args(Media):
        problems.append(Problem("file", f"must be one of {', '.join(get_args(Media))}"))
    return problems


@define(eq=False)
class _Link:
    """The link to one file: the one that is known, or a fresh one of the analysis."""

    exchange: Exchange
    source: MediaSource
    file: Media
    analysis: Started[Any, Any] | str | None = field(init=False)
    """What to ask for a fresh link; None where only a link is known."""
    _url: SignedUrl | None = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        source = self.source
        self.analysis = source if isinstance(source, Started | str) else None
        self._url = source if isinstance(source, SignedUrl) else None
        if isinstance(source, Answer):
            self.analysis = next((source.raw[name] for name in ID_KEYS if _is_id(source.raw.get(name))), None)
            self._url = getattr(source, self.file, None)

    async def __call__(self, fresh: bool) -> SignedUrl:
        """The link. Raises `NotReady` before `success`, `AnalysisFailed`, and what looking raises."""
        if (fresh or self._url is None) and self.analysis is not None:
            self._url = await self._renewed(self.analysis)
        if self._url is None:
            raise UnreadableAnswer(
                f"The results hold no link to the {self.file}. Give the analysis id to have one.",
                analysis_id=self.analysis_id,
            )
        return self._url

    async def _renewed(self, analysis: Started[Any, Any] | str) -> SignedUrl | None:
        state = await self.exchange.perform(results_call(analysis))
        if state.status == Status.FAILED:
            raise failed(state)
        if state.results is None:
            raise NotReady(
                f"The analysis {state.analysis_id} has not succeeded yet, so it has no files. Wait for it with `wait`, "
                "then ask again.",
                route=str(RESULTS),
                analysis_id=state.analysis_id,
            )
        url: SignedUrl | None = getattr(state.results, self.file, None)
        return url

    @property
    def analysis_id(self) -> str | None:
        """The id of the analysis; None where only a link is known."""
        return self.analysis.analysis_id if isinstance(self.analysis, Started) else self.analysis

    @property
    def content(self) -> str:
        """Tells what is fetched from anything else that may have been begun at the same path."""
        what = f"{self.analysis_id} {self.file}" if self.analysis is not None else _place(self._url)
        return hashlib.sha256(what.encode(errors="surrogatepass")).hexdigest()

    def target(self, path: Path) -> Path:
        """Where the file goes: `path`, or in that folder under the name that a batch would give it."""
        if not path.is_dir():
            return path
        if self.analysis_id is None:
            raise InvalidRequest.of("download", (Problem("path", "is a folder; give the file's name with it"),))
        return Folder(path).file("", self.analysis_id, FILES[self.file])


def _is_id(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _place(url: SignedUrl | None) -> str:
    """Where a link leads, without what expires."""
    try:
        parts = urlsplit("" if url is None else url.reveal())
    except ValueError:
        return ""
    return f"{parts.netloc}{parts.path}"
