"""One file from the storage: fetched piece by piece, taken up where it broke off, checked, and given its name.

Invariant: two halves are put together only if an ETag says that they belong to one file, and only by one
download at a time; memory does not know how large a file is, and a link that has died is asked for anew.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from io import FileIO
from pathlib import Path
from typing import Final

from anyio import CancelScope, current_time, move_on_after, to_thread
from attrs import define, field

from ...core import SessionCore
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
from .folder import OutputFolder, output_errors, publish, try_lock, write_all

__all__ = ["Link", "download"]

Link = Callable[[bool], Awaitable[SignedUrl]]
"""Gives the link to a file; a fresh one, if the argument says so."""

MOST_RENEWALS: Final = 3
MISFITS: Final = frozenset({206, 416})
"""The statuses of a part that is not the one that was asked for, and of none."""


async def download(
    core: SessionCore,
    storage: Storage,
    link: Link,
    folder: OutputFolder,
    target: Path,
    *,
    content: str = "",
    renewals: int = MOST_RENEWALS,
) -> None:
    """Fetches a file to `target`. Raises the `OchyError` of the last attempt; what came is kept for the next run.

    `content` names what is fetched where `target` alone does not: what was begun of anything else is dropped.
    """
    attempt, dead = 1, False
    while True:
        partial = _Partial(folder, target, core.limits, content)
        failure = await _attempt(core, storage, await link(dead), partial)
        if failure is None:
            return
        dead = failure.status in EXPIRED and renewals > 0
        if dead:
            renewals -= 1
        elif _does_not_fit(failure, partial):
            await to_thread.run_sync(partial.discard)
        elif may_repeat(failure, repeatable=True) and await core.back_off(failure, attempt):
            attempt += 1
        else:
            raise failure


async def _attempt(core: SessionCore, storage: Storage, url: SignedUrl, partial: _Partial) -> OchyError | None:
    """One attempt; what went wrong, as a value."""
    seconds = core.limits.call
    try:
        await to_thread.run_sync(partial.open)
        with move_on_after(seconds) as partial.scope:
            await storage.fetch(url, partial, range_headers(partial.offset, partial.etag))
            await to_thread.run_sync(partial.finish)
            return None
        return DeadlinePassed(f"{TRANSFER}: not done within its deadline. Run again later.", route=TRANSFER)
    except (RateLimited, ServerError) as error:
        error.retry_after = retry_after(partial.headers, core.clock())
        return error
    except OchyError as error:
        return error
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(partial.close)


def _does_not_fit(failure: OchyError, partial: _Partial) -> bool:
    """Whether the storage cannot go on from what is here: then it is to begin anew, which happens once."""
    return failure.status in MISFITS and partial.offset > 0


@define(eq=False)
class _Partial:
    """What has come so far of a file: a sink beside the target, with the ETag that it came with."""

    folder: OutputFolder
    target: Path
    limits: Limits
    content: str = ""
    """What the file is, kept beside the ETag: two files of one storage may have the same."""
    scope: CancelScope | None = field(default=None, init=False)
    """The deadline, which a known size puts off."""
    headers: dict[str, str] = field(factory=dict, init=False, repr=False)
    offset: int = field(default=0, init=False)
    """How many bytes were here at the beginning."""
    etag: str | None = field(default=None, init=False)
    _part: FileRange = field(default=FileRange(0, None, None), init=False)
    _size: int = field(default=0, init=False)
    _file: FileIO | None = field(default=None, init=False)

    @property
    def path(self) -> Path:
        """Where the bytes are until they are all there."""
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def note(self) -> Path:
        """Where the ETag is."""
        return self.target.with_name(f"{self.target.name}.etag")

    def open(self) -> None:
        """Finds out how far it got. What has no ETag, or is of another file, is begun anew.

        Raises `OutputError` where another download is at it.
        """
        with output_errors(self.target):
            self._claim()
            etag, _, content = self.note.read_text(encoding="ascii").partition("\n") if self.note.is_file() else _NONE
            self.etag = etag if content == self.content and etag else None
            self.offset = self._opened.tell() if self.etag else 0

    def _claim(self) -> None:
        """Opens the file for this download alone."""
        while self._file is None:
            file = self.path.open("ab", buffering=0)
            if not try_lock(file):
                file.close()
                raise OutputError(f"{str(self.target)!r} is being fetched by another download. Wait until it ends.")
            if _is_at(file, self.path):
                self._file = file
            else:  # the other download has just given it its name
                file.close()

    def discard(self) -> None:
        """Forgets how far it got: what has no ETag is begun anew."""
        with output_errors(self.path):
            self.note.unlink(missing_ok=True)

    def close(self) -> None:
        """Keeps what is here for the next attempt; of nothing, nothing."""
        if self._file is None:
            return
        try:
            with output_errors(self.path):
                if not self._file.closed and not os.fstat(self._file.fileno()).st_size:
                    self.path.unlink(missing_ok=True)
                    self.note.unlink(missing_ok=True)
        finally:
            self._file.close()

    async def begin(self, head: ResponseHead) -> None:
        """Refuses what does not belong here; where the file comes whole, what is here is dropped first."""
        self.headers = dict(head.headers)
        self._part = file_range(head, self.offset, self.etag, self.limits.media_bytes)
        self._size = self._part.start
        if self.scope is not None:
            self.scope.deadline = current_time() + self.limits.transfer(self._part.total or self.limits.media_bytes)
        if not self._part.start:
            await to_thread.run_sync(self._anew)

    async def take(self, piece: bytes) -> None:
        """Appends a piece. Raises `UnreadableAnswer` for more than was told, or than is taken."""
        most = self._part.total if self._part.total is not None else self.limits.media_bytes
        self._size += len(piece)
        if self._size > most:
            raise UnreadableAnswer(f"{TRANSFER}: more than {most:,} bytes came. Report it.", route=TRANSFER)
        await to_thread.run_sync(self._append, piece)

    def finish(self) -> None:
        """Gives the file its name, if it is whole. Raises `ConnectionFailed` if it is not."""
        if self._size != (self._part.total or self._size) or not self._size:
            said = f"{TRANSFER}: {self._size:,} bytes came, not {self._part.total or 'some'}. Run again later."
            raise ConnectionFailed(said, phase=Phase.COMPLETE, route=TRANSFER)
        with output_errors(self.target):
            publish(self._opened, self.path, self.target)
            self.note.unlink(missing_ok=True)

    @property
    def _opened(self) -> FileIO:
        if self._file is None:
            raise LookupError("the partial file is not open")
        return self._file

    def _anew(self) -> None:
        """In this order: whenever it is interrupted, no ETag stands beside the bytes of another file."""
        with output_errors(self.path):
            self.note.unlink(missing_ok=True)
            self._opened.truncate(0)
        if self._part.etag:
            self.folder.write(self.note, f"{self._part.etag}\n{self.content}".encode())

    def _append(self, piece: bytes) -> None:
        with output_errors(self.path):
            write_all(self._opened, piece)


_NONE: Final = ("", "", "")


def _is_at(file: FileIO, path: Path) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
