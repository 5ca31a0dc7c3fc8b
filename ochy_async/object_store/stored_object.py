"""One object of a store: a clip that is read from there when its content is needed.

Invariant: every read carries the ETag of the listing (`If-Match`), and what is not complete or not that version is an
error. No error quotes the store's client, whose messages may hold credentials.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Final

import orjson
from attrs import define, evolve, field

from ..clips import Clip
from ..errors import ClipUnusable, Finding, OchyError, SourceError
from .spool import Copy, Spool

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["StoredObject"]

CHUNK: Final = 1024 * 1024
"""Bytes that are read at a time."""


@define(eq=False)
class StoredObject:
    """An object as the listing showed it; implements `clips.RemoteContent`."""

    store: ObjectStore = field(repr=False)
    spool: Spool = field(repr=False)
    label: str
    """Its URL."""
    path: str
    """Its path in the store."""
    size: int
    etag: str
    _copy: Copy | None = field(default=None, init=False, repr=False)

    @property
    def source(self) -> str | None:
        """See `clips.RemoteContent`. The ETag of a local file shows no change that keeps size, time and inode."""
        if self.label.lower().startswith("file:"):
            return None
        return hashlib.sha256(orjson.dumps([self.label, self.etag, self.size])).hexdigest()

    def clip(self) -> Clip:
        """A clip with a copy of its own."""
        own = evolve(self)
        return evolve(Clip.stream(own.chunks, name=self.path, size=self.size), remote=own)

    def chunks(self) -> AsyncGenerator[bytes]:
        """The content: from the copy if there is one, else from the store."""
        return self._read() if self._copy is None else self._copy.chunks()

    async def fetch(self) -> None:
        """See `clips.RemoteContent`."""
        if self._copy is None and self.size <= self.spool.capacity:
            self._copy = await self.spool.copy(self.size, self._read)

    async def release(self) -> None:
        """See `clips.RemoteContent`."""
        copy, self._copy = self._copy, None
        if copy is not None:
            await copy.delete()

    async def _read(self) -> AsyncGenerator[bytes]:
        import obstore

        total, failure = 0, None
        try:
            result = await obstore.get_async(self.store, self.path, options={"if_match": self.etag})
            if _is_other_version(result.meta["e_tag"], self.etag):  # a store that does not know If-Match
                failure = self._failure(obstore.exceptions.PreconditionError())
            else:
                async for chunk in result.stream(min_chunk_size=CHUNK):
                    total += len(chunk)
                    if total > self.size:
                        break
                    yield bytes(chunk)
        except Exception as error:  # noqa: BLE001 - it has classes of its own, and raises built-in ones too
            failure = self._failure(error)
        if failure is None and total != self.size:
            failure = self._error(
                f"has {self.size:,} bytes by its listing, but {total:,} came",
                "Run again. If this repeats, upload it to the store anew",
            )
        if failure is not None:
            raise failure  # here, so that the store's error is no part of it

    def _failure(self, error: Exception) -> OchyError:
        from obstore import exceptions

        if isinstance(error, FileNotFoundError):
            problem = Finding("clip", f"{self._name!r} was deleted from its store after it was listed", code="deleted")
            return ClipUnusable(f"The clip cannot be sent; nothing was charged.\n  - {problem}", problems=(problem,))
        if isinstance(error, exceptions.PreconditionError):
            return self._error("was replaced after it was listed", "Run again to take the new version")
        if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError | PermissionError):
            return self._error("must not be read: access is denied", "Grant read access, and run again")
        return self._error(
            f"could not be read from its store ({type(error).__name__})", "Check the connection, and run again"
        )

    def _error(self, what: str, remedy: str) -> SourceError:
        return SourceError(f"{self._name!r} {what}. Nothing was charged. {remedy}.")

    @property
    def _name(self) -> str:
        """As it may be printed and stored: a URL would be masked."""
        return self.path.rpartition("/")[2]


def _is_other_version(found: str | None, expected: str) -> bool:
    return found is not None and found.strip('"') != expected.strip('"')
