"""A look into a clip: real videos, broken ones, and decoders that hang or die."""

# What hinders a look is remembered for the life of a process, so tests make it forget.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import gc
import io
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import pytest

from ochy_async import Clip
from ochy_async.clips import ClipSource, prepare
from ochy_async.preflight import child as program
from ochy_async.preflight import prober
from ochy_async.preflight import process as room
from ochy_async.preflight.checker import probed_facts
from ochy_async.preflight.facts import ClipFacts
from ochy_async.preflight.prober import INSTALL, MISSING, Prober
from ochy_async.preflight.rules import findings_for
from tests.conftest import CLIP
from tests.support.canary import API_KEY
from tests.support.proof_clip import render_proof_clip
from tests.support.videos import Container, sound, video

pytestmark = pytest.mark.anyio

ENDINGS: dict[Container, str] = {"mp4": ".mp4", "mov": ".mov", "avi": ".avi", "webm": ".webm", "matroska": ".mkv"}
CODECS: dict[Container, str] = {"webm": "vp8"}


async def look(source: ClipSource, name: str | None = None, **settings: Any) -> ClipFacts:
    """The facts of a clip, read by a child of its own."""
    async with Prober(**settings) as looking:
        return await probed_facts(await prepare(source, name), looking)


@pytest.mark.parametrize("container", list(ENDINGS))
async def test_every_container_tells_its_facts(container: Container) -> None:
    """All of them, exactly."""
    data = video(container, (192, 108), fps=60, frames=45)
    facts = await look(data)
    assert (facts.name, facts.size) == (f"clip{ENDINGS[container]}", len(data))
    assert (facts.container, facts.readable, facts.video, facts.decodable) == (container, True, True, True)
    assert (facts.width, facts.height, facts.rotation, facts.frames) == (192, 108, 0, 45)
    assert facts.codec == CODECS.get(container, "mpeg4")
    assert facts.seconds == pytest.approx(0.75, abs=0.002)
    assert facts.fps == pytest.approx(60, rel=0.002)
    assert (facts.varying, facts.cut_short, facts.unread, facts.missing) == (False, False, "", ())


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
async def test_a_picture_is_measured_as_it_is_shown(rotation: int) -> None:
    """Telephones film across and write down how to turn it."""
    facts = await look(video(rotation=rotation))
    assert facts.rotation == rotation
    assert (facts.width, facts.height) == ((108, 192) if rotation in (90, 270) else (192, 108))


@pytest.mark.parametrize("fps", [24, 30, 120, 240])
@pytest.mark.parametrize("container", ["mp4", "avi", "webm"])
async def test_an_even_rate_does_not_vary(container: Container, fps: int) -> None:
    """Although WEBM rounds to milliseconds, a quarter of an interval at 240."""
    facts = await look(video(container, fps=fps, frames=fps))
    assert facts.fps == pytest.approx(fps, rel=0.002)
    assert facts.varying is False


@pytest.mark.parametrize(
    ("times", "varying"),
    [
        ([20 * n + 8 * (n % 3) for n in range(60)], True),
        ([20 * n if n < 30 else 600 + 40 * (n - 30) for n in range(60)], True),
        ([20 * n + n % 2 for n in range(60)], False),
        ([20 * n + 20 * (n > 30) for n in range(60)], False),
    ],
    ids=["jitter", "two rates", "rounding", "one picture dropped"],
)
async def test_a_varying_rate_is_told_from_rounding(times: list[int], varying: bool) -> None:
    """One dropped picture is no other rate."""
    assert (await look(video(times=times))).varying is varying


@pytest.mark.parametrize(("frames", "seconds"), [(306, 10.2), (330, 11.0), (3000, 100.0)])
async def test_a_length_is_told(frames: int, seconds: float) -> None:
    """Of a very long film only the beginning is read, and the header says the rest."""
    assert (await look(video(size=(32, 32), frames=frames))).seconds == pytest.approx(seconds)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
@pytest.mark.parametrize(("container", "faststart"), [("mp4", True), ("mov", True), ("avi", False), ("webm", False)])
async def test_a_file_that_was_cut_is_told(container: Container, faststart: bool, share: float) -> None:
    """What is there can be read, and is less than what was announced."""
    whole = video(container, frames=90, faststart=faststart)
    facts = await look(whole[: int(len(whole) * share)])
    assert (facts.cut_short, facts.decodable) == (True, True)
    assert (await look(whole)).cut_short is False


async def test_a_recording_that_was_broken_off_is_unreadable() -> None:
    """Its index would have come last."""
    data = video()
    assert (await look(data[: len(data) * 2 // 3])).readable is False


@pytest.mark.parametrize(
    "data",
    [
        b"hello, this is a text\n" * 100,
        b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n",
        b"ffconcat version 1.0\nfile /etc/hostname\n",
        b"GIF89a" + bytes(1000),
        bytes(5000),
        CLIP,
        video("mpegts"),
    ],
    ids=["text", "playlist", "concat", "picture", "zeros", "signature only", "another container"],
)
async def test_what_is_no_video_is_unreadable(data: bytes) -> None:
    """Nor is any file opened that a text names."""
    facts = await look(data, "a.mp4")
    assert (facts.readable, facts.video, facts.unread) == (False, None, "")


async def test_a_film_without_pictures_is_told() -> None:
    """Sound alone."""
    facts = await look(sound())
    assert (facts.readable, facts.video, facts.decodable) == (True, False, None)


# --- from wherever it comes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["a.mp4", "-rf.mp4", "http:%2f%2fx.mp4", "concat:a|b.mp4", "Läufer 1.mp4", "a\udcff.mp4"]
)
async def test_a_file_is_read_whatever_its_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No name is taken for an address or an option, nor by a child that was started in another folder."""
    async with Prober() as looking:
        await probed_facts(await prepare(video()), looking)
        monkeypatch.chdir(tmp_path)
        (tmp_path / name).write_bytes(video())
        assert (await probed_facts(await prepare(name), looking)).frames == 30


async def slices(data: bytes) -> AsyncGenerator[bytes]:
    """Bytes as a stream."""
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


async def test_a_stream_is_read_only_if_it_can_be_opened_anew() -> None:
    """What can be read once is for sending; the reason is told."""
    data = video()
    again = await look(Clip.stream(lambda: slices(data), name="a.mp4", size=len(data)))
    assert again.frames == 30
    once = Clip.stream(slices(data), name="a.mp4", size=len(data))
    facts = await look(once)
    assert (facts.readable, facts.container) == (None, None)
    assert "only once" in facts.unread
    assert b"".join([chunk async for chunk in once.chunks()]) == data


async def test_what_a_stream_raises_is_the_callers() -> None:
    """It comes through as it is, and the child that waits for the rest is replaced."""

    async def broken() -> AsyncGenerator[bytes]:
        yield video()[:100]
        raise OSError("the camera fell")

    async with Prober() as looking:
        with pytest.raises(OSError, match="the camera fell"):
            await looking.look(ClipFacts(name="a.mp4", size=5000), None, broken)
        assert (await probed_facts(await prepare(video()), looking)).frames == 30


# --- children ------------------------------------------------------------------------------------------

linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system does not tell of processes")


def children() -> set[int]:
    """The processes that this one has started and that live."""
    found = set[int]()
    for task in Path("/proc/self/task").iterdir():
        found |= set(map(int, (task / "children").read_text().split()))
    return {each for each in found if room.CHILD.encode() in Path(f"/proc/{each}/cmdline").read_bytes()}


def environment(child: int) -> bytes:
    """What a process was given."""
    return Path(f"/proc/{child}/environ").read_bytes()


@linux
async def test_a_child_is_used_again_and_ends_with_the_block() -> None:
    """No more than two, however many looks there are at once; afterwards none is left."""
    async with Prober() as looking:
        clip = await prepare(video())
        async with anyio.create_task_group() as looks:
            for _ in range(20):
                looks.start_soon(probed_facts, clip, looking)
        first = children()
        await probed_facts(clip, looking)
        assert children() == first
        assert 1 <= len(first) <= 2
    assert children() == set()


@linux
async def test_a_child_knows_nothing_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all variables it is given those that an interpreter needs to start and to spell names; no key, no token."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", API_KEY)
    monkeypatch.setenv("LC_CTYPE", "C.UTF-8")
    async with Prober() as looking:
        assert (await probed_facts(await prepare(video()), looking)).frames == 30
        given = {each.partition(b"=")[0].decode() for child in children() for each in environment(child).split(b"\0")}
        assert "LC_CTYPE" in given
        assert given - {""} <= {"LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH"}


@linux
async def test_a_child_can_gain_no_rights_and_write_no_files() -> None:
    """What a decoder is tricked into starting has no more rights than it, and nothing grows on the disk."""
    async with Prober() as looking:
        await probed_facts(await prepare(video()), looking)
        for child in children():
            assert "NoNewPrivs:\t1\n" in told_of(child, "status")
            limits = re.findall(r"Max (file size|core file size) +(\d+)", told_of(child, "limits"))
            assert sorted(limits) == [("core file size", "0"), ("file size", "0")]


def told_of(child: int, what: str) -> str:
    """What the system tells of a process."""
    return Path(f"/proc/{child}/{what}").read_text()


@linux
@pytest.mark.parametrize("times", [1, 2])
def test_a_cancelled_closing_leaves_nothing(times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a task's own `cancel()`, which no shield keeps off: no process lives on, and no transport is open."""
    left: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: left.append(str(told.exc_value)))
    struck = list[bool]()
    for turn in (1, 2, 3, 5, 8):  # how many turns a closing takes depends on how soon a killed process is gone
        struck.append(asyncio.run(_struck(turn, times)))
        gc.collect()
        assert (children(), left) == (set(), []), f"struck at turn {turn}"
    assert any(struck)


async def _struck(turn: int, times: int) -> bool:
    """Whether a closing of two children was still under way at that turn, when it was cancelled so often."""
    loop, closing, passed = asyncio.get_running_loop(), asyncio.current_task(), 0
    looking = await Prober().__aenter__()
    looking._idle += [await room.DecoderProcess.start(5) for _ in range(2)]
    assert closing is not None

    def tick() -> None:
        nonlocal passed
        passed += 1
        if turn <= passed < turn + times:
            closing.cancel()
        if passed < turn + times:
            ticking.append(loop.call_soon(tick))

    ticking = [loop.call_soon(tick)]
    struck = False
    try:
        await looking.aclose()
    except asyncio.CancelledError:
        struck = True
    ticking[-1].cancel()
    return struck


async def test_closing_says_nothing_on_anybodys_terminal(caplog: pytest.LogCaptureFixture) -> None:
    """asyncio warns where a process that has ended is killed once more: it was reaped behind its back."""
    data = video("mp4", (64, 48), fps=30, frames=3)
    for _ in range(10):
        async with Prober() as looking, anyio.create_task_group() as looks:
            for _ in range(2):
                looks.start_soon(probed_facts, await prepare(data), looking)
    assert [
        record.message for record in caplog.records if record.name == "asyncio" and record.levelno > logging.INFO
    ] == []


@linux
async def test_a_child_that_was_killed_between_looks_is_replaced() -> None:
    """Whatever killed it, the next clip is not the worse for it."""
    async with Prober() as looking:
        clip = await prepare(video())
        async with anyio.create_task_group() as looks:
            for _ in range(2):
                looks.start_soon(probed_facts, clip, looking)
        assert len(children()) == 2
        for child in children():
            os.kill(child, signal.SIGKILL)
        assert (await probed_facts(clip, looking)).frames == 30


def child_that(does: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on a decoder behaves so once it gets a film that begins with a mark."""
    text = program_text()
    ill = f"    if file.read(4) == b'DOOM':\n        {does}\n    file.seek(0)\n"
    at = '    """The facts of a film, as far as they can be had."""\n'
    assert at in text
    replaced(folder, monkeypatch, text.replace(at, at + ill))


def program_text() -> str:
    """The child's program."""
    return Path(room.CHILD).read_text(encoding="utf-8")


def replaced(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """From here on children run this program, with the proof clip beside it."""
    path = folder / "child.py"
    path.write_text(text, encoding="utf-8")
    (folder / program.PROOF.name).write_bytes(program.PROOF.read_bytes())
    monkeypatch.setattr(room, "CHILD", str(path))


DEATHS = {
    "dies": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "leaves": "raise SystemExit",
    "babbles": "os.write(3, b'x' * 100_000)",
    "talks nonsense": "os.write(3, b'no JSON\\n')",
    "answers a list": "os.write(3, b'[]\\n')",
    "answers something else": "os.write(3, b'{}\\n')",
}


@pytest.mark.parametrize("does", DEATHS.values(), ids=DEATHS)
async def test_a_decoder_that_dies_takes_nothing_with_it(
    does: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clip is unreadable, the next one is read as ever."""
    child_that(does, tmp_path, monkeypatch)
    async with Prober() as looking:
        facts = await probed_facts(await prepare(b"DOOM" + bytes(50), "a.mp4"), looking)
        assert facts.readable is False
        assert "dies" in facts.unread
        assert (await probed_facts(await prepare(video()), looking)).frames == 30


TROUBLES = {
    "an argument that is gone": ("raise TypeError(\"open() got an unexpected keyword 'x'\")", "TypeError: open()"),
    "a name that is gone": ("import av; av.no_such_name", "AttributeError: "),
    "memory": ("bytearray(3 << 30)", "MemoryError"),
}


@pytest.mark.parametrize(("does", "why"), TROUBLES.values(), ids=TROUBLES)
async def test_an_error_of_ours_is_no_fault_of_the_clip(
    does: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not known what is in the clip, and the log tells where it broke."""
    child_that(does, tmp_path, monkeypatch)
    async with Prober() as looking:
        with caplog.at_level(logging.DEBUG, "ochy_async"):
            facts = await probed_facts(await prepare(b"DOOM" + bytes(50), "a.mp4"), looking)
        assert facts.readable is None
        assert re.match(rf"PyAV [\d.]+ could not look into it: {re.escape(why)}", facts.unread)
        assert "Traceback" in caplog.text
        assert (await probed_facts(await prepare(video()), looking)).frames == 30


async def test_what_a_library_prints_garbles_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by Python's way nor by the system's."""
    child_that("print('{}'); os.write(1, b'[]'); os.write(2, b'{}')", tmp_path, monkeypatch)
    assert (await look(b"DOOM" + bytes(50), "a.mp4")).readable is False
    assert (await look(b"DOOM" + bytes(50), "a.mp4")).unread == ""


HANGS = {"waits": "import time; time.sleep(60)", "computes": "while True: pass"}


@pytest.mark.parametrize("does", HANGS.values(), ids=HANGS)
async def test_a_decoder_that_hangs_is_ended(does: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In time, and for good; what it would have told is not known."""
    child_that(does, tmp_path, monkeypatch)
    async with Prober(0.3) as looking:
        begun = time.monotonic()
        facts = await probed_facts(await prepare(b"DOOM" + bytes(50), "a.mp4"), looking)
        assert time.monotonic() - begun < 3
        assert (facts.readable, "longer than 0.3 s" in facts.unread) == (None, True)
        assert (await probed_facts(await prepare(video()), looking)).frames == 30


@linux
async def test_a_look_that_is_cancelled_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child is ended with it, as nobody waits for its answer."""
    child_that(HANGS["waits"], tmp_path, monkeypatch)
    async with Prober() as looking:
        clip = await prepare(b"DOOM" + bytes(50), "a.mp4")
        with anyio.move_on_after(0.5):
            await probed_facts(clip, looking)
        assert children() == set()


@linux
async def test_a_child_whose_parent_is_gone_ends_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hanging or not: an alarm is set before a decoder begins."""
    child_that(HANGS["computes"], tmp_path, monkeypatch)
    process = await anyio.open_process([sys.executable, "-I", room.CHILD])
    async with process:
        assert process.stdin is not None
        order = b'{"modules": %s, "memory": 2000000000, "seconds": 0.5, "to_start": 30}\n{"bytes": 4}\nDOOM'
        await process.stdin.send(order % str(sys.path).replace("'", '"').encode())
        with anyio.move_on_after(10):
            await process.wait()
        if process.returncode is None:
            process.kill()
        assert await process.wait() == -signal.SIGALRM


async def test_a_look_leaves_the_loop_alone() -> None:
    """Others go on meanwhile."""
    stalls: list[float] = []

    async def beat() -> None:
        while True:
            before = time.monotonic()
            await anyio.sleep(0.005)
            stalls.append(time.monotonic() - before - 0.005)

    data = video(size=(1920, 1080), frames=60)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(beat)
        await look(data)
        tasks.cancel_scope.cancel()
    assert len(stalls) > 3
    assert max(stalls) < 0.25


# --- where nothing can be looked into ------------------------------------------------------------------


async def test_without_the_extra_the_signature_is_all(tmp_path: Path) -> None:
    """What was not checked comes with the command that installs what checks it."""
    facts = await look(video("mov"), hindrance=lambda: MISSING)
    assert (facts.container, facts.readable, facts.seconds) == ("mov", None, None)
    assert INSTALL in facts.unread
    path = tmp_path / "text.mp4"
    path.write_text("hello, I am a text")
    assert (await look(path, hindrance=lambda: MISSING)).container == ""


async def test_no_process_is_no_fault_of_the_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told as what it is: not known."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python-that-is-gone"))
    facts = await look(video())
    assert (facts.readable, "no process could be started" in facts.unread) == (None, True)


async def test_no_other_program_is_started_for_a_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen program, or a server with Python inside, would run itself again, and what it buys."""
    prober.unavailable_here.cache_clear()
    monkeypatch.setattr(sys, "executable", "/opt/shop/analyze-all")
    assert "no Python interpreter" in (await look(video())).unread
    prober.unavailable_here.cache_clear()


# --- a decoder proves itself ---------------------------------------------------------------------------

WHOLE = program.PROOF.read_bytes()


def test_the_proof_clip_is_small_and_still_what_it_should_be() -> None:
    """A few kilobytes, and the program that draws it draws one with the same facts today."""
    assert len(WHOLE) < 5_000
    assert [
        name for name, right in program.PROVEN.items() if program._differs(_read(render_proof_clip())[name], right)
    ] == []


def _read(content: bytes) -> dict[str, Any]:
    return program._read(io.BytesIO(content))


def fake_av(folder: Path, monkeypatch: pytest.MonkeyPatch, init: str) -> None:
    """Another PyAV is found first, of which nobody has ever heard."""
    package = folder / "fakes" / "av"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"__version__ = '99.0'\n{init}", encoding="utf-8")
    (package / "error.py").write_text("class FFmpegError(Exception): pass\nMemoryError = MemoryError\n")
    monkeypatch.syspath_prepend(str(package.parent))


def like_the_real_one(does: str) -> str:
    """A PyAV that is the real one until something is opened."""
    return f"""
import io, sys
sys.path[:] = [each for each in sys.path if not each.endswith('fakes')]
del sys.modules['av']
import av
def opened(file, mode, _open=av.open, **more):
    {does}
    return _open(file, mode, **more)
av.open, av.__version__ = opened, '99.0'
"""


def refusing(argument: str) -> str:
    """A PyAV that has no such argument."""
    return like_the_real_one(f"if {argument!r} in more: raise TypeError('open() got an unexpected argument')")


BROKEN = {
    "fails on import": ("raise ImportError('libavcodec.so.99: cannot open shared object file')", "libavcodec.so.99"),
    "is an empty package": ("", "has no attribute 'open'"),
    "takes other arguments": (refusing("options"), "TypeError: open() got an unexpected"),
    "tells nonsense": (like_the_real_one(f"file = io.BytesIO({video()!r})"), "codec 'mpeg4' instead of 'h264'"),
    "reads anything": (like_the_real_one(f"file = io.BytesIO({WHOLE!r})"), "a broken file taken for a whole one"),
    "ends the process": ("import os; os._exit(3)", "its process ended with exit code 3"),
    "crashes": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "its process ended with signal 11"),
    "wants all memory": ("bytearray(3 << 30)", "MemoryError"),
    "writes without end": ("import os; os.write(2, b'x' * 9_000_000); os._exit(3)", "exit code 3"),
}


@pytest.mark.parametrize(("init", "why"), BROKEN.values(), ids=BROKEN)
async def test_no_clip_is_blamed_for_a_broken_decoder(
    init: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Good or bad, it was not looked into, and why is told with the version, in the same words each time."""
    fake_av(tmp_path, monkeypatch, init)
    async with Prober() as looking:
        good = await probed_facts(await prepare(video()), looking)
        bad = await probed_facts(await prepare(video()[:999], "a.mp4"), looking)
    assert (good.readable, good.decodable, bad.readable) == (None, None, None)
    assert re.match(r"PyAV [\d.]+ is not usable here: ", good.unread)
    assert why in good.unread
    assert good.unread == bad.unread
    assert [each.severity for each in findings_for(good)] == ["warning"]


async def test_a_decoder_that_hangs_at_its_start_is_waited_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not once for each clip of a batch."""
    fake_av(tmp_path, monkeypatch, "import time; time.sleep(60)")
    monkeypatch.setattr(room, "TO_START", 0.5)
    begun = time.monotonic()
    async with Prober() as looking:
        found = [await probed_facts(await prepare(video()), looking) for _ in range(20)]
    assert time.monotonic() - begun < 8
    assert {(each.readable, "did not start within 0.5 s" in each.unread) for each in found} == {(None, True)}


async def test_a_decoder_that_was_mended_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that runs for weeks does not do without for a bad minute."""
    fake_av(tmp_path, monkeypatch, "import os; os._exit(3)")
    monkeypatch.setattr(prober, "UNTIL_TRIED_AGAIN", 0)
    async with Prober() as looking:
        assert (await probed_facts(await prepare(video()), looking)).readable is None
        monkeypatch.undo()
        assert (await probed_facts(await prepare(video()), looking)).frames == 30


async def test_a_version_that_nobody_has_seen_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And used if it reads the proof clip right; one argument that comes and goes is not missed."""
    fake_av(tmp_path, monkeypatch, refusing("metadata_errors"))
    async with Prober() as looking:
        assert (await probed_facts(await prepare(video()), looking)).frames == 30
        assert (await looking.decoder()).versions["PyAV"] == "99.0"


async def test_a_clip_that_spoils_the_decoder_is_not_blamed_for_what_it_says_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verdict counts only while the proof clip is still read."""
    child_that("global _opened; _opened = None", tmp_path, monkeypatch)
    async with Prober() as looking:
        facts = await probed_facts(await prepare(b"DOOM" + bytes(50), "a.mp4"), looking)
        assert facts.readable is None
        assert "could not look into it" in facts.unread
        assert (await probed_facts(await prepare(video()), looking)).frames == 30


async def test_a_verdict_of_a_decoder_that_went_wrong_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has read the proof clip once and reads nothing any more: another one is asked."""
    text = program_text()
    at = "    bounded = _Bounded(file)\n"
    ill = "    TIMES.append(0)\n    if len(TIMES) > 2: return {'readable': False}\n"
    start = 'if __name__ == "__main__":\n'
    replaced(tmp_path, monkeypatch, text.replace(at, ill + at).replace(start, f"TIMES = []\n{start}"))
    async with Prober() as looking:
        facts = await probed_facts(await prepare(video()), looking)
    assert facts.readable is None
    assert "after a clip that it could not read" in facts.unread


@pytest.mark.parametrize("does", ["raise ImportError(OWN)", "print(OWN, file=sys.stderr); os._exit(3)"])
async def test_what_a_broken_decoder_says_is_kept_in_bounds(
    does: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In the debug log and for `ochy doctor`, without addresses, control characters and the user's name."""
    monkeypatch.setenv("HOME", "/home/somebody")
    own = "https://u:secret@x/y?z \x1b[2J /home/somebody/lib " + "much " * 4000
    fake_av(tmp_path, monkeypatch, f"import os, sys\nOWN = {own!r}\n{does}")
    async with Prober() as looking:
        with caplog.at_level(logging.DEBUG, "ochy_async"):
            found = await looking.decoder()
            facts = await probed_facts(await prepare(video()), looking)
    assert 1_000 < len(found.said) <= 8_192
    assert len(facts.unread) < 500
    assert found.said in caplog.text
    everything = f"{found} {found.trouble} {facts.unread} {caplog.text}"
    assert not [each for each in ("secret", "somebody", "\x1b") if each in everything]


def open_files() -> int:
    """How many this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


@linux
async def test_no_pipe_is_left_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a child read, died or never started."""
    child_that(DEATHS["dies"], tmp_path, monkeypatch)
    await look(video())
    before = open_files()
    await look(video())
    await look(b"DOOM" + bytes(50), "a.mp4")
    fake_av(tmp_path, monkeypatch, "import os; os._exit(3)")
    await look(video())
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python-that-is-gone"))
    await look(video())
    assert open_files() == before


async def test_without_a_pipe_that_never_blocks_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a look is as good."""
    monkeypatch.setattr(room._ErrorPipe, "opened", room._ErrorPipe)
    assert (await look(video())).frames == 30
    fake_av(tmp_path, monkeypatch, "raise ImportError('gone')")
    async with Prober() as looking:
        found = await looking.decoder()
    assert (found.said, "ImportError: gone" in found.trouble) == ("", True)


def test_a_pipe_that_could_block_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows Python 3.11 has no other."""
    monkeypatch.delattr(os, "set_blocking")
    pipe = room._ErrorPipe.opened()
    assert (pipe.given, pipe.tail()) == (subprocess.DEVNULL, "")


@pytest.mark.parametrize("container", ["mp4", "avi", "matroska"])
async def test_a_title_that_is_no_text_makes_no_clip_unreadable(container: Container) -> None:
    """Old cameras write them in the letters of their country."""
    data = video(container, metadata={"title": "TITLE!"}).replace(b"TITLE!", b"L\xe4\xe4ufer"[:6])
    assert b"L\xe4\xe4u" in data
    facts = await look(data)
    assert (facts.readable, facts.frames) == (True, 30)
