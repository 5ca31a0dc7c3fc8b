"""Reads a multipart form from a stream as it arrives.

Invariant: memory is bounded whatever a client sends. The content of a video is hashed and dropped, except its first
bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import BodyPartReader, MultipartReader

from .messages import Form, UploadedVideo
from .video_hash import VideoHasher

try:
    from aiohttp.http_exceptions import BadHttpMessage
except ImportError:  # not a documented name; without it a form with invalid headers is an error of the emulator
    BadHttpMessage = RuntimeError  # type: ignore[assignment, misc]  # for a future version

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp import StreamReader

    Pause = Callable[[int], Awaitable[None]]

__all__ = ["read_form"]

CHUNK_BYTES = 65_536
MAX_FIELD_BYTES = 65_536
MAX_PARTS = 64


async def read_form(headers: Mapping[str, str], content: StreamReader, pause: Pause | None = None) -> Form:
    """Reads the form in `content` to its end, and awaits `pause` with the size of each chunk of the video.

    Raises ValueError for a form that is incomplete or has too many or too large fields. An exception of the stream,
    when the client disconnects, is not caught.
    """
    if not headers.get("Content-Type", "").lower().startswith("multipart/form-data"):
        raise ValueError("not a multipart form")
    try:
        return await _parts(MultipartReader(headers, content), pause)
    except (AssertionError, BadHttpMessage, RuntimeError) as error:
        # The reader raises these for malformed parts.
        raise ValueError(f"malformed form: {error}") from None


async def _parts(reader: MultipartReader, pause: Pause | None) -> Form:
    fields: dict[str, str] = {}
    video: UploadedVideo | None = None
    for _ in range(MAX_PARTS):
        part = await reader.next()
        if part is None:
            return Form(fields, video)
        if not isinstance(part, BodyPartReader) or part.name is None:
            raise ValueError("every part of the form needs a name, and no part may be a form itself")
        if part.filename is None:
            fields[part.name] = await _text(part)
        elif part.name == "video":
            video = await _video(part, part.filename, pause)
        else:
            await part.release()
    raise ValueError(f"more than {MAX_PARTS} parts")


async def _text(part: BodyPartReader) -> str:
    content = b""
    while chunk := await part.read_chunk(CHUNK_BYTES):
        content += chunk
        if len(content) > MAX_FIELD_BYTES:
            raise ValueError(f"a text field of more than {MAX_FIELD_BYTES} bytes")
    return content.decode()


async def _video(part: BodyPartReader, filename: str, pause: Pause | None) -> UploadedVideo:
    hasher = VideoHasher()
    while chunk := await part.read_chunk(CHUNK_BYTES):
        hasher.update(chunk)
        if pause is not None:
            await pause(len(chunk))
    return hasher.uploaded(filename)
