"""The clips under a URL of an object store, listed page by page while they are needed.

Invariant: nothing that is printed holds more of the store than the URL that the user gave and the names in it: no
options, no message of the store's client, and no URL that could hold a secret.
"""

from __future__ import annotations

import atexit
import os
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from attrs import define, evolve, field

from ..batch.output.folder import is_own_clip
from ..clips import Clip
from ..errors import InvalidRequest, InvalidSettings, Problem, SourceError
from ..extras import missing_library
from .spool import SPOOL_BYTES, Spool
from .stored_object import StoredObject

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore

__all__ = ["ObjectClips", "Objects", "is_object_url", "is_plain_object_url", "objects"]

SCHEMES: Final = ("s3", "gs", "az", "file")
PAGE: Final = 1000
"""Objects that are listed at a time, which is the most that S3 lists."""
CLIENT_OPTIONS: Final = {"timeout": "300s"}
"""For one request, the content included. obstore's own 30 s are too short for several clips on a slow connection."""
LAST_MOMENTS: Final = 0.1
"""Seconds that a process stays at its end, so that the threads of obstore are done with it."""
_CLIENT_SETTING: Final = re.compile(r"(AWS|AZURE|GOOGLE)_(ALLOW_|CONNECT_|HTTP|PROXY_|TIMEOUT|USER_AGENT).*")
"""Variables of the environment that count only if no `client_options` are given."""
_ESCAPED: Final = str.maketrans({character: f"%{ord(character):02X}" for character in "%?#"})


def is_object_url(text: str) -> bool:
    """Whether a text is a URL for `objects`, rather than a path."""
    scheme, separator, _ = text.partition("://")
    return bool(separator) and scheme.lower() in SCHEMES


def is_plain_object_url(url: str) -> bool:
    """Whether it is such a URL, and without credentials and parameters, which could be secrets."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    named = bool(parts.netloc) is not (parts.scheme == "file")
    return is_object_url(url) and named and not ({"@", ":"} & {*parts.netloc} or parts.query or parts.fragment)


def objects(url: str, *, spool_bytes: int = SPOOL_BYTES, **options: Any) -> Objects:
    """The videos under a URL, for `batch.run(objects("s3://lab/clips/"))`: `s3://`, `gs://`, `az://` or `file://`.

    Lists all levels under the URL lazily; the URL of a video is that video. A new clip is read once, into a temporary
    file of at most `spool_bytes` together with others; a clip that the journal knows is not read at all. `options` are
    those of `obstore.store.from_url`, such as `region`, `endpoint`, `client_options` or `credential_provider`; without
    them the environment counts.

    Raises `InvalidSettings` for a URL or options that cannot be used. Reading from it raises `SourceError` if the store
    cannot be listed.
    """
    made = _objects(url, spool_bytes, options)
    del url, options  # so that no frame of an error holds a secret
    if isinstance(made, InvalidSettings):
        raise made
    return made


def _objects(url: str, spool_bytes: int, options: dict[str, Any]) -> Objects | InvalidSettings:
    if not is_plain_object_url(url):
        return InvalidSettings(
            "The URL of an object store must look like s3://bucket/folder/, gs://…, az://container/… or file:///…, "
            "without credentials or parameters; write ? and # in names as %3F and %23."
        )
    folder, _, name = url.rpartition("/")
    if not is_own_clip(name):
        folder, name = url.rstrip("/"), ""
    store = _store(folder, options)
    if isinstance(store, InvalidSettings):
        return store
    return Objects(folder, unquote(name), Spool(spool_bytes), store)


def _store(url: str, options: dict[str, Any]) -> ObjectStore | InvalidSettings:
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ModuleNotFoundError:
        return InvalidSettings(missing_library("An object store", "obstore", "objects"))
    _wait_at_exit()
    configured = any(map(_CLIENT_SETTING.fullmatch, os.environ))
    given: dict[str, Any] = options if configured else {"client_options": CLIENT_OPTIONS, **options}
    try:
        return from_url(url, **given)
    except (BaseError, TypeError, ValueError) as error:
        kind = type(error).__name__
    return InvalidSettings(
        f"The store of {url} cannot be used ({kind}). Check its options and the environment: a folder must exist, "
        "az:// needs the name of the account, and http:// endpoints need client_options={'allow_http': True}."
    )


@cache
def _wait_at_exit() -> None:
    """Lets the process end in peace: while a thread of obstore hands a result over, the interpreter must not go away.

    Otherwise the process would be aborted, whatever it has done (PyO3/pyo3-async-runtimes issue 40).
    """
    atexit.register(time.sleep, LAST_MOMENTS)


@define(eq=False)
class Objects:
    """The videos under a URL; made by `objects`. Each iteration lists them anew."""

    url: str
    """Without the name of a single object."""
    name: str
    """The name of the object, if the URL is that of a single one."""
    spool: Spool = field(repr=False)
    _store: ObjectStore = field(repr=False)
    _was_listed: bool = field(default=False, repr=False)
    """Whether somebody has found the name before. Then an object that is missing is yielded: reading it finds that it
    was deleted."""

    def __aiter__(self) -> AsyncIterator[Clip]:
        return self.clips()

    async def clips(self) -> AsyncGenerator[Clip]:
        """What an iteration yields, as a generator that can be closed."""
        async for page in self._pages():
            for each in page:
                if all(not part.startswith(".") for part in each["path"].split("/")) and is_own_clip(each["path"]):
                    yield self._clip(each)

    def _clip(self, meta: ObjectMeta) -> Clip:
        path, etag = meta["path"], meta["e_tag"]
        label = f"{self.url}/{path.translate(_ESCAPED)}"
        if not etag:
            raise SourceError(f"The store lists {label} without an ETag, so a change would not be noticed.")
        return StoredObject(self._store, self.spool, label, path, meta["size"], etag).clip()

    async def _pages(self) -> AsyncGenerator[Sequence[ObjectMeta]]:
        import obstore

        try:
            if self.name:
                yield [await obstore.head_async(self._store, self.name)]
            else:
                async for page in obstore.list(self._store, chunk_size=PAGE):
                    yield page
        except Exception as error:  # noqa: BLE001 - it has classes of its own, and raises built-in ones too
            kind = type(error).__name__
            deleted = self._was_listed and isinstance(error, FileNotFoundError)
        else:
            return
        if deleted:
            yield [
                {"path": self.name, "size": 1, "e_tag": '"none"', "last_modified": datetime.now(UTC), "version": None}
            ]
            return
        where = f"{self.url}/{self.name}"
        raise SourceError(
            f"{where} cannot be listed ({kind}). Check that it exists, that access is granted, and the connection."
        )


@define(eq=False)
class ObjectClips:
    """Clips that are taken by their URLs, one at a time. They share the connections to their bucket, and a spool."""

    _spool: Spool = field(factory=lambda: Spool(SPOOL_BYTES))
    _buckets: dict[str, Objects] = field(factory=dict)

    async def clip(self, url: str) -> Clip:
        """The video at a URL, in its present version. One that the store does not have is refused when it is read.

        Raises `InvalidRequest` for a URL that names no video, `InvalidSettings` if the store cannot be used on this
        machine, and `SourceError` if it does not answer or grants no access.
        """
        bucket, name = _bucket_and_name(url)
        if bucket not in self._buckets:
            self._buckets[bucket] = objects(bucket)
        found = evolve(self._buckets[bucket], name=unquote(name), spool=self._spool, was_listed=True)
        async with aclosing(found.clips()) as clips:
            clip = await anext(clips, None) if is_own_clip(name) else None
        if clip is None:
            raise InvalidRequest.of("The job", (Problem("clip", f"{url} names no video: it must end in one's name"),))
        return clip


def _bucket_and_name(url: str) -> tuple[str, str]:
    """The URL of the bucket, or of the folder on this machine, and the name in it."""
    parts = urlsplit(url)
    if not parts.netloc:
        folder, _, name = url.rpartition("/")
        return folder, name
    return f"{parts.scheme}://{parts.netloc}", parts.path.removeprefix("/")
