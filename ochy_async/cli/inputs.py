"""What the words after `ochy analyze` stand for: clips, folders, patterns, manifests.

Invariant: the order is one that people expect, nothing is taken twice, and what is wrong is told
at once, before anything is sent. What a run has written is never bought as a clip by the next.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from ..batch.manifest import read_manifest
from ..batch.output.folder import ARTIFACT_FILES
from ..batch.sources import BatchItem
from ..errors import InvalidRequest
from ..protocol.request import AnalysisRequest
from ..protocol.video_limits import CONTENT_TYPES, extension
from .request_options import Asked, refuse

__all__ = ["Found", "find"]

MANIFEST: Final = ".csv"
WRITTEN: Final = f".{ARTIFACT_FILES['output_video']}"
"""How the annotated videos end that a batch keeps: the folder for them may well be one of clips."""


@define(eq=False)
class Found:
    """What was found."""

    clips: list[BatchItem] = field(factory=list)
    """Each with its request, and with its path as it is written."""
    repeated: int = 0
    """Clips that were named again with the same request, and are taken once."""
    written: int = 0
    """Annotated videos of an earlier run, which are left out."""


def find(words: Sequence[str], asked: Asked, *, recursive: bool, extra_columns: Collection[str] = ()) -> Found:
    """All clips that are meant, each with its request. Raises a usage error that tells every problem."""
    asked.check(whole=not all(map(_is_manifest, words)))
    problems: list[str] = []
    found, seen = Found(), set[tuple[Any, ...]]()
    for item in _items(words, asked, recursive, extra_columns, problems):
        clip = str(item.clip)
        if clip.endswith(WRITTEN):
            found.written += 1
            continue
        known = (_place(clip), item.request, tuple(item.extra.items()))
        if known in seen:
            found.repeated += 1
        else:
            seen.add(known)
            found.clips.append(item)
    if found.written and not found.clips and not problems:
        problems.append(
            f"CLIP: there are only videos that end in {WRITTEN}: a run has written them; rename what is none"
        )
    if problems:
        raise refuse(problems)
    return found


def _place(clip: str) -> str:
    """Where a clip lies, by one name for each folder: links may lead round in a circle."""
    folder, name = os.path.split(clip)
    return os.path.join(os.path.realpath(folder), name)  # noqa: PTH118 - names stay as they are written


def _items(
    words: Sequence[str], asked: Asked, recursive: bool, extra_columns: Collection[str], problems: list[str]
) -> Iterator[BatchItem]:
    request: AnalysisRequest[Any, Any] | None = None
    for word in _matches(words, problems):
        if _is_manifest(word):
            yield from _rows(word, asked, extra_columns, problems)
            continue
        request = request or asked.request()
        clips = _videos(word, recursive, problems) if Path(word).is_dir() else [word]
        yield from (BatchItem(clip, request) for clip in clips)


def _matches(words: Iterable[str], problems: list[str]) -> Iterator[str]:
    """The words with patterns replaced by what they match, for shells that leave that to the program."""
    for word in words:
        if not glob.has_magic(word) or os.path.lexists(word):
            yield word
            continue
        found = glob.glob(word, recursive=True)  # noqa: PTH207 - keeps names as they are written
        matches = sorted((each for each in found if _fits(each, word)), key=_natural)
        if not matches:
            problems.append(f"CLIP: {word!r} matches nothing")
        yield from matches


def _fits(match: str, pattern: str) -> bool:
    """Whether a pattern means this: videos and folders, and manifests if it ends as they do."""
    manifest = _is_manifest(match) and _is_manifest(pattern)
    return manifest or Path(match).is_dir() or _is_video(Path(match).name)


def _is_manifest(word: str) -> bool:
    return extension(Path(word).name) == MANIFEST and not Path(word).is_dir()


def _rows(manifest: str, asked: Asked, extra_columns: Collection[str], problems: list[str]) -> Iterator[BatchItem]:
    try:
        yield from read_manifest(manifest, extra_columns=extra_columns, view=asked.view, **asked.given)
    except InvalidRequest as wrong:
        problems += [f"{manifest}: {each}" for each in wrong.problems]


def _videos(folder: str, recursive: bool, problems: list[str]) -> list[str]:
    """The videos in a folder; what begins with a dot is none of the user's."""

    def told(trouble: OSError) -> None:
        problems.append(f"CLIP: {trouble.filename!r} cannot be looked into: {trouble.strerror}")

    before, clips = len(problems), list[str]()
    for place, folders, names in os.walk(folder, onerror=told):
        folders[:] = [each for each in folders if recursive and not each.startswith(".")]
        clips += [str(Path(place, name)) for name in names if _is_video(name)]
    if not clips and len(problems) == before:
        advice = "" if recursive else "; --recursive looks into its folders too"
        problems.append(f"CLIP: the folder {folder!r} holds no {', '.join(CONTENT_TYPES)}{advice}")
    return sorted(clips, key=_natural)


def _is_video(name: str) -> bool:
    return extension(name) in CONTENT_TYPES and not name.startswith(".")


_DIGITS: Final = re.compile(r"([0-9]+)")


def _natural(path: str) -> tuple[Any, ...]:
    """Sorts `clip 9` before `clip 10`."""
    return tuple(map(_parts, Path(path).parts)), path


def _parts(name: str) -> tuple[Any, ...]:
    # Split so, texts and numbers take turns: no two of different kinds are ever compared.
    return tuple(int(part) if odd % 2 else part.casefold() for odd, part in enumerate(_DIGITS.split(name)))
