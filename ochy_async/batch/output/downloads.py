"""One file from the storage: downloaded in pieces, resumed where an earlier attempt stopped, verified, and renamed.

Invariant: two parts are joined only if an ETag proves that they belong to one file, and only by one download at a time.
Memory does not grow with the file, and an expired link is replaced by a fresh one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from io import FileIO
from pathlib import Path
from typing import Final

from anyio import CancelScope, current_time, to_thread
from attrs import define, field

from ...core import SessionCore
from ...durable_files import open_private, publish, write_all
from ...errors import (
    ConnectionFailed,
    DeadlinePassed,
    OchyError,
    OutputError,
    Phase,
    RateLimited,
    ServerError,
    UnreadableAnswer,
)
from ...policy.limits import Limits
from ...policy.retry import may_repeat, retry_after
from ...protocol.answer import SignedUrl
from ...protocol.ranges import EXPIRED, TRANSFER, FileRange, file_range, range_headers
from ...protocol.wire import ResponseHead
from ...storage import Storage
from .folder import output_errors, write_output

if sys.platform != "win32":
    import fcntl

__all__ = ["LinkProvider", "download"]

LinkProvider = Callable[[bool], Awaitable[SignedUrl]]
"""Returns the link to a file; a fresh one if the argument is true."""

MAX_RENEWALS: Final = 3
RANGE_REJECTED: Final = frozenset({206, 416})
"""The statuses of an answer with another range than the requested one, and of an answer without any."""


async def download(
    core: SessionCore,
    storage: Storage,
    link: LinkProvider,
    target: Path,
    *,
    content: str = "",
    renewals: int = MAX_RENEWALS,
) -> None:
    """Downloads a file to `target`. Raises the `OchyError` of the last attempt; the next run resumes from what arrived.

    `content` identifies the file if `target` alone does not: parts of any other file are discarded.
    """
    attempt, expired = 1, False
    while True:
        partial = _PartialFile(target, core.limits, content)
        error = await _attempt(core, storage, await link(expired), partial)
        if error is None:
            return
        expired = error.status in EXPIRED and renewals > 0
        if expired:
            renewals -= 1
        elif error.status in RANGE_REJECTED and partial.offset > 0:  # happens once: the next attempt starts at 0
            await to_thread.run_sync(partial.discard)
        elif may_repeat(error, repeatable=True) and await core.back_off(error, attempt):
            attempt += 1
        else:
            raise error


async def _attempt(core: SessionCore, storage: Storage, url: SignedUrl, partial: _PartialFile) -> OchyError | None:
    """Makes one attempt. Returns its error, or None."""
    try:
        await to_thread.run_sync(partial.open)
        with core.cancel_scope() as scope:
            partial.scope = scope if core.timeout is None else None  # a timeout of the call includes the transfer
            await storage.fetch(url, partial, range_headers(partial.offset, partial.etag))
            await to_thread.run_sync(partial.finish)
            return None
        return DeadlinePassed(
            f"{TRANSFER}: the deadline passed before the file was complete. Run again later to resume.", route=TRANSFER
        )
    except (RateLimited, ServerError) as error:
        error.retry_after = retry_after(partial.headers, core.clock())
        return error
    except OchyError as error:
        return error
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(partial.close)


@define(eq=False)
class _PartialFile:
    """The part of a file that has arrived: a sink beside the target, with the ETag that it came with."""

    target: Path
    limits: Limits
    content: str = ""
    """Identifies the file; stored beside the ETag, since two files of one storage may have the same ETag."""
    scope: CancelScope | None = field(default=None, init=False)
    """The deadline, which is extended once the size of the file is known; None if it is fixed."""
    headers: dict[str, str] = field(factory=dict, init=False, repr=False)
    offset: int = field(default=0, init=False)
    """How many bytes were there before this attempt."""
    etag: str | None = field(default=None, init=False)
    _range: FileRange = field(default=FileRange(0, None, None), init=False)
    _size: int = field(default=0, init=False)
    _file: FileIO | None = field(default=None, init=False)

    @property
    def path(self) -> Path:
        """Where the bytes are until all have arrived."""
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def etag_path(self) -> Path:
        """Where the ETag is stored."""
        return self.target.with_name(f"{self.target.name}.etag")

    def open(self) -> None:
        """Opens the file and finds out where to resume: at 0 without an ETag, or if the part is of another file.

        Raises `OutputError` if another download is writing it.
        """
        with output_errors(self.target):
            self._open_exclusively()
            stored = self.etag_path.read_text(encoding="ascii") if self.etag_path.is_file() else ""
            etag, _, content = stored.partition("\n")
            self.etag = etag if content == self.content and etag else None
            self.offset = self._opened.tell() if self.etag else 0

    def _open_exclusively(self) -> None:
        while self._file is None:
            file = open_private(self.path, "ab")
            if not _try_lock(file):
                file.close()
                raise OutputError(f"{str(self.target)!r} is being written by another download. Wait until it ends.")
            if _is_at(file, self.path):
                self._file = file
            else:  # the other download has just completed and renamed it
                file.close()

    def discard(self) -> None:
        """Makes the next attempt start at 0: a part without an ETag is not resumed."""
        with output_errors(self.path):
            self.etag_path.unlink(missing_ok=True)

    def close(self) -> None:
        """Keeps what has arrived for the next attempt; an empty file is removed."""
        if self._file is None:
            return
        try:
            with output_errors(self.path):
                if not self._file.closed and not os.fstat(self._file.fileno()).st_size:
                    self.path.unlink(missing_ok=True)
                    self.etag_path.unlink(missing_ok=True)
        finally:
            self._file.close()

    async def begin(self, head: ResponseHead) -> None:
        """Raises the error that the head of an answer means. If the complete file follows, the part is emptied."""
        self.headers = dict(head.headers)
        self._range = file_range(head, self.offset, self.etag, self.limits.media_bytes)
        self._size = self._range.start
        if self.scope is not None:
            size = self._range.total or self.limits.media_bytes
            self.scope.deadline = current_time() + self.limits.transfer(size)
        if not self._range.start:
            await to_thread.run_sync(self._restart)

    async def write(self, piece: bytes) -> None:
        """Appends a piece. Raises `UnreadableAnswer` if more bytes arrive than were announced, or than are accepted."""
        most = self._range.total if self._range.total is not None else self.limits.media_bytes
        self._size += len(piece)
        if self._size > most:
            raise UnreadableAnswer(f"{TRANSFER}: more than {most:,} bytes arrived. Please report this.", route=TRANSFER)
        await to_thread.run_sync(self._append, piece)

    def finish(self) -> None:
        """Renames the file to its target if it is complete. Raises `ConnectionFailed` if it is not."""
        if self._size != (self._range.total or self._size) or not self._size:
            text = f"{TRANSFER}: {self._size:,} bytes arrived, not {self._range.total or 'any'}. Run again to resume."
            raise ConnectionFailed(text, phase=Phase.COMPLETE, route=TRANSFER)
        with output_errors(self.target):
            publish(self._opened, self.path, self.target)
            self.etag_path.unlink(missing_ok=True)

    @property
    def _opened(self) -> FileIO:
        if self._file is None:
            raise LookupError("the partial file is not open")
        return self._file

    def _restart(self) -> None:
        """Empties the part, the ETag first: an interruption leaves no ETag beside the bytes of another file."""
        with output_errors(self.path):
            self.etag_path.unlink(missing_ok=True)
            self._opened.truncate(0)
        if self._range.etag:
            write_output(self.etag_path, f"{self._range.etag}\n{self.content}".encode())

    def _append(self, piece: bytes) -> None:
        with output_errors(self.path):
            write_all(self._opened, piece)


def _try_lock(file: FileIO) -> bool:
    """Locks a file until it is closed. Returns False if somebody else holds the lock.

    True where the system or the disk has no locks, since nobody could tell.
    """
    if sys.platform == "win32":  # an open file cannot be renamed there, so a second download fails without harm
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _is_at(file: FileIO, path: Path) -> bool:
    """Whether an open file is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
