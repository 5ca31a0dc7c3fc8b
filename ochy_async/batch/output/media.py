"""Downloads of the thumbnail or the annotated video of one analysis, to a path of the caller's choice.

Invariant: a file is complete or absent, and bytes of two files are never joined, whatever was at the path before.
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
from .downloads import MAX_RENEWALS, LinkProvider, download
from .file_links import FileLinks
from .folder import ARTIFACT_FILES, OutputFolder

__all__ = ["Media", "MediaSource", "fetch", "masked"]

Media = Literal["output_video", "thumbnail"]
MediaSource = SignedUrl | Results | Started[Any, Any] | str | None
"""A link, results that hold links, or the analysis itself. A text is a link if it is a URL, else an id. None, which is
the value of a missing link in results, is refused with an error that says so."""

_SOURCES: Final = "must be results, a link of theirs, what `start` returned, or an analysis id"


def masked(source: MediaSource) -> MediaSource:
    """Returns the source; a link given as a text becomes a `SignedUrl`, which no repr shows."""
    return SignedUrl(source) if isinstance(source, str) and contains_link(source) else source


async def fetch(core: SessionCore, source: MediaSource, path: str | os.PathLike[str], file: Media) -> Path:
    """Downloads a file and returns its path. See `OchySession.download`."""
    problems = tuple(_problems(source, path, file))
    if problems:
        raise InvalidRequest.of("download", problems)
    if core.storage is None:
        raise InvalidSettings("Thumbnails and videos need a storage. Give the session one beside its transport")
    links = FileLinks(core, _analysis(source), source if isinstance(source, Answer) else None)
    link: LinkProvider = partial(_same, source) if isinstance(source, SignedUrl) else partial(links.link, file)
    target = await to_thread.run_sync(_target, Path(path), links.analysis_id, file)
    content = _location(source) if isinstance(source, SignedUrl) else f"{links.analysis_id} {file}"
    try:
        await download(
            core,
            core.storage,
            link,
            target,
            content=hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest(),
            renewals=MAX_RENEWALS if links.analysis is not None else 0,
        )
    except OchyError as error:
        error.analysis_id = error.analysis_id or links.analysis_id
        raise
    return target


def _problems(source: Any, path: Any, file: Any) -> Iterator[Problem]:
    if source is None:
        yield Problem("source", "is None: these results hold no such link. Give the results or the id instead")
    elif not isinstance(source, SignedUrl | Answer | Started | str):
        yield Problem("source", _SOURCES)
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        yield Problem("path", "must be a path")
    if file not in get_args(Media):
        yield Problem("file", f"must be one of {', '.join(get_args(Media))}")


def _analysis(source: MediaSource) -> Started[Any, Any] | str | None:
    """The analysis that can be asked for fresh links; None if only a link is known."""
    if isinstance(source, Answer):
        named = (source.raw.get(name) for name in ID_KEYS)
        return next((each for each in named if each and isinstance(each, str)), None)
    return source if isinstance(source, Started | str) else None


async def _same(url: SignedUrl, _: bool) -> SignedUrl:
    """The link itself: no other can be requested."""
    return url


def _target(path: Path, analysis_id: str | None, file: Media) -> Path:
    """Returns `path`, or, if that is a folder, the path in it that a batch would use."""
    if not path.is_dir():
        return path
    if analysis_id is None:
        raise InvalidRequest.of("download", (Problem("path", "is a folder. Add a file name to it"),))
    return OutputFolder(path).file_path("", analysis_id, ARTIFACT_FILES[file])


def _location(url: SignedUrl) -> str:
    """Host and path of a link, without the signature, which expires."""
    try:
        parts = urlsplit(url.reveal())
    except ValueError:
        return ""
    return f"{parts.netloc}{parts.path}"
