"""The output folder: files that are there whole or not at all, under names that nobody else chooses.

Invariant: a file is written under a temporary name, put on the disk, and only then renamed; what
goes wrong is an `OutputError` that names the place. All of it is work for a worker thread.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import sys
import unicodedata
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from io import FileIO
from pathlib import Path, PurePath
from typing import Final

from attrs import frozen

from ...errors import OutputError
from ...protocol.video_limits import CONTENT_TYPES, extension

if sys.platform != "win32":
    import fcntl

__all__ = [
    "ARTIFACT_FILES",
    "RESULTS_FILE",
    "OutputFolder",
    "file_stem",
    "output_errors",
    "publish",
    "safe_id",
    "try_lock",
    "write_all",
]

ARTIFACT_FILES: Final[Mapping[str, str]] = {
    "calculated": "calculated.json",
    "raw_data": "raw_data.json",
    "thumbnail": "thumbnail.jpg",
    "output_video": "output_video.mp4",
}
"""What can be asked for, and how its file is called."""
RESULTS_FILE: Final = "results.json"
NAMES: Final = frozenset({RESULTS_FILE, *ARTIFACT_FILES.values()})
PROBE: Final = b"Written to find out whether there is room.\n" * 100


@frozen
class OutputFolder:
    """Where a batch keeps what it collects."""

    path: Path

    def open(self) -> None:
        """Makes the folder and finds out whether it can be written. Raises `OutputError`."""
        with output_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        self.write(self.path / ".probe", PROBE)
        with output_errors(self.path):
            (self.path / ".probe").unlink(missing_ok=True)

    def file(self, clip: str, analysis_id: str, name: str) -> Path:
        """Where a file of an analysis belongs: `<clip>.<id>.<name>`.

        Where it is there without the name of the clip, it stays there; where that is not known, it is the name that
        other files of the analysis have, if there are any.
        """
        ending = f"{safe_id(analysis_id)}.{name}"
        bare = self.path / ending
        if not clip:
            stem = self._stem(safe_id(analysis_id))
            return self.path / f"{stem}.{ending}" if stem else bare
        named = self.path / f"{file_stem(clip)}.{ending}"
        return bare if self.has(bare) and not self.has(named) else named

    def _stem(self, name: str) -> str:
        """What the files of an analysis are named after; empty where there are none, or none is named."""
        with output_errors(self.path):
            parts = (each.name.partition(f".{name}.") for each in os.scandir(self.path))
            return next((stem for stem, _, rest in sorted(parts) if rest in NAMES and not stem.startswith(".")), "")

    def has(self, path: Path) -> bool:
        """Whether a file is there, and so is whole."""
        with output_errors(path):
            return path.is_file()

    def write(self, path: Path, content: bytes) -> None:
        """Puts a file there, whole or not at all. Raises `OutputError`."""
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
        with output_errors(path):
            try:
                with draft.open("xb", buffering=0) as file:
                    write_all(file, content)
                    publish(file, draft, path)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise


def write_all(file: FileIO, content: bytes) -> None:
    """Writes all of it; an unbuffered file may take less at a time."""
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]


def publish(file: FileIO, draft: Path, path: Path) -> None:
    """Gives a written file its name, once its content is on the disk. It may be closed then.

    Windows renames no file that is open; elsewhere it stays open, and with it a lock on it, until it has its name.
    """
    os.fsync(file.fileno())
    if os.name == "nt":
        file.close()
    draft.replace(path)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def try_lock(file: FileIO) -> bool:
    """Locks a file until it is closed; False where somebody else has.

    Where the system or the disk has no locks, everybody gets one: then nobody could tell.
    """
    if sys.platform == "win32":  # there a file that somebody else has open cannot get its name: an error, no harm
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def safe_id(analysis_id: str) -> str:
    """A file name for an id: the id itself where it is harmless, else a digest of it."""
    if _HARMLESS.fullmatch(analysis_id) and not _RESERVED.fullmatch(analysis_id):
        return analysis_id
    return "id-" + hashlib.sha256(analysis_id.encode(errors="surrogatepass")).hexdigest()[:32]


def file_stem(clip: str) -> str:
    """The beginning of the names of a clip's files: its own name, as far as every system can write it.

    Letters and digits of all scripts stay. No path, no reserved name of Windows, at most 96 bytes; two clips may
    share it, since the id comes behind.
    """
    last = PurePath(clip.replace("\\", "/")).name
    ending = extension(last)
    last = last[: -len(ending)] if ending in CONTENT_TYPES else last
    plain = _NO_LETTER.sub("_", unicodedata.normalize("NFC", last))
    stem = plain.encode()[:LONGEST_STEM].decode(errors="ignore").strip("._-") or "clip"
    return f"_{stem}" if _RESERVED.fullmatch(stem.partition(".")[0]) else stem


@contextmanager
def output_errors(path: Path) -> Generator[None]:
    """Raises `OutputError` for what the operating system says of a file."""
    try:
        yield
    except (OSError, ValueError) as error:  # a NUL in a path is a ValueError
        said = getattr(error, "strerror", None) or "it is no path"
        why, do = _WORDS.get(getattr(error, "errno", None) or 0, (said, ""))
        said = f"{str(path)!r} cannot be written: {why}. {do or 'Choose another folder'}, and run again."
    else:
        return
    raise OutputError(said)


# An id that looks like a digest of ours is digested too, one with capitals, for disks that do not tell them apart, one
# with dots, which divide file names, and one that is a device on Windows: so no two ids share a name.
_HARMLESS: Final = re.compile(r"(?!id-)[a-z0-9_][a-z0-9_-]{0,99}")

LONGEST_STEM: Final = 96
"""Bytes. With an id, a name and what a draft adds, file names stay below the 255 that most systems allow."""
_NO_LETTER: Final = re.compile(r"[^\w.-]+")
_RESERVED: Final = re.compile(r"con|prn|aux|nul|(com|lpt)[0-9¹²³]", re.IGNORECASE)
"""What Windows takes for a device, whatever follows after a dot."""

_ROOM: Final = "there is no room on the disk", "Make some"
_RIGHTS: Final = "it may not be written", "Give the rights to it, or choose another folder"
_NO_FOLDER: Final = "there is a file where a folder must be", ""
_WORDS: Final = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: _ROOM,
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: _RIGHTS,
    errno.ENOENT: ("its folder does not exist", "Make it, or choose another folder"),
    errno.EISDIR: ("there is a folder of that name", "Choose another name"),
    errno.EEXIST: _NO_FOLDER,
    errno.ENOTDIR: _NO_FOLDER,
}
