"""Finds the clips that the arguments of `ochy analyze` and `ochy check` name: files, folders, manifests, URLs.

Invariant: no clip is taken twice, and all problems are reported together before anything is sent. An annotated video
that a batch saved is never taken as a clip.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import anyio
from attrs import define, field

from ..batch.manifest import read_manifest
from ..batch.output.folder import ANNOTATED
from ..batch.sources import BatchItem, label_of
from ..clips import Clip, ClipSource
from ..errors import InvalidRequest
from ..journal.postgres.address import is_address
from ..object_store.listing import Objects, is_object_url, objects
from ..protocol.request import AnalysisRequest
from ..protocol.video_limits import CONTENT_TYPES, extension
from .request_options import RequestFlags, usage_error

__all__ = ["ANNOTATED", "FoundClips", "find_clips"]

MANIFEST: Final = ".csv"


@define(eq=False)
class FoundClips:
    """The clips that the arguments name."""

    clips: list[BatchItem] = field(factory=list)
    """Each with its request, and with its path as it was typed or as the clip of an object."""
    repeated: int = 0
    """Clips that were named again with the same request, and are taken once."""
    annotated: int = 0
    """Annotated videos from an earlier run, which are left out."""


def find_clips(
    words: Sequence[str], flags: RequestFlags, *, recursive: bool, extra_columns: Collection[str] = ()
) -> FoundClips:
    """Finds all clips, each with its request. Raises a usage error that lists every problem."""
    flags.check(complete=not all(map(_is_manifest, words)))
    problems: list[str] = []
    found, seen = FoundClips(), set[tuple[Any, ...]]()
    for item in _items(words, flags, recursive, extra_columns, problems):
        clip = label_of(item.clip)
        if clip.endswith(ANNOTATED):
            found.annotated += 1
            continue
        identity = (_canonical(clip), item.request, tuple(item.extra.items()))
        if identity in seen:
            found.repeated += 1
        else:
            seen.add(identity)
            found.clips.append(item)
    if found.annotated and not found.clips and not problems:
        problems.append(
            f"CLIP: there are only annotated videos from an earlier run, whose names end in {ANNOTATED}. Rename the "
            "files that are your own clips"
        )
    if problems:
        raise usage_error(problems)
    return found


def _canonical(clip: str) -> str:
    """The path of a clip with symbolic links of its folders resolved, since links may form a circle."""
    if is_object_url(clip):
        return clip
    folder, name = os.path.split(clip)
    return os.path.join(os.path.realpath(folder), name)  # noqa: PTH118 - the name stays as it was typed


def _items(
    words: Sequence[str], flags: RequestFlags, recursive: bool, extra_columns: Collection[str], problems: list[str]
) -> Iterator[BatchItem]:
    request: AnalysisRequest[Any, Any] | None = None
    for word in _expand_patterns(words, problems):
        if _is_manifest(word):
            yield from _manifest_items(word, flags, extra_columns, problems)
            continue
        request = request or flags.request()
        yield from (BatchItem(clip, request) for clip in _clips(word, recursive, problems))


def _clips(word: str, recursive: bool, problems: list[str]) -> Sequence[ClipSource]:
    if not is_object_url(word):
        return _videos(word, recursive, problems) if Path(word).is_dir() else [word]
    clips = anyio.run(_listed, objects(word))
    if not clips:
        problems.append(f"CLIP: there is no {', '.join(CONTENT_TYPES)} under {word}")
    return clips


async def _listed(found: Objects) -> list[Clip]:
    return [clip async for clip in found]


def _expand_patterns(words: Iterable[str], problems: list[str]) -> Iterator[str]:
    """The words, with each pattern replaced by what it matches, for shells that do not do so."""
    for word in words:
        if is_address(word):
            problems.append("CLIP: an address of a database is not a clip; give it with --journal")
            continue
        if is_object_url(word) or not glob.has_magic(word) or os.path.lexists(word):
            yield word
            continue
        found = glob.glob(word, recursive=True)  # noqa: PTH207 - keeps names as they were typed
        matches = sorted((each for each in found if _is_wanted(each, word)), key=_natural_order)
        if not matches:
            problems.append(f"CLIP: {word!r} matches nothing")
        yield from matches


def _is_wanted(match: str, pattern: str) -> bool:
    """Whether a match is a video or a folder, or a manifest that the pattern's extension asks for."""
    manifest = _is_manifest(match) and _is_manifest(pattern)
    return manifest or Path(match).is_dir() or _is_video(Path(match).name)


def _is_manifest(word: str) -> bool:
    return not is_object_url(word) and extension(Path(word).name) == MANIFEST and not Path(word).is_dir()


def _manifest_items(
    manifest: str, flags: RequestFlags, extra_columns: Collection[str], problems: list[str]
) -> Iterator[BatchItem]:
    try:
        yield from read_manifest(manifest, extra_columns=extra_columns, view=flags.view, **flags.given)
    except InvalidRequest as error:
        problems += [f"{manifest}: {each}" for each in error.problems]


def _videos(folder: str, recursive: bool, problems: list[str]) -> list[str]:
    """The videos in a folder, except hidden files and folders."""

    def unreadable(error: OSError) -> None:
        problems.append(f"CLIP: {error.filename!r} cannot be read: {error.strerror}")

    before, clips = len(problems), list[str]()
    for path, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = [each for each in folders if recursive and not each.startswith(".")]
        clips += [str(Path(path, name)) for name in names if _is_video(name)]
    if not clips and len(problems) == before:
        advice = "" if recursive else "; --recursive searches its subfolders too"
        problems.append(f"CLIP: the folder {folder!r} contains no {', '.join(CONTENT_TYPES)}{advice}")
    return sorted(clips, key=_natural_order)


def _is_video(name: str) -> bool:
    return extension(name) in CONTENT_TYPES and not name.startswith(".")


_DIGITS: Final = re.compile(r"([0-9]+)")


def _natural_order(path: str) -> tuple[Any, ...]:
    """A sort key that puts `clip 9` before `clip 10`."""
    return tuple(map(_name_order, Path(path).parts)), path


def _name_order(name: str) -> tuple[Any, ...]:
    # Texts and numbers alternate in the result, so a text is never compared with a number.
    return tuple(int(part) if odd % 2 else part.casefold() for odd, part in enumerate(_DIGITS.split(name)))
