"""The file of a journal: found, or created complete, before SQLite opens it.

Invariant: an existing file is examined with `os.stat` only. On POSIX, closing any other handle of a file drops the
locks that the process holds on it, and with them the promise of one process for each journal.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

from ...durable_files import draft_path, sync_file, sync_folder
from ...errors import JournalError
from . import mounts
from .errors import damaged_error, from_os_error, unusable_error

__all__ = [
    "FileId",
    "claim_name",
    "file_id",
    "file_size",
    "find_existing",
    "find_or_create",
    "location_warning",
    "sibling",
]

FileId = tuple[int, int]
"""Device and inode number: two paths with the same id lead to the same file."""


def find_or_create(path: Path, write_empty: Callable[[Path], None]) -> Path:
    """Returns the real path of the journal and creates it if needed; `write_empty` fills a new file."""
    return _located(path, lambda real: _create(real, write_empty))


def find_existing(path: Path) -> Path:
    """Returns the real path of an existing journal. Raises `JournalUnusable` if there is none."""

    def missing(_: Path) -> None:
        raise unusable_error(path, "does not exist", "Check its name")

    return _located(path, missing)


def _located(path: Path, if_missing: Callable[[Path], None]) -> Path:
    failure: JournalError
    try:
        real = _real_path(path)
        _check_file_system(path, real)
        if _can_be_created(path, real):
            if_missing(real)
        return real
    except JournalError:
        raise
    except (OSError, ValueError) as error:
        failure = from_os_error(error, path)
    raise failure


def sibling(path: Path, suffix: str) -> Path:
    """Returns the path of a file that SQLite keeps beside a database, such as `-wal`."""
    return path.with_name(path.name + suffix)


def file_id(path: Path) -> FileId | None:
    """Returns the id of the file at a path, or None if there is none."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def file_size(path: Path) -> int:
    """Returns the size of a file in bytes; 0 if it does not exist."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _real_path(path: Path) -> Path:
    """Follows all links. The folder must exist; the file need not."""
    if path.is_symlink():
        return Path(os.path.realpath(path, strict=True))
    folder = path.parent
    if not folder.is_dir():
        why = f"cannot be created: {str(folder)!r} does not exist or is not a folder"
        raise unusable_error(path, why, "Create that folder, or choose another")
    return Path(os.path.realpath(folder, strict=True)) / path.name


def location_warning(path: Path) -> str | None:
    """Returns a warning about the place of a journal that is used all the same, or None."""
    try:
        warning = mounts.mount_warning(mounts.filesystem_type(_mountinfo(), str(_real_path(path))))
    except (JournalError, OSError, ValueError):
        return None  # opening the journal reports the error
    return None if warning is None else f"The journal {str(path)!r} {warning}."


def _check_file_system(path: Path, real: Path) -> None:
    kind = _network_kind(real)
    if kind is not None:
        why = f"is on a network or shared file system ({kind}), where one process cannot lock out another"
        raise unusable_error(path, why, "Choose a place on a disk of this machine")


def _network_kind(real: Path) -> str | None:
    if sys.platform == "win32":
        import ctypes

        drive_type = ctypes.windll.kernel32.GetDriveTypeW(f"{real.drive}\\")
        return mounts.network_drive(str(real), drive_type)
    return mounts.network_filesystem(_mountinfo(), str(real))


def _mountinfo() -> str:
    try:
        return Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""  # not Linux: no portable way to ask


def _can_be_created(path: Path, real: Path) -> bool:
    """Whether nothing is there yet. Raises `JournalError` for what exists and cannot be a journal."""
    try:
        facts = real.stat()
    except FileNotFoundError:
        if file_size(sibling(real, "-wal")):
            raise damaged_error(path, "the file is gone, but its latest changes are beside it (-wal)") from None
        return True
    if stat.S_ISDIR(facts.st_mode):
        raise unusable_error(path, "is a folder", "Name a file in that folder")
    if not stat.S_ISREG(facts.st_mode):
        raise unusable_error(path, "is not a regular file", "Choose another")
    if facts.st_size == 0:
        remedy = "Restore a copy of it; if it never was a journal, delete it and run again"
        raise damaged_error(path, "the file is empty, which a journal never is", remedy)
    return False


def _create(real: Path, write_empty: Callable[[Path], None]) -> None:
    """Creates the journal under a temporary name and renames it once it is complete and on the disk."""
    draft = draft_path(real)
    try:
        os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        write_empty(draft)
        sync_file(draft)
        claim_name(draft, real)
    finally:
        for suffix in ("", "-wal", "-journal", "-shm"):
            sibling(draft, suffix).unlink(missing_ok=True)
    sync_folder(real.parent)


def claim_name(draft: Path, real: Path) -> None:
    """Gives the draft its name, unless another process did so first: then that file is the journal."""
    try:
        os.link(draft, real)
    except FileExistsError:
        return
    except OSError:  # without hard links the name is created first, so that no two processes create the same journal
        os.close(os.open(real, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        draft.replace(real)
