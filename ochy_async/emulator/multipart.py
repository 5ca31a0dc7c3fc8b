"""Reading a multipart form from a stream, as it comes.

Invariant: the content of a video is hashed and dropped; memory holds a small head of it and
nothing grows with what a stranger sends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import BodyPartReader, MultipartReader

from .messages import Form, UploadedVideo
from .video_hash import VideoHasher

try:
    from aiohttp.http_exceptions import BadHttpMessage
except ImportError:  # it is not documented; without it a form with odd headers is a fault of the emulator's
    BadHttpMessage = RuntimeError  # type: ignore[assignment, misc]  # for some version to come

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp import StreamReader

    Pause = Callable[[int], Awaitable[None]]

__all__ = ["read_form"]

CHUNK_BYTES = 65_536
FIELD_BYTES = 65_536
MOST_PARTS = 64


async def read_form(headers: Mapping[str, str], content: StreamReader, pause: Pause | None = None) -> Form:
    """The form in `content`, read to its end; `pause` is awaited with the size of each chunk of the video.

    Raises ValueError when it is not a whole multipart form or has too many or too large fields. What
    the stream itself raises when the client goes away comes through.
    """
    if not headers.get("Content-Type", "").lower().startswith("multipart/form-data"):
        raise ValueError("not a multipart form")
    try:
        return await _parts(MultipartReader(headers, content), pause)
    except (AssertionError, BadHttpMessage, RuntimeError) as problem:
        # So the reader says that the parts do not add up.
        raise ValueError(f"malformed form: {problem}") from None


async def _parts(reader: MultipartReader, pause: Pause | None) -> Form:
    fields: dict[str, str] = {}
    video: UploadedVideo | None = None
    for _ in range(MOST_PARTS):
        part = await reader.next()
        if part is None:
            return Form(fields, video)
        if not isinstance(part, BodyPartReader) or part.name is None:
            raise ValueError("every part of the form needs a name and none may be a form itself")
        if part.filename is None:
            fields[part.name] = await _text(part)
        elif part.name == "video":
            video = await _video(part, part.filename, pause)
        else:
            await part.release()
    raise ValueError(f"more than {MOST_PARTS} parts")


async def _text(part: BodyPartReader) -> str:
    told = b""
    while chunk := await part.read_chunk(CHUNK_BYTES):
        told += chunk
        if len(told) > FIELD_BYTES:
            raise ValueError(f"a text field of more than {FIELD_BYTES} bytes")
    return told.decode()


async def _video(part: BodyPartReader, filename: str, pause: Pause | None) -> UploadedVideo:
    digester = VideoHasher()
    while chunk := await part.read_chunk(CHUNK_BYTES):
        digester.feed(chunk)
        if pause is not None:
            await pause(len(chunk))
    return digester.video(filename)
