"""The output folder: files that are there whole or not at all, under names that nobody else chooses.

Law of this room: a file is written under a temporary name, put on the disk, and only then renamed; what
goes wrong is an `OutputTrouble` that names the place. All of it is work for a worker thread.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Final

from attrs import frozen

from ..errors import OutputTrouble

__all__ = ["Folder", "publish", "safe", "troubles", "write_all"]

PROBE: Final = b"Written to find out whether there is room.\n" * 100


@frozen
class Folder:
    """Where a batch keeps what it collects."""

    path: Path

    def open(self) -> None:
        """Makes the folder and finds out whether it can be written. Raises `OutputTrouble`."""
        with troubles(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        self.write(self.path / ".probe", PROBE)
        with troubles(self.path):
            (self.path / ".probe").unlink(missing_ok=True)

    def file(self, analysis_id: str, name: str) -> Path:
        """Where a file of an analysis belongs."""
        return self.path / f"{safe(analysis_id)}.{name}"

    def has(self, path: Path) -> bool:
        """Whether a file is there, and so is whole."""
        with troubles(path):
            return path.is_file()

    def write(self, path: Path, content: bytes) -> None:
        """Puts a file there, whole or not at all. Raises `OutputTrouble`."""
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
        with troubles(path):
            try:
                with draft.open("xb", buffering=0) as file:
                    write_all(file, content)
                    publish(file.fileno(), draft, path)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise


def write_all(file: FileIO, content: bytes) -> None:
    """Writes all of it; an unbuffered file may take less at a time."""
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]


def publish(handle: int, draft: Path, path: Path) -> None:
    """Gives a written file its name, once its content is on the disk."""
    os.fsync(handle)
    draft.replace(path)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def safe(analysis_id: str) -> str:
    """A file name for an id: the id itself where it is harmless, else a digest of it."""
    if _HARMLESS.fullmatch(analysis_id):
        return analysis_id
    return "id-" + hashlib.sha256(analysis_id.encode(errors="surrogatepass")).hexdigest()[:32]


@contextmanager
def troubles(path: Path) -> Generator[None]:
    """Raises `OutputTrouble` for what the operating system says of a file."""
    try:
        yield
    except (OSError, ValueError) as error:  # a NUL in a path is a ValueError
        said = getattr(error, "strerror", None) or "it is no path"
        why, do = _WORDS.get(getattr(error, "errno", None) or 0, (said, ""))
        said = f"{str(path)!r} cannot be written: {why}. {do or 'Choose another folder'}, and run again."
    else:
        return
    raise OutputTrouble(said)


# An id that looks like a digest of ours is digested too, so that no two ids share a name.
_HARMLESS: Final = re.compile(r"(?!id-)[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")

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
    errno.EEXIST: _NO_FOLDER,
    errno.ENOTDIR: _NO_FOLDER,
}
