"""Whether a clip is worth a credit: what is known of it, against what the vendor takes.

Invariant: pure; an error is a documented hard limit and nothing else, all else is a warning. Every
finding says what to do, and gives the command that does it where one can.
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

__all__ = [
    "PREFLIGHT_LEVELS",
    "PreflightLevel",
    "blocking",
    "findings_for",
    "preflight_level",
    "raise_if_blocked",
]

PreflightLevel = Literal["errors", "warnings", "off"]
"""What stops a clip: errors, warnings too, or nothing."""
PREFLIGHT_LEVELS: Final[tuple[str, ...]] = get_args(PreflightLevel)


def findings_for(
    facts: ClipFacts, request: AnalysisRequest[Any, Any] | None = None, *, path: str | None = None
) -> tuple[Finding, ...]:
    """All that is wrong with a clip for a request, the errors first; without one its view is not judged.

    `path` is the file for the commands that mend, where it is not the name that is sent.
    """
    found = (*_size(facts, _FfmpegCommands(path or facts.name, facts)), *_content(facts, request, path or facts.name))
    return tuple(sorted(found, key=lambda each: each.severity))


def blocking(findings: tuple[Finding, ...], stops: PreflightLevel) -> tuple[Finding, ...]:
    """The findings for which a clip is not sent."""
    if stops == "off":
        return ()
    return tuple(each for each in findings if each.severity == "error" or stops == "warnings")


def raise_if_blocked(findings: tuple[Finding, ...], stops: PreflightLevel) -> None:
    """Raises `ClipUnusable` with all findings at once if one of them stops the clip."""
    if not blocking(findings, stops):
        return
    lines = "".join(f"\n  - {each}" for each in findings)
    raise ClipUnusable(f"The clip cannot be analyzed; nothing was sent or charged.{lines}", problems=findings)


def preflight_level(value: object) -> PreflightLevel:
    """What stops a clip, checked. Raises `InvalidSettings`."""
    for each in get_args(PreflightLevel):
        if value == each:
            stops: PreflightLevel = each
            return stops
    raise InvalidSettings(f"preflight must be one of {', '.join(PREFLIGHT_LEVELS)}, not {value!r}")


# --- commands that mend -------------------------------------------------------------------------


@frozen
class _FfmpegCommands:
    """FFmpeg's words for one file. Pictures are turned upright before any filter, so sizes are as they are shown."""

    path: str
    facts: ClipFacts

    def make(self, *words: str, ending: str | None = None, before: tuple[str, ...] = ()) -> str:
        """The command; the new file is named after the old one."""
        dot = extension(self.path)
        stem = self.path[: len(self.path) - len(dot)] if dot else self.path
        path, new = map(_operand, (self.path, f"{stem}-fit{ending or dot or '.mp4'}"))
        return shlex.join(("ffmpeg", *before, "-i", path, *words, new))

    def coded(self, *filters: str, quality: int = 18) -> str:
        """Makes the pictures anew."""
        chain = ("-vf", ",".join(filters)) if filters else ()
        return self.make(*chain, "-c:v", "libx264", "-crf", str(quality), "-pix_fmt", "yuv420p", "-an", ending=".mp4")

    @property
    def smaller(self) -> tuple[str, ...]:
        """The filter that brings the short side down to what is taken."""
        width, height = self.facts.width or 0, self.facts.height or 0
        if min(width, height) <= MAX_SHORT_SIDE:
            return ()
        return (f"scale=-2:{MAX_SHORT_SIDE}" if width >= height else f"scale={MAX_SHORT_SIDE}:-2",)


def _operand(path: str) -> str:
    return f"./{path}" if path.startswith("-") else path


# --- what is wrong ------------------------------------------------------------------------------


def _size(facts: ClipFacts, commands: _FfmpegCommands) -> Iterator[Finding]:
    """By name and size alone."""
    if extension(facts.name) not in CONTENT_TYPES:
        wanted = ", ".join(CONTENT_TYPES)
        why = f"must end in one of {wanted}: the server judges the type by the extension"
        yield Finding("name", why, code="wrong_type", fix_command=commands.coded() if facts.readable else "")
    if facts.size > MAX_BYTES:
        why = f"{facts.size:,} bytes are more than the {MAX_BYTES:,} that the server takes; cut or compress it"
        yield Finding("size", why, code="too_big", fix_command=commands.coded(*commands.smaller, quality=23))


def _content(facts: ClipFacts, request: AnalysisRequest[Any, Any] | None, path: str) -> Iterator[Finding]:
    """By what was read of it."""
    broken = tuple(_broken(facts))
    yield from broken
    if broken:
        return
    commands = _FfmpegCommands(path, facts)
    yield from _length(facts, commands)
    yield from _kind(facts, commands)
    yield from _shape(facts, request, commands)
    yield from _pace(facts, commands)
    if facts.cut_short:
        why = "the file ends before what it announces; copy it again from the camera, or keep what is there"
        yield _warning("clip", why, "cut_short", commands.make("-c", "copy"))
    yield from _unknown(facts)


def _warning(name: str, message: str, code: str, fix_command: str = "") -> Finding:
    return Finding(name, message, code=code, severity="warning", fix_command=fix_command)


def _broken(facts: ClipFacts) -> Iterator[Finding]:
    if facts.readable is False or (facts.readable is None and facts.container == ""):
        kind = f"looks like {facts.container.upper()} and" if facts.container else "is no MP4, MOV, AVI or WEBM, or"
        end = ": a recording that was broken off has no index" if facts.container in ("mp4", "mov") else ""
        end = f": {facts.unread}" if facts.unread else end
        yield Finding("clip", f"{kind} cannot be read{end}; copy or export it again", code="unreadable")
    elif facts.video is False:
        yield Finding("clip", "there is no video in it; send the file with the picture", code="no_video")
    elif facts.decodable is False:
        why = f"no picture of it can be decoded ({facts.codec or 'unknown codec'}); copy or export it again"
        yield Finding("clip", why, code="unreadable")


def _length(facts: ClipFacts, commands: _FfmpegCommands) -> Iterator[Finding]:
    if facts.seconds is not None and facts.seconds > MAX_SECONDS + LENGTH_TOLERANCE:
        why = f"{facts.seconds:.1f} s are more than the {MAX_SECONDS:g} s that the server takes; cut it"
        cut = commands.make("-t", f"{MAX_SECONDS:g}", "-c", "copy", before=("-ss", "0"))
        yield Finding("length", why, code="too_long", fix_command=cut)


def _kind(facts: ClipFacts, commands: _FfmpegCommands) -> Iterator[Finding]:
    named = extension(facts.name)
    if not facts.container or named not in CONTENT_TYPES or named == f".{facts.container}":
        return
    if facts.container == "matroska":
        why = f"is named {named} and is a Matroska file; put the video into an MP4"
        yield _warning("name", why, "wrong_extension", commands.make("-c", "copy", ending=".mp4"))
    else:
        why = f"is named {named} and is a {facts.container.upper()} file; name it .{facts.container}"
        yield _warning("name", why, "wrong_extension")


def _shape(facts: ClipFacts, request: AnalysisRequest[Any, Any] | None, commands: _FfmpegCommands) -> Iterator[Finding]:
    if not facts.width or not facts.height:
        return
    if min(facts.width, facts.height) > MAX_SHORT_SIDE:
        why = (
            f"the short side of {facts.width}x{facts.height} is more than the {MAX_SHORT_SIDE} pixels that are advised"
        )
        yield _warning("picture", why, "too_large_picture", commands.coded(*commands.smaller))
    if request is not None:
        yield from _orientation(facts, request)


def _orientation(facts: ClipFacts, request: AnalysisRequest[Any, Any]) -> Iterator[Finding]:
    upright = VIEWS[request.view].portrait(treadmill=request.treadmill)
    wanted = "portrait" if upright else "landscape"
    what = f"a {view_title(request.view)}{' on a treadmill' if request.treadmill else ''} is filmed in {wanted}"
    if facts.width == facts.height:
        yield _warning("picture", f"{facts.width}x{facts.height} is square; {what}", "square")
    elif ((facts.height or 0) > (facts.width or 0)) != upright:
        shape = "landscape" if upright else "portrait"
        why = f"{facts.width}x{facts.height} is {shape}, and {what}; film it so, or correct view and treadmill"
        yield _warning("picture", why, "orientation")


def _pace(facts: ClipFacts, commands: _FfmpegCommands) -> Iterator[Finding]:
    if facts.fps is not None and facts.fps < MIN_ACCEPTED_FPS:
        why = f"{facts.fps:.3g} pictures per second are fewer than {MIN_FPS:g}; film again, best with 60"
        yield _warning("frame rate", why, "slow_frame_rate")
    if facts.varying:
        why = "the time between pictures varies, and speed and contact times are told by it; even it out"
        even = commands.coded(f"fps={max(round(facts.fps or 0), 1)}") if facts.fps else ""
        yield _warning("frame rate", why, "varying_frame_rate", even)


def _unknown(facts: ClipFacts) -> Iterator[Finding]:
    if not facts.missing:
        return
    what = ", ".join(facts.missing)
    if facts.unread and facts.readable is None:
        why = f"not looked into: {facts.unread}. Not known: {what}"
    else:
        why = f"not checked: {what}; {facts.unread or 'the file does not tell; play it, and look before you pay'}"
    yield _warning("clip", why, "unchecked")
