"""The file of a journal: found whole, or made whole, before anything opens it.

Invariant: an existing file is looked at by `os.stat` only. On POSIX, closing any other handle of a
file drops the locks that the process has on it, and with them the promise of one process per journal.
"""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Callable
from pathlib import Path

from ...errors import JournalError
from . import mounts
from .errors import damaged, of_system, unusable

__all__ = [
    "Identity",
    "beside",
    "doubt_about",
    "find",
    "find_or_make",
    "identity",
    "publish",
    "size_of",
    "sync",
    "sync_folder",
]

Identity = tuple[int, int]
"""Device and inode: two names with the same one lead to the same file."""


def find_or_make(path: Path, fill: Callable[[Path], None]) -> Path:
    """The real path of the journal, which exists from now on; `fill` writes an empty journal into a new file."""

    def made(real: Path) -> None:
        _make(real, fill)

    return _found(path, made)


def find(path: Path) -> Path:
    """The real path of a journal that exists. Raises `JournalUnusable` where there is none."""

    def missing(_: Path) -> None:
        raise unusable(path, "is not there", "Check its name")

    return _found(path, missing)


def _found(path: Path, otherwise: Callable[[Path], None]) -> Path:
    trouble: JournalError
    try:
        real = _real(path)
        _check_place(path, real)
        if _missing(path, real):
            otherwise(real)
        return real
    except JournalError:
        raise
    except (OSError, ValueError) as error:
        trouble = of_system(error, path)
    raise trouble


def beside(path: Path, ending: str) -> Path:
    """The file that SQLite keeps next to a database."""
    return path.with_name(path.name + ending)


def identity(path: Path) -> Identity | None:
    """The file that a name leads to; None where none can be seen."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def size_of(path: Path) -> int:
    """Bytes; 0 for what is not there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _real(path: Path) -> Path:
    """Where the path leads, all links followed. The folder must exist, the file need not."""
    if path.is_symlink():
        return Path(os.path.realpath(path, strict=True))
    folder = path.parent
    if not folder.is_dir():
        raise unusable(path, f"has no folder: {str(folder)!r} does not exist or is none", "Make it, or choose another")
    return Path(os.path.realpath(folder, strict=True)) / path.name


def doubt_about(path: Path) -> str | None:
    """One sentence on what is doubtful about the place of a journal that is used all the same; None: nothing."""
    try:
        doubt = mounts.doubt_about(mounts.mounted_as(_mounts(), str(_real(path))))
    except (JournalError, OSError, ValueError):
        return None  # opening it says what is wrong
    return None if doubt is None else f"The journal {str(path)!r} {doubt}."


def _check_place(path: Path, real: Path) -> None:
    kind = _network(real)
    if kind is not None:
        why = f"lies on a network or shared file system ({kind}), where one process cannot keep out another"
        raise unusable(path, why, "Choose a place on a disk of this machine")


def _network(real: Path) -> str | None:
    if sys.platform == "win32":
        import ctypes

        drive_type = ctypes.windll.kernel32.GetDriveTypeW(f"{real.drive}\\")
        return mounts.network_drive(str(real), drive_type)
    return mounts.network_mount(_mounts(), str(real))


def _mounts() -> str:
    try:
        return Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""  # not Linux: there is no one way to ask


def _missing(path: Path, real: Path) -> bool:
    """Whether a new journal may be made there. Raises for what exists and is none."""
    try:
        facts = real.stat()
    except FileNotFoundError:
        if size_of(beside(real, "-wal")):
            raise damaged(path, "the file is gone, but its latest changes lie beside it (-wal)") from None
        return True
    if stat.S_ISDIR(facts.st_mode):
        raise unusable(path, "is a folder", "Name a file in it")
    if not stat.S_ISREG(facts.st_mode):
        raise unusable(path, "is not a regular file", "Choose another")
    if facts.st_size == 0:
        then = "Restore a copy of it; if it never was a journal, delete it and run again"
        raise damaged(path, "the file is empty, which a journal never is", then)
    return False


def _make(real: Path, fill: Callable[[Path], None]) -> None:
    """Makes the journal under another name and gives it its own only once it is whole and on the disk."""
    draft = real.with_name(f".{real.name[:100]}.{secrets.token_hex(8)}.tmp")
    try:
        os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        fill(draft)
        sync(draft)
        publish(draft, real)
    finally:
        for ending in ("", "-wal", "-journal", "-shm"):
            beside(draft, ending).unlink(missing_ok=True)
    sync_folder(real.parent)


def publish(draft: Path, real: Path) -> None:
    """Gives the draft its name, unless somebody was quicker: then theirs is the journal."""
    try:
        os.link(draft, real)
    except FileExistsError:
        return
    except OSError:  # no hard links here: the name is taken first, so that no two make the same journal
        os.close(os.open(real, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        draft.replace(real)


def sync(path: Path, flags: int = os.O_RDWR) -> None:
    """Waits until a file is on the disk."""
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(path: Path) -> None:
    """Waits until the names in a folder are on the disk, where the system can do so."""
    if os.name == "posix":
        sync(path, os.O_RDONLY)
