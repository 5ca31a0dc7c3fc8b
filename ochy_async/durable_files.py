"""Files that survive a crash or a power cut: complete under their name, or not there at all.

Invariant: content reaches the disk before the file gets its name, and the name reaches the disk before a call returns.
Every function blocks, so it belongs in a worker thread, and raises `OSError`.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

__all__ = ["draft_path", "private_file", "publish", "sync_file", "sync_folder", "write_all", "write_file"]


def write_file(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Writes a complete file, or none. `mode` is who may use it, less what the process's umask forbids."""
    draft = draft_path(path)
    try:
        with open(draft, "xb", buffering=0, opener=lambda name, flags: os.open(name, flags, mode)) as file:
            write_all(file, content)
            publish(file, draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


@contextmanager
def private_file(path: Path) -> Generator[FileIO]:
    """A file to write piece by piece that only this user may read. It gets its name when the block ends without an
    error; otherwise nothing is left of it."""
    draft = draft_path(path)
    try:
        with open(draft, "xb", buffering=0, opener=_private) as file:
            yield file
            publish(file, draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


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
