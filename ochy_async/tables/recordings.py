"""The recordings of a results folder: its files of raw data, with what `results.jsonl` knows about each.

Invariant: the names of files decide which recordings there are, so that a folder without tables can be read too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from attrs import evolve, field, fields, frozen

from ..batch.output.folder import ARTIFACT_FILES, safe_id
from ..batch.output.tables import JSONL
from ..errors import OutputError
from ..field_docs import documented
from ..protocol.landmarks import Landmarks
from ..protocol.request import AnalysisRequest
from ..result_loaders import load_landmarks, load_records

__all__ = ["RecordingFile", "recordings_in"]

_ENDING: Final = f".{ARTIFACT_FILES['raw_data']}"


@documented
@frozen(kw_only=True)
class RecordingFile:
    """A saved file of raw data."""

    path: Path = field(repr=False)
    analysis_id: str
    """From `results.jsonl`, or else the part of the file's name that stands for it."""
    clip: str | None = field(default=None, repr=False)
    """The clip as the input named it. None, like the fields below, if `results.jsonl` does not say it."""
    view: str | None = None
    """`side_view` or `back_view`."""
    subject: str | None = field(default=None, repr=False)
    """The runner as the input names them, or else the vendor's id of the subject."""
    height: float | None = field(default=None, repr=False)
    """The height in the request, in meters. None for 1.7, which a request has that states none."""
    fps: float | None = None
    """Frames per second that replace those of the raw data. None if the raw data is right."""

    @property
    def stem(self) -> str:
        """The file's name without its ending, for the names of files that are made of it."""
        return self.path.name.removesuffix(_ENDING)

    def load(self) -> Landmarks:
        """The landmarks, with the frame rate `fps`. Raises what `load_landmarks` raises, and blocks as it does."""
        landmarks = load_landmarks(self.path)
        if self.fps is None:
            return landmarks
        video: Any = landmarks.video  # mypy does not know it as a class of attrs
        return evolve(landmarks, video=evolve(video, fps=self.fps))


def recordings_in(folder: str | os.PathLike[str]) -> list[RecordingFile]:
    """The recordings of a results folder, sorted by the names of their files. Blocks.

    Raises `OutputError` if the folder cannot be read, and `UnreadableAnswer` if its `results.jsonl` is something else.
    """
    path = Path(folder)
    try:
        names = sorted(each.name for each in os.scandir(path) if each.name.endswith(_ENDING))
    except (OSError, ValueError) as error:  # a NUL in a path is a ValueError
        why = getattr(error, "strerror", None) or "the path is not valid"
    else:
        known = dict(_known(path)) if (path / JSONL).is_file() else {}
        return [_recording(path / name, known) for name in names if not name.startswith(".")]
    raise OutputError(f"{str(path)!r} cannot be read: {why}. Name a folder that a run wrote with --out.")


def _recording(path: Path, known: dict[str, RecordingFile]) -> RecordingFile:
    """The file, with what is known about its analysis."""
    safe_name = path.name.removesuffix(_ENDING).rpartition(".")[2]
    record = known.get(safe_name) or RecordingFile(path=path, analysis_id=safe_name)
    return evolve(record, path=path)


def _known(folder: Path) -> Iterator[tuple[str, RecordingFile]]:
    """What `results.jsonl` knows about each analysis, by the part of a file's name that stands for it."""
    for record in load_records(folder / JSONL):
        if record.analysis_id is not None:
            yield (
                safe_id(record.analysis_id),
                RecordingFile(
                    path=folder,
                    analysis_id=record.analysis_id,
                    clip=record.clip,
                    view=record.view,
                    subject=record.raw.get("subject") or record.raw.get("subject_id"),
                    height=_stated_height(record.raw.get("height_m")),
                ),
            )


def _stated_height(height: Any) -> float | None:
    """The height in a request, unless it is the one that a request has without any."""
    known = isinstance(height, int | float) and height > 0 and height != fields(AnalysisRequest).height.default
    return float(height) if known else None
