"""Files that survive a crash or a power cut, complete under their name or not there at all, and that only one user may
read: they hold health data.

Invariant: content reaches the disk before the file gets its name, and the name reaches the disk before a call returns.
Whatever the umask, files have the mode 0600 and folders 0700; Windows has no such modes, and a file there has the
permissions of its folder. Every function blocks, so it belongs in a worker thread, and raises `OSError`.
"""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Literal

__all__ = [
    "draft_path",
    "open_private",
    "private_file",
    "private_folder",
    "publish",
    "sync_file",
    "sync_folder",
    "write_all",
    "write_file",
]


def write_file(path: Path, content: bytes) -> None:
    """Writes a complete file, or none."""
    with private_file(path) as file:
        write_all(file, content)


@contextmanager
def private_file(path: Path) -> Generator[FileIO]:
    """A file to write piece by piece. It gets its name when the block ends without an error; otherwise nothing is left
    of it."""
    draft = draft_path(path)
    try:
        with open_private(draft, "xb") as file:
            yield file
            publish(file, draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def open_private(path: Path, mode: Literal["xb", "x+b", "ab"]) -> FileIO:
    """Opens an unbuffered file under its name. Others lose their access to one that is there already."""
    return open(path, mode, buffering=0, opener=_private)


def _private(path: str, flags: int) -> int:
    handle = os.open(path, flags, 0o600)
    if sys.platform != "win32" and stat.S_IMODE(os.fstat(handle).st_mode) & 0o077:
        with suppress(OSError):  # some disks have no modes, and a file on them is better than none
            os.fchmod(handle, 0o600)
    return handle


def private_folder(path: Path) -> None:
    """Creates a folder and those that lead to it. One that exists keeps its mode: somebody else made it."""
    try:
        path.mkdir(mode=0o700, exist_ok=True)
    except FileNotFoundError:
        if path.parent == path:
            raise
        private_folder(path.parent)  # `Path.mkdir` would leave their modes to the umask
        path.mkdir(mode=0o700, exist_ok=True)


def draft_path(path: Path) -> Path:
    """A hidden temporary name in the same folder that no other file has."""
    return path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.tmp")


def write_all(file: FileIO, content: bytes) -> None:
    """Writes all of the content: an unbuffered file may take less than all of it at a time."""
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]


def publish(file: FileIO, draft: Path, path: Path) -> None:
    """Renames a written file to `path`, once its content is on the disk.

    Windows cannot rename an open file, so the file is closed there; elsewhere it stays open and keeps its lock.
    """
    os.fsync(file.fileno())
    if os.name == "nt":
        file.close()
    draft.replace(path)
    sync_folder(path.parent)


def sync_file(path: Path, flags: int = os.O_RDWR) -> None:
    """Waits until the content of a file is on the disk."""
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(path: Path) -> None:
    """Waits until the names in a folder are on the disk, where the system supports that."""
    if os.name == "posix":
        sync_file(path, os.O_RDONLY)
