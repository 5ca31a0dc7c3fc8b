"""A video to send: a path, bytes, an open binary file, or an async byte stream of known size.

Invariant: a clip is reopened for each attempt and sent completely or not at all, and a caller's file is never closed.
The event loop never waits for a disk: it reads only what is in the system's cache, and threads read the rest.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import threading
import time
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import ExitStack, aclosing, asynccontextmanager
from pathlib import Path, PurePath
from typing import IO, Any, Final, Protocol, cast

from anyio import CancelScope, to_thread
from anyio.lowlevel import checkpoint
from attrs import evolve, field, frozen

from .cancellation import cancelled_elsewhere
from .errors import ClipUnusable, Finding, SourceError
from .protocol.containers import SIGNATURE_BYTES, container_of
from .protocol.video_limits import CONTENT_TYPES, extension

__all__ = ["Clip", "ClipSource", "FileVersion", "RemoteContent", "digest", "prepare", "safe_name", "verified"]

CHUNK: Final = 256 * 1024
"""Bytes read at a time."""
NOWAIT: Final[int | None] = getattr(os, "RWF_NOWAIT", None)
"""Requests a read that never blocks; available on Linux."""

SETTLED: Final = 4.0
"""Seconds after a change of a file during which another one might not change its times."""

Chunks = Callable[[], AsyncGenerator[bytes]]


class RemoteContent(Protocol):
    """Content that is elsewhere. A job of a batch copies it to this machine at most once, and only if it is needed."""

    @property
    def label(self) -> str:
        """Where it is, for people."""
        ...

    @property
    def source(self) -> str | None:
        """Names this version of the content: see `Journal.remembered_digest`. None if no name changes with it."""
        ...

    def clip(self) -> Clip:
        """The clip, with a copy of its own."""
        ...

    async def fetch(self) -> None:
        """Makes the copy, which the chunks of the clip are then read from. May wait until other copies are released.

        Raises `ClipUnusable`, or `SourceError` if running again may help. Does nothing if there is a copy, or if the
        content is too large for one.
        """
        ...

    async def release(self) -> None:
        """Deletes the copy, if there is one."""
        ...


@frozen
class FileVersion:
    """What the file system says of a file: as far as it tells, the content is the same as long as this is."""

    source: str
    """Names device, inode, size and times of the file: see `Journal.remembered_digest`."""
    changed_at: float
    """When content or attributes changed last, in seconds since 1970 by the clock of the file system."""

    @classmethod
    def of(cls, facts: os.stat_result) -> FileVersion:
        """The version of a file with these facts."""
        times = facts.st_mtime_ns, facts.st_ctime_ns
        named = (facts.st_dev, facts.st_ino, facts.st_size, *times)
        return cls(f"file:{hashlib.sha256(repr(named).encode()).hexdigest()}", max(times) / 1e9)

    def is_settled(self) -> bool:
        """Whether a change that comes now would show: the times of some file systems are whole or even seconds."""
        return self.changed_at + SETTLED < time.time()


@frozen
class Clip:
    """A video that is ready to be sent."""

    name: str
    """The name that is sent: plain ASCII, with the extension by which the server recognizes the type."""
    size: int
    """Bytes."""
    chunks: Chunks = field(repr=False, eq=False)
    """Opens the content and yields exactly `size` bytes, or raises `ClipUnusable` before the last chunk. See
    `Upload.chunks`."""
    path: Path | None = field(default=None, repr=False, eq=False)
    """The file, if the clip is one."""
    version: FileVersion | None = field(default=None, repr=False, eq=False)
    """The version of the file, if the clip is one."""
    single_use: bool = field(default=False, repr=False, eq=False)
    """Whether the content can be read only once, so that it cannot be checked before it is sent."""
    remote: RemoteContent | None = field(default=None, repr=False, eq=False)
    """Where the content is read from, if it is not on this machine."""

    @property
    def content_type(self) -> str:
        """The media type that goes with the extension."""
        return CONTENT_TYPES.get(extension(self.name), "application/octet-stream")

    @classmethod
    def stream(cls, source: AsyncIterable[bytes] | Callable[[], AsyncIterable[bytes]], *, name: str, size: int) -> Clip:
        """A clip that is read from a stream while it is sent. `size` must be exact.

        Pass a function that reopens the stream, so that an interrupted upload can be retried. A stream itself can be
        read only once, so the first failure is final.
        """
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise _unusable("size", "must be the exact number of bytes")
        single_use = not callable(source)
        reopen = source if callable(source) else _single_use(source)
        return cls(safe_name(name), size, lambda: _exact_size(reopen(), size), single_use=single_use)


ClipSource = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | Clip
"""What a clip can be made from. A file is read from its current position and not closed."""


async def prepare(source: ClipSource, name: str | None = None) -> Clip:
    """The clip for `source`. Whether the vendor accepts it is checked elsewhere.

    Raises `ClipUnusable` for a source that cannot be sent at all: missing, empty, or no regular file.
    """
    if name is not None and not isinstance(name, str):
        raise _unusable("name", "must be a text")
    clip = await _clip(source, name)
    if clip.size <= 0:  # for an empty body it is never known whether its last chunk was sent
        raise _unusable("size", "the clip is empty; copy it again from the camera", code="empty")
    return clip


async def _clip(source: ClipSource, name: str | None) -> Clip:
    if isinstance(source, Clip):
        source = source if source.remote is None else source.remote.clip()
        return source if name is None else evolve(source, name=safe_name(name))
    if isinstance(source, str | os.PathLike):
        return await _path_clip(Path(source), name)
    if isinstance(source, bytes | bytearray | memoryview):
        content = bytes(source)
        return Clip(safe_name(name or f"clip{sniff(content)}"), len(content), lambda: _slices(content))
    if hasattr(source, "read") and hasattr(source, "seek"):
        return await _file_clip(source, name)
    raise _unusable("clip", f"is a {type(source).__name__}; give a path, bytes, an open binary file or Clip.stream(…)")


def _unusable(field: str, message: str, code: str = "unusable") -> ClipUnusable:
    problem = Finding(field, message, code=code)
    return ClipUnusable(f"The clip cannot be sent; nothing was sent or charged.\n  - {problem}", problems=(problem,))


async def digest(clip: Clip) -> str:
    """The SHA-256 of the content, in hex. Reads all of it in chunks. Raises `ClipUnusable` and `SourceError`."""
    sha = hashlib.sha256()
    async with aclosing(_checked_chunks(clip)) as chunks:
        async for chunk in chunks:
            sha.update(chunk)
            await checkpoint()
    return sha.hexdigest()


def verified(clip: Clip, expected: str) -> Clip:
    """The same clip, but its last chunk is sent only if its content still has the `expected` SHA-256.

    Every other failure to read the content raises `ClipUnusable` too, or `SourceError`, so that a batch reports it as
    it reports any unusable clip.
    """
    return evolve(clip, chunks=lambda: _verified_chunks(clip, expected))


async def _verified_chunks(clip: Clip, expected: str) -> AsyncGenerator[bytes]:
    """Passes on all chunks but the last, and the last one only if the digest is right."""
    sha, total, last = hashlib.sha256(), 0, b""
    async with aclosing(_checked_chunks(clip)) as chunks:
        async for chunk in chunks:
            sha.update(chunk)
            total += len(chunk)
            if total < clip.size:
                yield chunk
            else:
                last = chunk
    if sha.hexdigest() != expected:
        raise _unusable("clip", "its content changed since it was checked; it was not sent completely")
    yield last


async def _checked_chunks(clip: Clip) -> AsyncGenerator[bytes]:
    """The content. Whatever a caller's own stream raises becomes a `ClipUnusable`, except a `SourceError`."""
    async with aclosing(clip.chunks()) as chunks:
        while chunk := await _next(chunks):
            yield chunk


async def _next(chunks: AsyncGenerator[bytes]) -> bytes:
    try:
        with cancelled_elsewhere(_cancelled):
            return await anext(chunks, b"")
    except (ClipUnusable, SourceError):
        raise
    except Exception as error:  # noqa: BLE001 - a caller's own stream may raise anything
        kind = type(error).__name__
    raise _unusable("clip", f"its stream raised a {kind}; it was not sent completely")


# --- names --------------------------------------------------------------------------------------

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_MAX_NAME: Final = 100


def safe_name(name: str) -> str:
    """A file name that no header, shell or file system can misread: at most 100 of the characters `[A-Za-z0-9._-]`.

    It keeps the extension, in lower case, and drops directories, quotes, line breaks and leading dots.
    """
    last = PurePath(name.replace("\\", "/")).name
    suffix = extension(last) or (last.lower() if last.lower() in CONTENT_TYPES else "")
    stem = _ascii(last[: len(last) - len(suffix)]).strip("._-")
    suffix = _ascii(suffix)[:16]
    return f"{stem[: _MAX_NAME - len(suffix)].rstrip('._-') or 'clip'}{suffix}"


def _ascii(text: str) -> str:
    return _UNSAFE.sub("_", unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode())


def sniff(content: bytes) -> str:
    """The extension for the container of the content, or an empty text."""
    container = container_of(content[:SIGNATURE_BYTES])
    return {"": "", "matroska": ".mkv"}.get(container, f".{container}")


# --- contents -----------------------------------------------------------------------------------


async def _slices(content: bytes) -> AsyncGenerator[bytes]:
    for start in range(0, len(content), CHUNK):
        yield content[start : start + CHUNK]


async def _path_clip(path: Path, name: str | None) -> Clip:
    try:
        facts = await to_thread.run_sync(path.stat, abandon_on_cancel=True)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a usable path"
        raise _unusable("path", f"{path.name!r} cannot be opened: {why}") from None
    if not stat.S_ISREG(facts.st_mode):
        raise _unusable("path", f"{path.name!r} is not a regular file")
    size = facts.st_size
    chunks, version = lambda: _exact_size(_read_path(path, facts), size), FileVersion.of(facts)
    return Clip(safe_name(name or path.name), size, chunks, path=path, version=version)


async def _read_path(path: Path, expected: os.stat_result) -> AsyncGenerator[bytes]:
    """Yields the file in chunks. Raises `ClipUnusable` if it differs from `expected` before or after it is read."""
    try:
        file = await to_thread.run_sync(_open, path, expected)
    except OSError as error:
        raise _unusable("path", f"{path.name!r} cannot be opened: {error.strerror}") from None
    position = 0
    try:
        while position < expected.st_size and (
            chunk := read_cached(file, position) or await _read(read_blocking, file, position)
        ):
            position += len(chunk)
            yield chunk
        await to_thread.run_sync(_close, file, expected)
    finally:
        if not file.closed:
            with CancelScope(shield=True):  # in a thread, because closing waits for a read that hangs
                await to_thread.run_sync(file.close)


def _open(path: Path, expected: os.stat_result) -> IO[bytes]:
    """Opens the file without blocking, in case the path leads to a pipe by now."""
    with ExitStack() as stack:
        nonblocking = getattr(os, "O_NONBLOCK", 0)
        file = stack.enter_context(open(path, "rb", opener=lambda name, flags: os.open(name, flags | nonblocking)))
        _check_unchanged(file, expected)
        stack.pop_all()
    return file


def _close(file: IO[bytes], expected: os.stat_result) -> None:
    with file:
        _check_unchanged(file, expected)


def _check_unchanged(file: IO[bytes], expected: os.stat_result) -> None:
    now = os.fstat(file.fileno())
    if (now.st_size, now.st_mtime_ns, now.st_ino) != (expected.st_size, expected.st_mtime_ns, expected.st_ino):
        raise _unusable("path", "the file changed while it was being sent; wait until it is complete, then try again")


def read_cached(file: IO[bytes], position: int) -> bytes:
    """The part of the next chunk that is in the system's cache; nothing if the read would wait for the disk.

    Such a read is cheaper than a thread. Systems without such reads always return nothing.
    """
    if NOWAIT is None:
        return b""
    buffer = bytearray(CHUNK)
    try:
        count = os.preadv(file.fileno(), [buffer], position, NOWAIT)
    except OSError:  # it would block, or this file system does not support it: a thread reads it
        return b""
    del buffer[count:]
    return cast("bytes", buffer)  # see `Upload.chunks`: a copy into `bytes` would take half as long again


def read_blocking(file: IO[bytes], position: int) -> bytes:
    """The next chunk of a file that this module opened. Blocks."""
    file.seek(position)
    return file.read(CHUNK)


async def _read(read: Callable[..., bytes], *args: Any) -> bytes:
    """Reads in a thread. Raises `ClipUnusable` for errors of the disk and for a closed file."""
    try:
        return await to_thread.run_sync(read, *args)
    except ClipUnusable:
        raise
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it was closed"
    raise _unusable("clip", f"could not be read to its end: {why}; it was not sent completely")


async def _file_clip(file: IO[bytes], name: str | None) -> Clip:
    try:
        start, size, head = await to_thread.run_sync(_measure, file)
    except ClipUnusable:
        raise
    except (OSError, ValueError):
        why = "cannot be rewound; use Clip.stream(…, size=…) for a source that can be read only once"
        raise _unusable("file", why) from None
    given = name or getattr(file, "name", None)
    if not isinstance(given, str):
        given = f"clip{sniff(head)}"
    return Clip(safe_name(given), size, lambda: _exact_size(_read_file(file, start, size), size))


# One file may be given to several starts at once. Every read moves the position under this lock and restores it, so
# that reads do not disturb each other. A read takes a fraction of a millisecond.
_POSITION_LOCK = threading.Lock()


def _measure(file: IO[bytes]) -> tuple[int, int, bytes]:
    """The position, the number of bytes from there to the end, and the first few of them."""
    with _POSITION_LOCK:
        start = file.tell()
        end = file.seek(0, os.SEEK_END)
        file.seek(start)
        try:
            return start, end - start, _checked_bytes(file.read(SIGNATURE_BYTES))
        finally:
            file.seek(start)


def _read_at(file: IO[bytes], position: int, count: int) -> bytes:
    with _POSITION_LOCK:
        before = file.tell()
        file.seek(position)
        try:
            return _checked_bytes(file.read(count))
        finally:
            file.seek(before)


def _checked_bytes(data: bytes) -> bytes:
    if not isinstance(data, bytes):
        raise _unusable("file", "must be opened in binary mode")
    return data


async def _read_file(file: IO[bytes], start: int, size: int) -> AsyncGenerator[bytes]:
    """Reads from `start` on, without changing the position of the file."""
    position, end = start, start + size
    while position < end and (chunk := await _read(_read_at, file, position, min(CHUNK, end - position))):
        position += len(chunk)
        yield chunk
    if grown := await _read(_read_at, file, end, 1):
        yield grown  # one byte too many: `_exact_size` raises


def _single_use(stream: AsyncIterable[bytes]) -> Callable[[], AsyncIterable[bytes]]:
    unread = [stream]

    def take() -> AsyncIterable[bytes]:
        if not unread:
            raise _unusable("stream", "was read already and cannot be sent again; pass a function that reopens it")
        return unread.pop()

    return take


@asynccontextmanager
async def _closing(source: AsyncIterable[bytes]) -> AsyncGenerator[None]:
    """Closes a generator at the end of the block instead of leaving it to the garbage collector."""
    try:
        yield
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()


async def _exact_size(source: AsyncIterable[bytes], size: int) -> AsyncGenerator[bytes]:
    """Passes on `size` bytes. The chunk that completes them is passed on only after the source has ended."""
    total, last = 0, b""
    with cancelled_elsewhere(_cancelled):
        async with _closing(source):
            async for chunk in source:
                total += len(chunk)
                if total > size:
                    break
                if total == size:
                    last = chunk or last
                elif chunk:
                    yield chunk
    if total != size:
        more = "more" if total > size else "fewer"
        raise _unusable("size", f"the content has {more} bytes than the announced {size:,}; it was not sent completely")
    yield last


def _cancelled() -> ClipUnusable:
    return _unusable("clip", "a task that its stream awaits was cancelled; it was not sent completely")
