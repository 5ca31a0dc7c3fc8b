"""The process that decodes: reads orders from stdin, answers on stdout, knows nothing of the rest.

Invariant: run by path in an interpreter of its own, it imports the standard library and PyAV, never
the user's program. Whatever hangs is ended by an alarm, whatever grows by a limit, whatever is left over by
the end of stdin. It says of a clip only what a decoder says that reads the proof clip right.

The first line on stdin is `{"modules": [...], "seconds": ..., "to_start": ..., "memory": ...}`, and the answer to it
`{"decoder": ..., "trouble": ...}`. Every further order is a line of JSON, `{"path": ...}` or `{"bytes": n}` with n
bytes behind it; the answer is a line of JSON, `{"facts": {...}}` with the names of `ClipFacts`, or `{"trouble": ...}`.
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
"""A clip whose facts are known; drawn by `python -m tests.support.proof_clip`."""
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
"""What must come out of it."""
LONGEST_REASON: Final = 300
NO_NEW_PRIVILEGES: Final = 38
"""`PR_SET_NO_NEW_PRIVS` of Linux."""
FORMATS: Final = "mov,mp4,m4a,3gp,3g2,mj2,avi,matroska,webm"
"""What may be opened: no playlist, which would open other files, and no text that passes for a film."""
FOR_A_PICTURE: Final = 200
"""Packets within which a picture must come."""
MOST_PACKETS: Final = 20_000
MOST_BYTES: Final = 128 << 20
"""Of a file: more than can be sent."""
MOST_SECONDS: Final = 25.0
"""Of a longer film no more is read: it is too long already, and its header says how long."""
UNEVEN: Final = 0.2
"""How much an interval may differ from the usual one."""
SELDOM: Final = 0.02
"""Share of intervals that may differ more: a camera drops a picture now and then."""


def main() -> None:
    """Answers orders until stdin ends."""
    orders, answers = sys.stdin.buffer, _answers()
    settings = json.loads(orders.readline())
    sys.path[:] = settings["modules"]
    _bound(settings["memory"])
    _renounce()
    _alarm(settings["to_start"])
    trouble = _unproven()
    _answer(answers, {"decoder": _decoder(), "trouble": trouble})
    _alarm(0)
    while not trouble and (line := orders.readline()):
        order = json.loads(line)
        content = orders.read(order["bytes"]) if "bytes" in order else None
        _alarm(settings["seconds"])
        _answer(answers, _looked(order, content))
        _alarm(0)


def _answers() -> IO[bytes]:
    """Where answers go. Whatever a library prints goes to stderr instead, where it garbles nothing."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _answer(answers: IO[bytes], answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def _looked(order: dict[str, Any], content: bytes | None) -> dict[str, Any]:
    """The facts of a clip, or why this process cannot tell them."""
    try:
        facts = _facts(order, content)
    except Exception as trouble:  # noqa: BLE001 - an API that changed raises anything, and no clip is to blame for it
        return {"trouble": _told(trouble)}
    blamed = False in (facts.get("readable"), facts.get("video"), facts.get("decodable"))
    if blamed and (why := _unproven()):
        return {"trouble": f"{why}, after a clip that it could not read"}
    return {"facts": facts}


# --- whether the decoder can be believed ------------------------------------------------------------


def _unproven() -> str:
    """Why nothing that this decoder says of a clip counts; empty where it reads the proof clip right.

    The whole clip must give its facts and one that was broken off must be refused: both ways are gone with the
    very code that reads clips.
    """
    try:
        whole = PROOF.read_bytes()
        found, broken = _read(io.BytesIO(whole)), _read(io.BytesIO(whole[: len(whole) // 2]))
    except Exception as trouble:  # noqa: BLE001 - a broken library may raise anything
        return _told(trouble)
    wrong = [
        f"{name} {found.get(name)!r} instead of {right!r}"
        for name, right in PROVEN.items()
        if _differs(found.get(name), right)
    ]
    if broken != {"readable": False}:
        wrong.append("a broken file taken for a whole one")
    return f"it misreads its proof clip ({', '.join(wrong)})"[:LONGEST_REASON] if wrong else ""


def _differs(found: Any, right: Any) -> bool:
    if isinstance(right, float) and isinstance(found, float):
        return abs(found - right) > 0.001
    return bool(found != right) or type(found) is not type(right)


def _told(trouble: Exception) -> str:
    """An error in a line; all of it goes to stderr."""
    with suppress(OSError):  # nobody empties a full stderr
        traceback.print_exc()
    said = " ".join(str(trouble).split())
    return f"{type(trouble).__name__}{': ' if said else ''}{said}"[:LONGEST_REASON]


def _decoder() -> dict[str, str]:
    """The versions, as far as the library tells them."""
    av = sys.modules.get("av")
    told = {"PyAV": getattr(av, "__version__", ""), "FFmpeg": getattr(av, "ffmpeg_version_info", "")}
    return {name: str(version) for name, version in told.items() if version}


# --- limits -----------------------------------------------------------------------------------------


def _bound(memory: int) -> None:
    """No more memory than this, where the system can be told so."""
    try:
        import resource
    except ImportError:
        return
    limits = [(resource.RLIMIT_AS, memory), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 0)]
    for kind, most in limits:
        try:
            resource.setrlimit(kind, (most, resource.getrlimit(kind)[1]))
        except (OSError, ValueError):
            continue  # a lower limit holds already, or the system has none of this kind


def _renounce() -> None:
    """Nothing that this process starts may ever have more rights than it, where the system can be told so."""
    if sys.platform == "linux":
        with suppress(ImportError, OSError, AttributeError):  # without it, it decodes as well
            import ctypes

            ctypes.CDLL(None).prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)


def _alarm(seconds: float) -> None:
    """Ends this process then, even inside a decoder: whoever gave the order may be gone by then."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _facts(order: dict[str, Any], content: bytes | None) -> dict[str, Any]:
    if content is not None:
        return _read(io.BytesIO(content))
    try:
        with open(os.fsencode(order["path"]), "rb") as file:  # noqa: PTH123 - the name may be no text
            return _read(file)
    except OSError as trouble:
        return {"unread": f"it cannot be opened: {trouble.strerror}"}


class _Bounded:
    """A file that ends early once so much of it was read: FFmpeg searches all of a damaged one for a sequel."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.left = file, MOST_BYTES
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        data = self.file.read(size) if self.left > 0 else b""
        self.left -= len(data)
        return data


def _read(file: IO[bytes]) -> dict[str, Any]:
    """The facts of a film, as far as they can be had."""
    import av.error

    bounded = _Bounded(file)
    try:
        film = _opened(bounded)
    except MemoryError:
        return {"unread": TOO_LARGE}
    except UnicodeDecodeError:
        return {"unread": "its title or another of its notes is no text that PyAV can read"}
    except (av.error.FFmpegError, ValueError):
        return {"readable": False}
    with film:
        # A cover is a picture, and no film.
        streams = [each for each in film.streams.video if not _still(each)]
        if not streams:
            return {"readable": True, "video": False}
        facts = _Film(film, streams[0], bounded).facts()
        facts["cut_short"] = facts["cut_short"] or _promised(file) > _end(file)
        return {"readable": True, "video": True, **facts}


def _opened(file: _Bounded) -> Any:
    """The film. Through a file object, never a name: FFmpeg would take some names for addresses."""
    import av

    options = {"format_whitelist": FORMATS}
    try:
        return av.open(file, "r", options=options, metadata_errors="replace")
    except TypeError:  # PyAV 19 has no such argument: it never fails for a title that is no text
        file.seek(0)
        return av.open(file, "r", options=options)


def _still(stream: Any) -> bool:
    return bool(stream.disposition & stream.disposition.attached_pic)


TOO_LARGE: Final = "it needs more memory than a look may take; make the picture smaller"


# --- how large a file says that it is ---------------------------------------------------------------


def _end(file: IO[bytes]) -> int:
    return file.seek(0, os.SEEK_END)


def _promised(file: IO[bytes]) -> int:
    """The size that the outermost boxes of a container come to; 0 where they do not tell."""
    file.seek(0)
    head = file.read(12)
    if head[:4] == b"RIFF":
        return 8 + int.from_bytes(head[4:8], "little")
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return _matroska(file)
    return _boxes(file)


def _boxes(file: IO[bytes]) -> int:
    """MP4 and MOV: a length and a name each."""
    at, end = 0, _end(file)
    while at + 8 <= end:
        file.seek(at)
        size = int.from_bytes(file.read(4), "big")
        if size == 1:
            file.seek(at + 8)
            size = int.from_bytes(file.read(8), "big")
        if size < 8:
            break  # to the end of the file, whatever that is
        at += size
    return at


def _matroska(file: IO[bytes]) -> int:
    """A header and a segment, each a name of four bytes and a length of one to eight."""
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
            return 0  # written as it came: nobody knew
        at += 4 + width + size
    return at


class _Film:
    """One video stream on its way through the reader."""

    def __init__(self, film: Any, stream: Any, file: _Bounded) -> None:
        self.film, self.stream, self.file = film, stream, file
        self.picture: Any = None
        self.memory = True
        """Whether there was enough."""
        self.whole = True
        """Whether all packets were read, and without trouble."""
        self.broken = False
        """Whether reading ended in trouble."""
        self.times: list[int] = []
        self.last = 0
        """How long the last packet lasts, in ticks."""
        self.packets = 0

    def facts(self) -> dict[str, Any]:
        context = self.stream.codec_context
        if context is not None:
            context.thread_count = 1  # threads cost memory, and one picture is all that is wanted
        self._walk(can_decode=context is not None)
        self.times.sort()
        return {
            "codec": context.name if context is not None else None,
            "decodable": self._decodable(known=context is not None),
            "seconds": self._seconds(),
            "fps": self._fps(),
            "varying": self._varying(),
            "frames": self.packets if self.whole else (self.stream.frames or None),
            "cut_short": self._cut_short(),
            "unread": "" if self.memory else TOO_LARGE,
            **self._shape(),
        }

    def _walk(self, *, can_decode: bool) -> None:
        """Reads the packets, and decodes until there is a picture."""
        for packet in self._packets():
            self.whole = self.whole and self.file.left > 0
            if can_decode and self.picture is None and self.memory and self.packets <= FOR_A_PICTURE:
                self._decode(packet)
            time = packet.pts if packet.pts is not None else packet.dts
            if time is None and not packet.size:
                continue  # the one with which demuxing ends
            self.packets += 1
            if time is not None:
                self.times.append(time)
                self.last = packet.duration or self.last
            if self.packets >= MOST_PACKETS or self._in_seconds(self._span()) > MOST_SECONDS:
                self.whole = False
                return

    def _packets(self) -> Iterator[Any]:
        import av.error

        packets = self.film.demux(self.stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, ValueError):
                self.broken, self.whole = self.file.left > 0, False
                return
            if packet is None:
                return
            self.broken = self.broken or bool(packet.is_corrupt)
            yield packet

    def _decode(self, packet: Any) -> None:
        import av.error

        try:
            self.picture = next(iter(packet.decode()), None)
        except (MemoryError, av.error.MemoryError):
            self.memory = False
        except (av.error.FFmpegError, ValueError):
            return  # a later packet may do, as after a cut

    def _decodable(self, *, known: bool) -> bool | None:
        if self.picture is not None:
            return True
        return False if known and self.memory else None

    def _span(self) -> int:
        return max(self.times) - min(self.times) if self.times and self.packets % 64 == 0 else 0

    def _in_seconds(self, ticks: float) -> float:
        return float(ticks) * float(self.stream.time_base or 1e-6)

    def _seconds(self) -> float | None:
        """As far as the pictures go; what the header says where not all of them were read."""
        if self.whole and len(self.times) > 1:
            return self._in_seconds(self.times[-1] - self.times[0] + (self.last or self._usual()))
        return self._announced() or (self._in_seconds(self.times[-1] - self.times[0]) if len(self.times) > 1 else None)

    def _announced(self) -> float | None:
        told = self._in_seconds(self.stream.duration or 0) or (self.film.duration or 0) / 1_000_000
        return told if told > 0 else None

    def _intervals(self) -> list[int]:
        return [after - before for before, after in zip(self.times, self.times[1:], strict=False)]

    def _usual(self) -> float:
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
        usual = self._usual()
        slack = max(1.5, UNEVEN * usual)  # one tick either way is rounding
        odd = sum(abs(each - usual) > slack for each in self._intervals())
        return odd > max(1, SELDOM * len(self.times))

    def _cut_short(self) -> bool:
        """Whether reading ended in trouble, or clearly before what the header says."""
        if self.broken:
            return True
        announced, there = self._announced(), self._seconds()
        late = announced is not None and there is not None and announced - there > max(0.5, 0.05 * announced)
        return self.whole and (late or self.stream.frames > self.packets + 1)

    def _shape(self) -> dict[str, Any]:
        """The picture as it is shown."""
        picture = self.picture or self.stream.codec_context
        if picture is None or not picture.width or not picture.height:
            return {}
        width, height = round(picture.width * (self.stream.sample_aspect_ratio or 1)), picture.height
        if not width:
            return {}  # pixels that are no pixels: a broken file
        if self.picture is None:  # how it is turned is told with the picture
            return {"width": width, "height": height}
        rotation = round(self.picture.rotation / 90) * 90 % 360  # a broken file may tell any angle
        if rotation % 180 == 90:
            width, height = height, width
        return {"width": width, "height": height, "rotation": rotation}


if __name__ == "__main__":
    main()
