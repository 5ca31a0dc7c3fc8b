"""One file or folder for each recording, named after its raw data.

Invariant: one or two recordings are in memory at a time. A file is complete or absent, and one that cannot be made
costs no other recording its place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ..batch.output.folder import output_errors
from ..durable_files import private_file, private_folder, write_all
from ..gait.recording import CannotTell, Recording, recording_of
from ..protocol.landmarks import Landmarks
from ..protocol.text_summary import count_of
from ..protocol.views import VIEWS
from .exported import Exported
from .recordings import RecordingFile

__all__ = ["Writer", "timed_recording", "write_each", "write_lines"]

Writer = Callable[[Path], None]
"""Writes one recording to a path."""
Prepare = Callable[[RecordingFile, Landmarks], tuple[Writer, Iterable[str]]]
"""Returns what writes a recording, and notes on it. Raises `CannotTell` if the landmarks do not allow it."""


def write_each(recordings: Sequence[RecordingFile], folder: Path, ending: str, prepare: Prepare) -> Exported:
    """Writes each recording to its own path in a folder, which is created. Raises `OutputError`. Blocks."""
    exported, notes = Exported(), Counter[str]()
    with output_errors(folder):
        private_folder(folder)
    for recording, landmarks in exported.loaded(recordings):
        try:
            write, of_this = prepare(recording, landmarks)
        except CannotTell as reason:
            exported.leave_out(recording, str(reason))
            continue
        path = folder / f"{recording.stem}{ending}"
        with output_errors(path):
            write(path)
        exported.files.append(path)
        notes.update(of_this)
    exported.notes += [f"{count_of(count, 'recording')}: {note}" for note, count in notes.items()]
    return exported


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Writes a file line by line."""
    with private_file(path) as file:
        for line in lines:
            write_all(file, f"{line}\n".encode())


def timed_recording(recording: RecordingFile, landmarks: Landmarks) -> tuple[Recording, float]:
    """The joints as the gait code reads them, up and facing forward, and their frames per second.

    Raises `CannotTell` if either, or the view, is not known.
    """
    if recording.view not in VIEWS:
        raise CannotTell(
            "Whether it is a side view or a back view is not known, because results.jsonl does not say it. Collect the "
            "analysis again, which costs nothing: ochy wait ID --out FOLDER --keep raw-data"
        )
    found = recording_of(landmarks, recording.view)
    if found.fps is None:
        raise CannotTell("Its raw data has no frame rate, so its frames have no times. State it: --fps FPS.")
    return found, found.fps
