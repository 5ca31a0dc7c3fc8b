"""The program that decodes clips: it reads orders from stdin, answers on stdout, and knows nothing of the library.

Invariant: it runs by its path in an interpreter of its own and imports the standard library and PyAV, never the user's
program. A timer ends it if it hangs, resource limits bound what it uses, and it exits when stdin ends. It reports on a
clip only if its decoder reads the proof clip correctly.

The first line on stdin is `{"modules": [...], "start_seconds": ..., "memory": ...}`, and the answer is
`{"decoder": ..., "error": ...}`. Every further order is a line of JSON, `{"path": ..., "seconds": ...}`, or
`{"bytes": n, "seconds": ...}` followed by n bytes. Its answer is a line of JSON, `{"facts": {...}}` with the names of
`ClipFacts`, or `{"error": ...}`.
"""

from __future__ import annotations

import io
import json
import os
import signal
import statistics
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

PROOF: Final = Path(__file__).with_name("proof.mp4")
"""A clip with known facts, made by `python -m tests.support.proof_clip`."""
PROVEN: Final[dict[str, Any]] = {
    "readable": True,
    "video": True,
    "codec": "h264",
    "decodable": True,
    "seconds": 0.4,
    "fps": 30.0,
    "varying": False,
    "frames": 12,
    "cut_short": False,
    "unread": "",
    "width": 36,
    "height": 64,
    "rotation": 270,
}
"""The facts of the proof clip."""
MAX_REASON: Final = 300
NO_NEW_PRIVILEGES: Final = 38
"""`PR_SET_NO_NEW_PRIVS` of Linux."""
FORMATS: Final = "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm"
"""The formats that may be opened: no playlist, which would open other files, and no text that FFmpeg reads as video."""
PACKETS_TO_DECODE: Final = 200
"""A picture must come within this many packets."""
MAX_PACKETS: Final = 20_000
MAX_BYTES: Final = 128 << 20
"""Of a file: more than can be sent."""
MAX_SECONDS: Final = 25.0
"""Reading stops here: the video is too long already, and its header says how long it is."""
MAX_VARIATION: Final = 0.2
"""How far an interval may differ from the usual interval, as a share of it."""
RARE: Final = 0.02
"""The share of intervals that may differ more, because cameras drop a picture now and then."""
TOO_LARGE: Final = "it needs more memory than a check may use; make the picture smaller"


def main() -> None:
    """Answers orders until stdin ends."""
    orders, answers = sys.stdin.buffer, _take_stdout()
    settings = json.loads(orders.readline())
    sys.path[:] = settings["modules"]
    _limit_resources(settings["memory"])
    _forbid_privileges()
    _set_timer(settings["start_seconds"])
    error = _proof_error()
    _write(answers, {"decoder": _versions(), "error": error})
    _set_timer(0)
    while not error and (line := orders.readline()):
        order = json.loads(line)
        content = orders.read(order["bytes"]) if "bytes" in order else None
        _set_timer(order["seconds"])
        _write(answers, _answer(order, content))
        _set_timer(0)


def _take_stdout() -> IO[bytes]:
    """The file for answers. Whatever a library prints goes to stderr instead, where it cannot corrupt an answer."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _write(answers: IO[bytes], answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def _answer(order: dict[str, Any], content: bytes | None) -> dict[str, Any]:
    """The facts of a clip, or why this process cannot report them."""
    try:
        facts = _facts(order, content)
    except Exception as error:  # noqa: BLE001 - an API that changed raises anything, which is not the clip's fault
        return {"error": _describe(error)}
    blamed = False in (facts.get("readable"), facts.get("video"), facts.get("decodable"))
    if blamed and (problem := _proof_error()):
        return {"error": f"{problem}, after a clip that it could not read"}
    return {"facts": facts}


# --- whether the decoder can be believed ------------------------------------------------------------


def _proof_error() -> str:
    """Why nothing that this decoder reports counts; empty if it reads the proof clip correctly.

    The complete clip must give the known facts, and a truncated copy must be refused. Both are read by the code that
    reads every clip.
    """
    try:
        complete = PROOF.read_bytes()
        found, truncated = _read(io.BytesIO(complete)), _read(io.BytesIO(complete[: len(complete) // 2]))
    except Exception as error:  # noqa: BLE001 - a broken library may raise anything
        return _describe(error)
    wrong = [
        f"{name} {found.get(name)!r} instead of {expected!r}"
        for name, expected in PROVEN.items()
        if _differs(found.get(name), expected)
    ]
    if truncated != {"readable": False}:
        wrong.append("a truncated file taken for a complete one")
    return f"it misreads its proof clip ({', '.join(wrong)})"[:MAX_REASON] if wrong else ""


def _differs(found: Any, expected: Any) -> bool:
    if isinstance(expected, float) and isinstance(found, float):
        return abs(found - expected) > 0.001
    return bool(found != expected) or type(found) is not type(expected)


def _describe(error: Exception) -> str:
    """An error in one line. The traceback goes to stderr."""
    with suppress(OSError):  # stderr is full and nobody empties it
        traceback.print_exc()
    message = " ".join(str(error).split())
    return f"{type(error).__name__}{': ' if message else ''}{message}"[:MAX_REASON]


def _versions() -> dict[str, str]:
    """The versions that the library reports."""
    av = sys.modules.get("av")
    found = {"PyAV": getattr(av, "__version__", ""), "FFmpeg": getattr(av, "ffmpeg_version_info", "")}
    return {name: str(version) for name, version in found.items() if version}


# --- limits -----------------------------------------------------------------------------------------


def _limit_resources(memory: int) -> None:
    """Bounds the memory, and forbids core dumps and written files, where the system supports it."""
    try:
        import resource
    except ImportError:
        return
    limits = [(resource.RLIMIT_AS, memory), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0)]
    for kind, most in limits:
        try:
            resource.setrlimit(kind, (most, resource.getrlimit(kind)[1]))
        except (OSError, ValueError):
            continue  # a lower limit is set already, or the system does not have this limit


def _forbid_privileges() -> None:
    """Forbids this process and its children to gain rights, where the system supports it."""
    if sys.platform == "linux":
        with suppress(ImportError, OSError, AttributeError):  # decoding works without it
            import ctypes

            ctypes.CDLL(None).prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)


def _set_timer(seconds: float) -> None:
    """Ends this process after so many seconds, even inside a decoder: the parent may be gone by then. 0 disarms it."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


# --- one clip ---------------------------------------------------------------------------------------


def _facts(order: dict[str, Any], content: bytes | None) -> dict[str, Any]:
    if content is not None:
        return _read(io.BytesIO(content))
    try:
        with open(os.fsencode(order["path"]), "rb") as file:  # noqa: PTH123 - the name may not be valid text
            return _read(file)
    except OSError as error:
        return {"unread": f"it cannot be opened: {error.strerror}"}


class _BoundedFile:
    """A file that ends early once `MAX_BYTES` were read, because FFmpeg searches all of a damaged file for more."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.left = file, MAX_BYTES
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        data = self.file.read(size) if self.left > 0 else b""
        self.left -= len(data)
        return data


def _read(file: IO[bytes]) -> dict[str, Any]:
    """The facts of a video, as far as they can be read."""
    import av.error

    bounded = _BoundedFile(file)
    try:
        container = _open(bounded)
    except MemoryError:
        return {"unread": TOO_LARGE}
    except UnicodeDecodeError:
        return {"unread": "its title or another tag is not text that PyAV can read"}
    except (av.error.FFmpegError, ValueError):
        return {"readable": False}
    with container:
        streams = [each for each in container.streams.video if not _is_cover(each)]
        if not streams:
            return {"readable": True, "video": False}
        facts = _VideoStream(container, streams[0], bounded).facts()
        facts["cut_short"] = facts["cut_short"] or _declared_size(file) > _size(file)
        return {"readable": True, "video": True, **facts}


def _open(file: _BoundedFile) -> Any:
    """The container. It gets a file object and never a name, because FFmpeg would take some names for addresses."""
    import av

    options = {"format_whitelist": FORMATS}
    try:
        return av.open(file, "r", options=options, metadata_errors="replace")
    except TypeError:  # PyAV 19 has no such argument, and never fails because of an invalid title
        file.seek(0)
        return av.open(file, "r", options=options)


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & stream.disposition.attached_pic)


# --- the size that a file declares ------------------------------------------------------------------


def _size(file: IO[bytes]) -> int:
    return file.seek(0, os.SEEK_END)


def _declared_size(file: IO[bytes]) -> int:
    """The size that the outermost elements of a container add up to; 0 if they do not declare it."""
    file.seek(0)
    head = file.read(12)
    if head[:4] == b"RIFF":
        return 8 + int.from_bytes(head[4:8], "little")
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return _matroska_size(file)
    return _boxes_size(file)


def _boxes_size(file: IO[bytes]) -> int:
    """MP4 and MOV: each box has a length and a name."""
    at, end = 0, _size(file)
    while at + 8 <= end:
        file.seek(at)
        size = int.from_bytes(file.read(4), "big")
        if size == 1:
            file.seek(at + 8)
            size = int.from_bytes(file.read(8), "big")
        if size < 8:
            break  # 0: the box extends to the end of the file, whatever that is
        at += size
    return at


def _matroska_size(file: IO[bytes]) -> int:
    """A header and a segment, each with a name of four bytes and a length of one to eight bytes."""
    at = 0
    for _ in range(2):
        file.seek(at + 4)
        field = file.read(8)
        width = 9 - (field[:1] or b"\0")[0].bit_length()
        if len(field) < 8 or width > 8:
            return 0
        most = (1 << 7 * width) - 1
        size = int.from_bytes(field[:width], "big") & most
        if size == most:
            return 0  # a live recording: the length was not known when the header was written
        at += 4 + width + size
    return at


class _VideoStream:
    """Reads the packets of one video stream, and sums up its facts."""

    def __init__(self, container: Any, stream: Any, file: _BoundedFile) -> None:
        self.container, self.stream, self.file = container, stream, file
        self.picture: Any = None
        self.enough_memory = True
        self.complete = True
        """Whether all packets were read without an error."""
        self.damaged = False
        """Whether a packet was corrupt, or reading ended with an error."""
        self.times: list[int] = []
        self.last_duration = 0
        """Of the last packet, in ticks."""
        self.packets = 0

    def facts(self) -> dict[str, Any]:
        context = self.stream.codec_context
        if context is not None:
            context.thread_count = 1  # threads need memory, and only one picture is decoded
        self._read_packets(can_decode=context is not None)
        self.times.sort()
        return {
            "codec": context.name if context is not None else None,
            "decodable": self._decodable(known=context is not None),
            "seconds": self._seconds(),
            "fps": self._fps(),
            "varying": self._varying(),
            "frames": self.packets if self.complete else (self.stream.frames or None),
            "cut_short": self._cut_short(),
            "unread": "" if self.enough_memory else TOO_LARGE,
            **self._shape(),
        }

    def _read_packets(self, *, can_decode: bool) -> None:
        """Reads the packets, and decodes until there is a picture."""
        for packet in self._demuxed():
            self.complete = self.complete and self.file.left > 0
            if can_decode and self.picture is None and self.enough_memory and self.packets <= PACKETS_TO_DECODE:
                self._decode(packet)
            time = packet.pts if packet.pts is not None else packet.dts
            if time is None and not packet.size:
                continue  # the empty packet that ends demuxing
            self.packets += 1
            if time is not None:
                self.times.append(time)
                self.last_duration = packet.duration or self.last_duration
            if self.packets >= MAX_PACKETS or self._in_seconds(self._span()) > MAX_SECONDS:
                self.complete = False
                return

    def _demuxed(self) -> Iterator[Any]:
        import av.error

        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, ValueError):
                self.damaged, self.complete = self.file.left > 0, False
                return
            if packet is None:
                return
            self.damaged = self.damaged or bool(packet.is_corrupt)
            yield packet

    def _decode(self, packet: Any) -> None:
        import av.error

        try:
            self.picture = next(iter(packet.decode()), None)
        except (MemoryError, av.error.MemoryError):
            self.enough_memory = False
        except (av.error.FFmpegError, ValueError):
            return  # a later packet may be decodable, as after a cut

    def _decodable(self, *, known: bool) -> bool | None:
        if self.picture is not None:
            return True
        return False if known and self.enough_memory else None

    def _span(self) -> int:
        return max(self.times) - min(self.times) if self.times and self.packets % 64 == 0 else 0

    def _in_seconds(self, ticks: float) -> float:
        return float(ticks) * float(self.stream.time_base or 1e-6)

    def _seconds(self) -> float | None:
        """The duration of the pictures, or the declared one if not all packets were read."""
        if self.complete and len(self.times) > 1:
            return self._in_seconds(self.times[-1] - self.times[0] + (self.last_duration or self._usual_interval()))
        return self._declared() or (self._in_seconds(self.times[-1] - self.times[0]) if len(self.times) > 1 else None)

    def _declared(self) -> float | None:
        """The duration in the header."""
        declared = self._in_seconds(self.stream.duration or 0) or (self.container.duration or 0) / 1_000_000
        return declared if declared > 0 else None

    def _intervals(self) -> list[int]:
        return [after - before for before, after in zip(self.times, self.times[1:], strict=False)]

    def _usual_interval(self) -> float:
        return statistics.median(self._intervals()) if len(self.times) > 1 else 0

    def _fps(self) -> float | None:
        span = self._in_seconds(self.times[-1] - self.times[0]) if len(self.times) > 1 else 0
        if span > 0:
            return (len(self.times) - 1) / span
        return float(self.stream.average_rate) if self.stream.average_rate else None

    def _varying(self) -> bool | None:
        """Whether more than a few intervals differ from the usual one by more than a share and the rounding."""
        if len(self.times) < 3:
            return None
        usual = self._usual_interval()
        tolerance = max(1.5, MAX_VARIATION * usual)  # one tick in either direction is rounding
        outliers = sum(abs(each - usual) > tolerance for each in self._intervals())
        return outliers > max(1, RARE * len(self.times))

    def _cut_short(self) -> bool:
        """Whether the stream is damaged, or ends clearly before the end that its header declares."""
        if self.damaged:
            return True
        declared, found = self._declared(), self._seconds()
        early = declared is not None and found is not None and declared - found > max(0.5, 0.05 * declared)
        return self.complete and (early or self.stream.frames > self.packets + 1)

    def _shape(self) -> dict[str, Any]:
        """The size of the picture as it is displayed."""
        picture = self.picture or self.stream.codec_context
        if picture is None or not picture.width or not picture.height:
            return {}
        width, height = round(picture.width * (self.stream.sample_aspect_ratio or 1)), picture.height
        if not width:
            return {}  # a damaged file with an absurd pixel shape
        if self.picture is None:  # the rotation comes with the picture
            return {"width": width, "height": height}
        rotation = round(self.picture.rotation / 90) * 90 % 360  # a damaged file may have any angle
        if rotation % 180 == 90:
            width, height = height, width
        return {"width": width, "height": height, "rotation": rotation}


if __name__ == "__main__":
    main()
