"""The rules of the preflight check: the facts of a clip, compared with what the vendor accepts.

Invariant: pure. An error is a violated hard limit that the vendor documents; everything else is a warning. Every
finding says what to do, and gives an FFmpeg command if one can do it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any, Final, Literal, get_args

from attrs import frozen

from ..errors import ClipUnusable, Finding, InvalidSettings
from ..protocol.request import AnalysisRequest
from ..protocol.video_limits import (
    CONTENT_TYPES,
    LENGTH_TOLERANCE,
    MAX_BYTES,
    MAX_SECONDS,
    MAX_SHORT_SIDE,
    MIN_ACCEPTED_FPS,
    MIN_FPS,
    extension,
)
from ..protocol.views import VIEWS, view_title
from .facts import ClipFacts

__all__ = ["PREFLIGHT_LEVELS", "PreflightLevel", "blocking", "findings_for", "preflight_level", "raise_if_blocked"]

PreflightLevel = Literal["errors", "warnings", "off"]
"""Which findings stop a clip: errors, also warnings, or none."""
PREFLIGHT_LEVELS: Final[tuple[str, ...]] = get_args(PreflightLevel)


def findings_for(
    facts: ClipFacts, request: AnalysisRequest[Any, Any] | None = None, *, path: str | None = None
) -> tuple[Finding, ...]:
    """All findings on a clip for a request, errors first. Without a request the orientation is not checked.

    `path` is the file in the fix commands, if it differs from the name that is sent.
    """
    found = (
        *_name_and_size(facts, _FfmpegCommands(path or facts.name, facts)),
        *_content(facts, request, path or facts.name),
    )
    return tuple(sorted(found, key=lambda each: each.severity))


def blocking(findings: tuple[Finding, ...], level: PreflightLevel) -> tuple[Finding, ...]:
    """The findings that stop the clip at this level."""
    if level == "off":
        return ()
    return tuple(each for each in findings if each.severity == "error" or level == "warnings")


def raise_if_blocked(findings: tuple[Finding, ...], level: PreflightLevel) -> None:
    """Raises `ClipUnusable` with all findings if one of them stops the clip."""
    if not blocking(findings, level):
        return
    lines = "".join(f"\n  - {each}" for each in findings)
    raise ClipUnusable(f"The clip cannot be analyzed; nothing was sent or charged.{lines}", problems=findings)


def preflight_level(value: object) -> PreflightLevel:
    """The value as a level. Raises `InvalidSettings`."""
    for each in get_args(PreflightLevel):
        if value == each:
            level: PreflightLevel = each
            return level
    raise InvalidSettings(f"preflight must be one of {', '.join(PREFLIGHT_LEVELS)}, not {value!r}")


# --- fix commands -------------------------------------------------------------------------------


@frozen
class _FfmpegCommands:
    """FFmpeg commands for one file. FFmpeg rotates pictures before it filters them, so sizes are as displayed."""

    path: str
    facts: ClipFacts

    def command(self, *options: str, suffix: str | None = None, before: tuple[str, ...] = ()) -> str:
        """A command that writes a new file, named after the old one; `before` are options of the input."""
        old = extension(self.path)
        stem = self.path[: len(self.path) - len(old)] if old else self.path
        path, new = map(_operand, (self.path, f"{stem}-fit{suffix or old or '.mp4'}"))
        return shlex.join(("ffmpeg", *before, "-i", path, *options, new))

    def reencode(self, *filters: str, quality: int = 18) -> str:
        """A command that encodes the pictures again, as H.264 in an MP4."""
        chain = ("-vf", ",".join(filters)) if filters else ()
        return self.command(
            *chain, "-c:v", "libx264", "-crf", str(quality), "-pix_fmt", "yuv420p", "-an", suffix=".mp4"
        )

    @property
    def scale(self) -> tuple[str, ...]:
        """The filter that reduces the short side to the accepted size, if it is larger."""
        width, height = self.facts.width or 0, self.facts.height or 0
        if min(width, height) <= MAX_SHORT_SIDE:
            return ()
        return (f"scale=-2:{MAX_SHORT_SIDE}" if width >= height else f"scale={MAX_SHORT_SIDE}:-2",)


def _operand(path: str) -> str:
    return f"./{path}" if path.startswith("-") else path


# --- findings -----------------------------------------------------------------------------------


def _name_and_size(facts: ClipFacts, commands: _FfmpegCommands) -> Iterator[Finding]:
    """Findings on the name and the size."""
    if extension(facts.name) not in CONTENT_TYPES:
        wanted = ", ".join(CONTENT_TYPES)
        why = f"must end in one of {wanted}: the server recognizes the type by the extension"
        yield Finding("name", why, code="wrong_type", fix_command=commands.reencode() if facts.readable else "")
    if facts.size > MAX_BYTES:
        why = f"{facts.size:,} bytes exceed the {MAX_BYTES:,} that the server accepts; cut or compress it"
        yield Finding("size", why, code="too_big", fix_command=commands.reencode(*commands.scale, quality=23))


def _content(facts: ClipFacts, request: AnalysisRequest[Any, Any] | None, path: str) -> Iterator[Finding]:
    """Findings on the content."""
    unusable = tuple(_unusable(facts))
    yield from unusable
    if unusable:
        return
    commands = _FfmpegCommands(path, facts)
    yield from _length(facts, commands)
    yield from _container(facts, commands)
    yield from _shape(facts, request, commands)
    yield from _frame_rate(facts, commands)
    if facts.cut_short:
        why = "the file is shorter than its header says; copy it again from the camera, or keep the part that exists"
        yield _warning("clip", why, "cut_short", commands.command("-c", "copy"))
    yield from _unchecked(facts)


def _warning(name: str, message: str, code: str, fix_command: str = "") -> Finding:
    return Finding(name, message, code=code, severity="warning", fix_command=fix_command)


def _unusable(facts: ClipFacts) -> Iterator[Finding]:
    if facts.readable is False or (facts.readable is None and facts.container == ""):
        kind = f"looks like {facts.container.upper()} but" if facts.container else "is no MP4, MOV, AVI or WEBM, or"
        cause = ": an interrupted recording has no index" if facts.container in ("mp4", "mov") else ""
        cause = f": {facts.unread}" if facts.unread else cause
        yield Finding("clip", f"{kind} cannot be read{cause}; copy or export it again", code="unreadable")
    elif facts.video is False:
        yield Finding("clip", "it contains no video; send the file that does", code="no_video")
    elif facts.decodable is False:
        why = f"none of its pictures can be decoded ({facts.codec or 'unknown codec'}); copy or export it again"
        yield Finding("clip", why, code="unreadable")


def _length(facts: ClipFacts, commands: _FfmpegCommands) -> Iterator[Finding]:
    if facts.seconds is not None and facts.seconds > MAX_SECONDS + LENGTH_TOLERANCE:
        why = f"{facts.seconds:.1f} s exceed the {MAX_SECONDS:g} s that the server accepts; cut it"
        cut = commands.command("-t", f"{MAX_SECONDS:g}", "-c", "copy", before=("-ss", "0"))
        yield Finding("length", why, code="too_long", fix_command=cut)


def _container(facts: ClipFacts, commands: _FfmpegCommands) -> Iterator[Finding]:
    suffix = extension(facts.name)
    if not facts.container or suffix not in CONTENT_TYPES or suffix == f".{facts.container}":
        return
    if facts.container == "matroska":
        why = f"is named {suffix} but is a Matroska file; put the video into an MP4"
        yield _warning("name", why, "wrong_extension", commands.command("-c", "copy", suffix=".mp4"))
    else:
        why = f"is named {suffix} but is a {facts.container.upper()} file; rename it to .{facts.container}"
        yield _warning("name", why, "wrong_extension")


def _shape(facts: ClipFacts, request: AnalysisRequest[Any, Any] | None, commands: _FfmpegCommands) -> Iterator[Finding]:
    if not facts.width or not facts.height:
        return
    if min(facts.width, facts.height) > MAX_SHORT_SIDE:
        why = f"the short side of {facts.width}x{facts.height} exceeds the recommended {MAX_SHORT_SIDE} pixels"
        yield _warning("picture", why, "too_large_picture", commands.reencode(*commands.scale))
    if request is not None:
        yield from _orientation(facts, request)


def _orientation(facts: ClipFacts, request: AnalysisRequest[Any, Any]) -> Iterator[Finding]:
    portrait = VIEWS[request.view].portrait(treadmill=request.treadmill)
    wanted, other = ("portrait", "landscape") if portrait else ("landscape", "portrait")
    rule = f"a {view_title(request.view)}{' on a treadmill' if request.treadmill else ''} is filmed in {wanted}"
    if facts.width == facts.height:
        yield _warning("picture", f"{facts.width}x{facts.height} is square; {rule}", "square")
    elif ((facts.height or 0) > (facts.width or 0)) != portrait:
        why = f"{facts.width}x{facts.height} is {other}, but {rule}; film it again, or correct view and treadmill"
        yield _warning("picture", why, "orientation")


def _frame_rate(facts: ClipFacts, commands: _FfmpegCommands) -> Iterator[Finding]:
    if facts.fps is not None and facts.fps < MIN_ACCEPTED_FPS:
        why = f"{facts.fps:.3g} pictures per second are fewer than {MIN_FPS:g}; film it again, preferably with 60"
        yield _warning("frame rate", why, "slow_frame_rate")
    if facts.varying:
        why = "the time between pictures varies, which distorts speed and contact times; make it constant"
        fix = commands.reencode(f"fps={max(round(facts.fps or 0), 1)}") if facts.fps else ""
        yield _warning("frame rate", why, "varying_frame_rate", fix)


def _unchecked(facts: ClipFacts) -> Iterator[Finding]:
    if not facts.missing:
        return
    missing = ", ".join(facts.missing)
    if facts.unread and facts.readable is None:
        why = f"its content was not checked: {facts.unread}. Unknown: {missing}"
    else:
        why = f"not checked: {missing}; {facts.unread or 'the file does not say; play it before you pay for it'}"
    yield _warning("clip", why, "unchecked")
