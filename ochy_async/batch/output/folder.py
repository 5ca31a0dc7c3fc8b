"""The output folder: files that are complete or absent, under names that are safe on every system.

Invariant: no part of a clip's name or of an id can lead out of the folder, and two ids never share a name. A failure is
an `OutputError` that names the path. Every function blocks and belongs in a worker thread.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import unicodedata
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Final

from attrs import frozen

from ...durable_files import private_folder, write_file
from ...errors import OutputError
from ...protocol.video_limits import CONTENT_TYPES, extension

__all__ = [
    "ANNOTATED",
    "ARTIFACT_FILES",
    "RESULTS_FILE",
    "OutputFolder",
    "file_stem",
    "is_own_clip",
    "output_errors",
    "safe_id",
    "write_output",
]

ARTIFACT_FILES: Final[Mapping[str, str]] = {
    "calculated": "calculated.json",
    "raw_data": "raw_data.json",
    "thumbnail": "thumbnail.jpg",
    "output_video": "output_video.mp4",
}
"""The artifacts that can be asked for, and the end of the name of their file."""
RESULTS_FILE: Final = "results.json"
ANNOTATED: Final = f".{ARTIFACT_FILES['output_video']}"
"""How the names of annotated videos end. They may be saved among the clips."""
_FILE_NAMES: Final = frozenset({RESULTS_FILE, *ARTIFACT_FILES.values()})
_PROBE: Final = b"Written to find out whether there is space.\n" * 100


@frozen
class OutputFolder:
    """A folder for the files of many analyses."""

    path: Path

    def open(self) -> None:
        """Creates the folder if needed and verifies that it can be written. Raises `OutputError`."""
        probe = self.path / ".probe"
        with output_errors(self.path):
            private_folder(self.path)
        write_output(probe, _PROBE)
        with output_errors(self.path):
            probe.unlink(missing_ok=True)

    def file_path(self, clip: str, analysis_id: str, name: str) -> Path:
        """The path of a file of an analysis: `<clip>.<id>.<name>`.

        A file that already exists without the clip's name keeps its path. Without `clip`, the file is named as other
        files of the analysis are, if there are any.
        """
        suffix = f"{safe_id(analysis_id)}.{name}"
        unnamed = self.path / suffix
        if not clip:
            stem = self._existing_stem(safe_id(analysis_id))
            return self.path / f"{stem}.{suffix}" if stem else unnamed
        named = self.path / f"{file_stem(clip)}.{suffix}"
        return unnamed if self.has(unnamed) and not self.has(named) else named

    def _existing_stem(self, safe_name: str) -> str:
        """The clip's name in the names of files of an analysis; empty if there are none, or none has it."""
        with output_errors(self.path):
            parts = sorted(each.name.partition(f".{safe_name}.") for each in os.scandir(self.path))
            return next((stem for stem, _, rest in parts if rest in _FILE_NAMES and not stem.startswith(".")), "")

    def has(self, path: Path) -> bool:
        """Whether a file exists, which means that it is complete."""
        with output_errors(path):
            return path.is_file()


def write_output(path: Path, content: bytes) -> None:
    """Writes a complete file, or none. Raises `OutputError`."""
    with output_errors(path):
        write_file(path, content)


def safe_id(analysis_id: str) -> str:
    """A file name for an id: the id itself if that is safe everywhere, else a digest of it."""
    if _SAFE_ID.fullmatch(analysis_id) and not _RESERVED.fullmatch(analysis_id):
        return analysis_id
    return "id-" + hashlib.sha256(analysis_id.encode(errors="surrogatepass")).hexdigest()[:32]


def is_own_clip(name: str) -> bool:
    """Whether a name is that of a video that is neither hidden nor an annotated one."""
    return extension(name) in CONTENT_TYPES and not name.startswith(".") and not name.endswith(ANNOTATED)


def file_stem(clip: str) -> str:
    """The beginning of the names of a clip's files: the clip's own name, as far as every system can write it.

    Letters and digits of all scripts stay. The result is at most 96 bytes, holds no path and is no reserved name of
    Windows. Two clips may share it, since the id follows.
    """
    last = PurePath(clip.replace("\\", "/")).name
    suffix = extension(last)
    last = last[: -len(suffix)] if suffix in CONTENT_TYPES else last
    plain = _UNSAFE.sub("_", unicodedata.normalize("NFC", last))
    stem = plain.encode()[:MAX_STEM].decode(errors="ignore").strip("._-") or "clip"
    return f"_{stem}" if _RESERVED.fullmatch(stem.partition(".")[0]) else stem


@contextmanager
def output_errors(path: Path) -> Generator[None]:
    """Turns an error of the operating system into an `OutputError` that says what to do."""
    try:
        yield
    except (OSError, ValueError) as error:  # a NUL in a path is a ValueError
        reason = getattr(error, "strerror", None) or "the path is not valid"
        why, remedy = _REMEDIES.get(getattr(error, "errno", None) or 0, (reason, "Choose another folder"))
    else:
        return
    raise OutputError(f"{str(path)!r} cannot be written: {why}. {remedy}, and run again.")


# An id that looks like one of our digests is digested too. So is one with capitals, for disks that ignore case, one
# with dots, which separate the parts of a file name, and one that is a device on Windows: no two ids share a name.
_SAFE_ID: Final = re.compile(r"(?!id-)[a-z0-9_][a-z0-9_-]{0,99}")

MAX_STEM: Final = 96
"""Bytes. With an id, a name and what a draft adds, file names stay below the 255 bytes that most systems allow."""
_UNSAFE: Final = re.compile(r"[^\w.-]+")
_RESERVED: Final = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9¹²³]", re.IGNORECASE)
"""Names that Windows takes for a device, whatever follows after a dot."""

_DISK_FULL: Final = "the disk is full", "Free some space"
_NO_PERMISSION: Final = "permission is denied", "Grant write permission, or choose another folder"
_NOT_A_FOLDER: Final = "there is a file where a folder must be", "Choose another folder"
_REMEDIES: Final = {
    errno.ENOSPC: _DISK_FULL,
    errno.EDQUOT: _DISK_FULL,
    errno.EFBIG: _DISK_FULL,
    errno.EACCES: _NO_PERMISSION,
    errno.EPERM: _NO_PERMISSION,
    errno.EROFS: _NO_PERMISSION,
    errno.ENOENT: ("its folder does not exist", "Create it, or choose another folder"),
    errno.EISDIR: ("there is a folder of that name", "Choose another name"),
    errno.EEXIST: _NOT_A_FOLDER,
    errno.ENOTDIR: _NOT_A_FOLDER,
}
