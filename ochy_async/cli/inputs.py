"""What the words after `ochy analyze` stand for: clips, folders, patterns, manifests.

Law of this room: the order is one that people expect, nothing is taken twice, and what is wrong is told
at once, before anything is sent.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from ..batch.manifest import read_manifest
from ..errors import InvalidRequest
from ..protocol.request import AnalysisRequest
from ..protocol.video_limits import CONTENT_TYPES, extension
from .requests import Asked, refuse

__all__ = ["Found", "find"]

MANIFEST: Final = ".csv"


@define(eq=False)
class Found:
    """What was found."""

    clips: list[tuple[str, AnalysisRequest[Any, Any]]] = field(factory=list)
    repeated: int = 0
    """Clips that were named again with the same request, and are taken once."""


def find(words: Sequence[str], asked: Asked, *, recursive: bool) -> Found:
    """All clips that are meant, each with its request. Raises a usage error that tells every problem."""
    asked.check(whole=not all(map(_is_manifest, words)))
    problems: list[str] = []
    found, seen = Found(), set[tuple[str, AnalysisRequest[Any, Any]]]()
    for clip, request in _pairs(words, asked, recursive, problems):
        known = (os.path.abspath(clip), request)  # noqa: PTH100 - as it is written: `..` may follow a link
        if known in seen:
            found.repeated += 1
        else:
            seen.add(known)
            found.clips.append((clip, request))
    if problems:
        raise refuse(problems)
    return found


def _pairs(
    words: Sequence[str], asked: Asked, recursive: bool, problems: list[str]
) -> Iterator[tuple[str, AnalysisRequest[Any, Any]]]:
    request: AnalysisRequest[Any, Any] | None = None
    for word in _matches(words, problems):
        if _is_manifest(word):
            yield from _rows(word, asked, problems)
            continue
        request = request or asked.request()
        clips = _videos(word, recursive, problems) if Path(word).is_dir() else [word]
        yield from ((clip, request) for clip in clips)


def _matches(words: Iterable[str], problems: list[str]) -> Iterator[str]:
    """The words with patterns replaced by what they match, for shells that leave that to the program."""
    for word in words:
        if not glob.has_magic(word) or os.path.lexists(word):
            yield word
            continue
        matches = sorted(glob.glob(word, recursive=True), key=_natural)  # noqa: PTH207 - keeps names as they are written
        if not matches:
            problems.append(f"CLIP: {word!r} matches nothing")
        yield from matches


def _is_manifest(word: str) -> bool:
    return extension(Path(word).name) == MANIFEST and not Path(word).is_dir()


def _rows(manifest: str, asked: Asked, problems: list[str]) -> Iterator[tuple[str, AnalysisRequest[Any, Any]]]:
    try:
        rows = read_manifest(manifest, view=asked.view, **asked.given)
    except InvalidRequest as wrong:
        problems += [f"{manifest}: {each}" for each in wrong.problems]
        return
    yield from ((str(path), request) for path, request in rows)


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
