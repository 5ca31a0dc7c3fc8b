"""A video to send: a path, bytes, an open binary file, or an async byte stream of known size.

Invariant: a clip is opened anew for each attempt, handed over whole or not at all, and never
closed if it is the caller's. No read that could wait happens on the event loop: there only what the
system has in memory is taken, and threads wait for the disk.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import threading
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import ExitStack, aclosing, asynccontextmanager
from pathlib import Path, PurePath
from typing import IO, Any, Final, cast

from anyio import CancelScope, to_thread
from anyio.lowlevel import checkpoint
from attrs import evolve, field, frozen

from .cancellation import cancelled_elsewhere
from .errors import ClipUnusable, Finding
from .protocol.containers import SIGNATURE_BYTES, container_of
from .protocol.video_limits import CONTENT_TYPES, extension

__all__ = ["Clip", "ClipSource", "digest", "prepare", "safe_name", "verified"]

CHUNK: Final = 256 * 1024
"""Bytes read at a time."""
NOWAIT: Final[int | None] = getattr(os, "RWF_NOWAIT", None)
"""Asks the system for a read that never waits; Linux has it."""

Chunks = Callable[[], AsyncGenerator[bytes]]


@frozen
class Clip:
    """A video that is ready to be sent, as often as it takes."""

    name: str
    """The name that is sent: plain ASCII, with the extension by which the server judges the type."""
    size: int
    """Bytes."""
    chunks: Chunks = field(repr=False, eq=False)
    """Opens the content anew; exactly `size` bytes, or `ClipUnusable` before the last chunk. See `Upload.chunks`."""
    path: Path | None = field(default=None, repr=False, eq=False)
    """The file that it is, if it is one."""
    once: bool = field(default=False, repr=False, eq=False)
    """Whether the content can be read only once, so that nobody may look into it before it is sent."""

    @property
    def content_type(self) -> str:
        """The media type that goes with the extension."""
        return CONTENT_TYPES.get(extension(self.name), "application/octet-stream")

    @classmethod
    def stream(cls, source: AsyncIterable[bytes] | Callable[[], AsyncIterable[bytes]], *, name: str, size: int) -> Clip:
        """A clip that arrives as it is sent. `size` must be exact.

        Pass a function that opens the stream anew and a broken upload can be tried again; a bare
        stream can be read only once, so then the first trouble is final.
        """
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise _unusable("size", "must be the exact number of bytes")
        once = not callable(source)
        opening = source if callable(source) else _once(source)
        return cls(safe_name(name), size, lambda: _exactly(opening(), size), once=once)


ClipSource = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | Clip
"""Whatever a clip can be made of. A file is read from its current position, and not closed."""


async def prepare(source: ClipSource, name: str | None = None) -> Clip:
    """The clip that `source` is. Whether the vendor takes it is judged elsewhere.

    Raises `ClipUnusable` for what cannot be sent at all: missing, empty, no regular file.
    """
    if name is not None and not isinstance(name, str):
        raise _unusable("name", "must be a text")
    clip = await _clip(source, name)
    if clip.size <= 0:  # nobody could tell afterwards whether all of nothing had been sent
        raise _unusable("size", "the clip is empty; copy it again from the camera", code="empty")
    return clip


async def _clip(source: ClipSource, name: str | None) -> Clip:
    if isinstance(source, Clip):
        return source if name is None else evolve(source, name=safe_name(name))
    if isinstance(source, str | os.PathLike):
        return await _path_clip(Path(source), name)
    if isinstance(source, bytes | bytearray | memoryview):
        content = bytes(source)
        return Clip(safe_name(name or f"clip{sniff(content)}"), len(content), lambda: _slices(content))
    if hasattr(source, "read") and hasattr(source, "seek"):
        return await _file_clip(source, name)
    raise _unusable("clip", f"is a {type(source).__name__}; give a path, bytes, an open binary file or Clip.stream(…)")


def _unusable(what: str, why: str, code: str = "unusable") -> ClipUnusable:
    problem = Finding(what, why, code=code)
    return ClipUnusable(f"The clip cannot be sent; nothing was sent or charged.\n  - {problem}", problems=(problem,))


async def digest(clip: Clip) -> str:
    """The SHA-256 of the content, in hex. Reads all of it, chunk by chunk. Raises `ClipUnusable`."""
    sha = hashlib.sha256()
    async with aclosing(_content(clip)) as chunks:
        async for chunk in chunks:
            sha.update(chunk)
            await checkpoint()
    return sha.hexdigest()


def verified(clip: Clip, expected: str) -> Clip:
    """The clip, never completed unless its content still has the `expected` SHA-256.

    Whatever else goes wrong with the content raises `ClipUnusable` too, so that one bad source among many
    is told like any other.
    """
    return evolve(clip, chunks=lambda: _same(clip, expected))


async def _same(clip: Clip, expected: str) -> AsyncGenerator[bytes]:
    """Passes on all chunks but the last, and that only once the whole is known to be right."""
    sha, total, last = hashlib.sha256(), 0, b""
    async with aclosing(_content(clip)) as chunks:
        async for chunk in chunks:
            sha.update(chunk)
            total += len(chunk)
            if total < clip.size:
                yield chunk
            else:
                last = chunk
    if sha.hexdigest() != expected:
        raise _unusable("clip", "its content changed since it was checked; it was not sent whole")
    yield last


async def _content(clip: Clip) -> AsyncGenerator[bytes]:
    """The content; what a caller's own stream raises is a `ClipUnusable` here."""
    async with aclosing(clip.chunks()) as chunks:
        while chunk := await _next(chunks):
            yield chunk


async def _next(chunks: AsyncGenerator[bytes]) -> bytes:
    try:
        with cancelled_elsewhere(_cancelled):
            return await anext(chunks, b"")
    except ClipUnusable:
        raise
    except Exception as trouble:  # noqa: BLE001 - a caller's own stream may raise anything
        kind = type(trouble).__name__
    raise _unusable("clip", f"its stream raised a {kind}; it was not sent whole")


# --- names --------------------------------------------------------------------------------------

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST: Final = 100


def safe_name(name: str) -> str:
    """A file name that no header, shell or file system can misread: `[A-Za-z0-9._-]`, 100 at most.

    The extension stays, in lower case; directories, quotes, line breaks and leading dots go.
    """
    last = PurePath(name.replace("\\", "/")).name
    ending = extension(last) or (last.lower() if last.lower() in CONTENT_TYPES else "")
    stem = _plain(last[: len(last) - len(ending)]).strip("._-")
    ending = _plain(ending)[:16]
    return f"{stem[: _LONGEST - len(ending)].rstrip('._-') or 'clip'}{ending}"


def _plain(text: str) -> str:
    return _UNSAFE.sub("_", unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode())


def sniff(content: bytes) -> str:
    """The extension that goes with the content's container signature, or an empty text."""
    container = container_of(content[:SIGNATURE_BYTES])
    return {"": "", "matroska": ".mkv"}.get(container, f".{container}")


# --- contents -----------------------------------------------------------------------------------


async def _slices(content: bytes) -> AsyncGenerator[bytes]:
    for start in range(0, len(content), CHUNK):
        yield content[start : start + CHUNK]


async def _path_clip(path: Path, name: str | None) -> Clip:
    try:
        facts = await to_thread.run_sync(path.stat, abandon_on_cancel=True)
    except (OSError, ValueError) as trouble:
        why = trouble.strerror if isinstance(trouble, OSError) else "not a usable path"
        raise _unusable("path", f"{path.name!r} cannot be opened: {why}") from None
    if not stat.S_ISREG(facts.st_mode):
        raise _unusable("path", f"{path.name!r} is not a regular file")
    size = facts.st_size
    return Clip(safe_name(name or path.name), size, lambda: _exactly(_read_path(path, facts), size), path=path)


async def _read_path(path: Path, expected: os.stat_result) -> AsyncGenerator[bytes]:
    """The file in chunks, checked before and after: a file that changes meanwhile is never completed."""
    try:
        file = await to_thread.run_sync(_opened, path, expected)
    except OSError as trouble:
        raise _unusable("path", f"{path.name!r} cannot be opened: {trouble.strerror}") from None
    position = 0
    try:
        while position < expected.st_size and (
            chunk := read_cached(file, position) or await _read(read_blocking, file, position)
        ):
            position += len(chunk)
            yield chunk
        await to_thread.run_sync(_closed, file, expected)
    finally:
        if not file.closed:
            with CancelScope(shield=True):  # a read that hangs would else hold the loop here
                await to_thread.run_sync(file.close)


def _opened(path: Path, expected: os.stat_result) -> IO[bytes]:
    """Without waiting for whoever would write, if the path leads to a pipe by now."""
    with ExitStack() as stack:
        quick = getattr(os, "O_NONBLOCK", 0)
        file = stack.enter_context(open(path, "rb", opener=lambda name, flags: os.open(name, flags | quick)))
        _unchanged(file, expected)
        stack.pop_all()
    return file


def _closed(file: IO[bytes], expected: os.stat_result) -> None:
    with file:
        _unchanged(file, expected)


def _unchanged(file: IO[bytes], expected: os.stat_result) -> None:
    now = os.fstat(file.fileno())
    if (now.st_size, now.st_mtime_ns, now.st_ino) != (expected.st_size, expected.st_mtime_ns, expected.st_ino):
        raise _unusable("path", "the file changed while it was being sent; wait until it is written, then try again")


def read_cached(file: IO[bytes], position: int) -> bytes:
    """What the system has in memory of the next chunk; nothing where the disk would have to be waited for.

    A thread costs more than such a read. Nothing is ever at hand where the system cannot tell.
    """
    if NOWAIT is None:
        return b""
    buffer = bytearray(CHUNK)
    try:
        count = os.preadv(file.fileno(), [buffer], position, NOWAIT)
    except OSError:  # it would have to wait, or this file system cannot tell: a thread will see
        return b""
    del buffer[count:]
    return cast("bytes", buffer)  # see `Upload.chunks`: bytes of its own would take half as long again


def read_blocking(file: IO[bytes], position: int) -> bytes:
    file.seek(position)
    return file.read(CHUNK)


async def _read(read: Callable[..., bytes], *args: Any) -> bytes:
    """Reads in a thread. Raises `ClipUnusable` for what the disk, or a closed file, raises."""
    try:
        return await to_thread.run_sync(read, *args)
    except ClipUnusable:
        raise
    except (OSError, ValueError) as trouble:
        why = getattr(trouble, "strerror", None) or "it was closed"
    raise _unusable("clip", f"could not be read to its end: {why}; it was not sent whole")


async def _file_clip(file: IO[bytes], name: str | None) -> Clip:
    try:
        start, size, head = await to_thread.run_sync(_measure, file)
    except ClipUnusable:
        raise
    except (OSError, ValueError):
        why = "cannot be rewound; use Clip.stream(…, size=…) for what can be read only once"
        raise _unusable("file", why) from None
    given = name or getattr(file, "name", None)
    if not isinstance(given, str):
        given = f"clip{sniff(head)}"
    return Clip(safe_name(given), size, lambda: _exactly(_read_file(file, start, size), size))


# One file may be given to several starts at once. Whoever moves its position does so under this lock
# and puts it back, so that each reads what it means to read; a read takes a fraction of a millisecond.
_MOVING = threading.Lock()


def _measure(file: IO[bytes]) -> tuple[int, int, bytes]:
    """(position, bytes from there to the end, the first few of them)."""
    with _MOVING:
        start = file.tell()
        end = file.seek(0, os.SEEK_END)
        file.seek(start)
        try:
            return start, end - start, _binary(file.read(SIGNATURE_BYTES))
        finally:
            file.seek(start)


def _read_at(file: IO[bytes], position: int, count: int) -> bytes:
    with _MOVING:
        before = file.tell()
        file.seek(position)
        try:
            return _binary(file.read(count))
        finally:
            file.seek(before)


def _binary(data: bytes) -> bytes:
    if not isinstance(data, bytes):
        raise _unusable("file", "must be opened in binary mode")
    return data


async def _read_file(file: IO[bytes], start: int, size: int) -> AsyncGenerator[bytes]:
    """Reads from `start`, wherever the file's position is, and leaves that as it is."""
    position, end = start, start + size
    while position < end and (chunk := await _read(_read_at, file, position, min(CHUNK, end - position))):
        position += len(chunk)
        yield chunk
    if grown := await _read(_read_at, file, end, 1):
        yield grown  # one byte too many: the clip is not completed


def _once(stream: AsyncIterable[bytes]) -> Callable[[], AsyncIterable[bytes]]:
    left = [stream]

    def opening() -> AsyncIterable[bytes]:
        if not left:
            raise _unusable("stream", "was read already and cannot be sent again; pass a function that opens it anew")
        return left.pop()

    return opening


@asynccontextmanager
async def _closing(source: AsyncIterable[bytes]) -> AsyncGenerator[None]:
    """Closes a generator with the block, so that no file waits for the garbage collector."""
    try:
        yield
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()


async def _exactly(source: AsyncIterable[bytes], size: int) -> AsyncGenerator[bytes]:
    """Passes on `size` bytes; the chunk that completes them goes only once nothing came after it."""
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
        few = "more" if total > size else "fewer"
        raise _unusable("size", f"the content has {few} bytes than the {size:,} announced; it was not sent whole")
    yield last


def _cancelled() -> ClipUnusable:
    return _unusable("clip", "what its stream awaits was cancelled elsewhere; it was not sent whole")
