"""What an export wrote, and what it left out.

Invariant: a recording that cannot be exported costs no other recording its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from attrs import define, field

from ..errors import OchyError
from ..protocol.landmarks import Landmarks
from .recordings import RecordingFile

__all__ = ["Exported"]


@define
class Exported:
    """The files that an export wrote, and its notes."""

    files: list[Path] = field(factory=list, repr=False)
    recordings: int = 0
    """How many recordings are in the files."""
    failures: list[str] = field(factory=list, repr=False)
    """Recordings that are left out, each with the reason."""
    notes: list[str] = field(factory=list)
    """What the files do not hold of the other recordings."""

    def loaded(self, recordings: Iterable[RecordingFile]) -> Iterator[tuple[RecordingFile, Landmarks]]:
        """Loads one recording after the other, and notes each that cannot be read."""
        for recording in recordings:
            try:
                landmarks = recording.load()
            except OchyError as error:
                self.failures.append(str(error))
            else:
                self.recordings += 1
                yield recording, landmarks

    def leave_out(self, recording: RecordingFile, reason: str) -> None:
        """Notes that a recording, which was loaded, is in no file, and why."""
        self.recordings -= 1
        self.failures.append(f"{recording.path.name}: {reason}")
