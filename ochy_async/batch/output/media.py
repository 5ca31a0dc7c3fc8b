"""The thumbnail and the annotated video of one analysis, each fetched to a path of the caller's choice.

Invariant: a file is there whole or not at all, and bytes of two files are never joined, whatever stood at the path.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, get_args
from urllib.parse import urlsplit

from anyio import to_thread

from ...core import SessionCore
from ...errors import InvalidRequest, InvalidSettings, OchyError, Problem
from ...protocol.analysis import Started
from ...protocol.answer import ID_KEYS, Answer, SignedUrl
from ...protocol.redaction import contains_link
from ...protocol.views import Results
from .collector import ARTIFACT_FILES
from .downloads import MOST_RENEWALS, Link, download
from .file_links import FileLinks
from .folder import OutputFolder

__all__ = ["Media", "MediaSource", "fetch", "masked"]

Media = Literal["output_video", "thumbnail"]
MediaSource = SignedUrl | Results | Started[Any, Any] | str | None
"""A link, results that hold links, or the analysis itself: a text is a link if it is an address, else an id. None, as
a field of results without a link is, is refused with words."""

_SOURCES: Final = "must be results, a link of theirs, what `start` returned, or an analysis id"


def masked(source: MediaSource) -> MediaSource:
    """The source; a link that came as text is one that no repr shows."""
    return SignedUrl(source) if isinstance(source, str) and contains_link(source) else source


async def fetch(core: SessionCore, source: MediaSource, path: str | os.PathLike[str], file: Media) -> Path:
    """Fetches a file and returns where it is. See `OchySession.download`."""
    problems = tuple(_problems(source, path, file))
    if problems:
        raise InvalidRequest.of("download", problems)
    if core.storage is None:
        raise InvalidSettings("Thumbnails and videos need a storage. Give the session one beside its transport")
    links = FileLinks(core, _analysis(source), source if isinstance(source, Answer) else None)
    link: Link = partial(_same, source) if isinstance(source, SignedUrl) else partial(links.link, file)
    target = await to_thread.run_sync(_target, Path(path), links.analysis_id, file)
    content = _place(source) if isinstance(source, SignedUrl) else f"{links.analysis_id} {file}"
    try:
        await download(
            core,
            core.storage,
            link,
            OutputFolder(target.parent),
            target,
            content=hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest(),
            renewals=MOST_RENEWALS if links.analysis is not None else 0,
        )
    except OchyError as error:
        error.analysis_id = error.analysis_id or links.analysis_id
        raise
    return target


def _problems(source: Any, path: Any, file: Any) -> Iterator[Problem]:
    if source is None:
        yield Problem("source", "is None: these results hold no such link. Give the results, or the id")
    elif not isinstance(source, SignedUrl | Answer | Started | str):
        yield Problem("source", _SOURCES)
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        yield Problem("path", "must be a path")
    if file not in get_args(Media):
        yield Problem("file", f"must be one of {', '.join(get_args(Media))}")


def _analysis(source: MediaSource) -> Started[Any, Any] | str | None:
    """What fresh links can be asked for with; None where only a link is known."""
    if isinstance(source, Answer):
        named = (source.raw.get(name) for name in ID_KEYS)
        return next((each for each in named if each and isinstance(each, str)), None)
    return source if isinstance(source, Started | str) else None


async def _same(url: SignedUrl, _: bool) -> SignedUrl:
    """A link of which nothing else is known."""
    return url


def _target(path: Path, analysis_id: str | None, file: Media) -> Path:
    """Where the file goes: `path`, or in that folder under the name that a batch would give it."""
    if not path.is_dir():
        return path
    if analysis_id is None:
        raise InvalidRequest.of("download", (Problem("path", "is a folder; give the file's name with it"),))
    return OutputFolder(path).file("", analysis_id, ARTIFACT_FILES[file])


def _place(url: SignedUrl) -> str:
    """Where a link leads, without what expires."""
    try:
        parts = urlsplit(url.reveal())
    except ValueError:
        return ""
    return f"{parts.netloc}{parts.path}"
