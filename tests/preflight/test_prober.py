"""Probing clips: real videos, damaged ones, and decoders that hang or die."""

# Whether clips can be probed is cached for the life of a process, so tests clear the cache.
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
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from ochy_async import Clip
from ochy_async.clips import ClipSource, prepare
from ochy_async.preflight import child as program
from ochy_async.preflight import prober, process
from ochy_async.preflight.checker import probed_facts
from ochy_async.preflight.facts import ClipFacts
from ochy_async.preflight.prober import INSTALL, MISSING, Prober
from ochy_async.preflight.rules import findings_for
from tests.conftest import CLIP
from tests.support.canary import API_KEY
from tests.support.proof_clip import render_proof_clip
from tests.support.videos import Container, sound, video

pytestmark = pytest.mark.anyio

EXTENSIONS: dict[Container, str] = {"mp4": ".mp4", "mov": ".mov", "avi": ".avi", "webm": ".webm", "matroska": ".mkv"}
CODECS: dict[Container, str] = {"webm": "vp8"}


async def probe(source: ClipSource, name: str | None = None, **settings: Any) -> ClipFacts:
    """The facts of a clip, read by a new child."""
    async with Prober(**settings) as probing:
        return await probed_facts(await prepare(source, name), probing)


@pytest.mark.parametrize("container", list(EXTENSIONS))
async def test_all_facts_of_every_container_are_read(container: Container) -> None:
    """All facts are exact."""
    data = video(container, (192, 108), fps=60, frames=45)
    facts = await probe(data)
    assert (facts.name, facts.size) == (f"clip{EXTENSIONS[container]}", len(data))
    assert (facts.container, facts.readable, facts.video, facts.decodable) == (container, True, True, True)
    assert (facts.width, facts.height, facts.rotation, facts.frames) == (192, 108, 0, 45)
    assert facts.codec == CODECS.get(container, "mpeg4")
    assert facts.seconds == pytest.approx(0.75, abs=0.002)
    assert facts.fps == pytest.approx(60, rel=0.002)
    assert (facts.varying, facts.cut_short, facts.unread, facts.missing) == (False, False, "", ())


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
async def test_the_size_is_that_of_the_displayed_picture(rotation: int) -> None:
    """Phones film in landscape and store the rotation."""
    facts = await probe(video(rotation=rotation))
    assert facts.rotation == rotation
    assert (facts.width, facts.height) == ((108, 192) if rotation in (90, 270) else (192, 108))


@pytest.mark.parametrize("fps", [24, 30, 120, 240])
@pytest.mark.parametrize("container", ["mp4", "avi", "webm"])
async def test_a_constant_rate_does_not_vary(container: Container, fps: int) -> None:
    """This holds although WEBM rounds to milliseconds, a quarter of an interval at 240 pictures per second."""
    facts = await probe(video(container, fps=fps, frames=fps))
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
async def test_a_varying_rate_is_distinguished_from_rounding(times: list[int], varying: bool) -> None:
    """A single dropped picture is not a varying rate."""
    assert (await probe(video(times=times))).varying is varying


@pytest.mark.parametrize(("frames", "seconds"), [(306, 10.2), (330, 11.0), (3000, 100.0)])
async def test_the_length_is_read(frames: int, seconds: float) -> None:
    """Of a very long video only the beginning is read, and the header says the rest."""
    assert (await probe(video(size=(32, 32), frames=frames))).seconds == pytest.approx(seconds)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
@pytest.mark.parametrize(("container", "faststart"), [("mp4", True), ("mov", True), ("avi", False), ("webm", False)])
async def test_a_truncated_file_is_recognized(container: Container, faststart: bool, share: float) -> None:
    """Its beginning can be read, and is shorter than its header says."""
    complete = video(container, frames=90, faststart=faststart)
    facts = await probe(complete[: int(len(complete) * share)])
    assert (facts.cut_short, facts.decodable) == (True, True)
    assert (await probe(complete)).cut_short is False


async def test_an_interrupted_recording_is_unreadable() -> None:
    """Its index would have been written last."""
    data = video()
    assert (await probe(data[: len(data) * 2 // 3])).readable is False


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
async def test_a_file_that_is_no_video_is_unreadable(data: bytes) -> None:
    """Files that a playlist names are not opened."""
    facts = await probe(data, "a.mp4")
    assert (facts.readable, facts.video, facts.unread) == (False, None, "")


async def test_a_file_without_pictures_is_recognized() -> None:
    """It holds sound only."""
    facts = await probe(sound())
    assert (facts.readable, facts.video, facts.decodable) == (True, False, None)


# --- sources -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["a.mp4", "-rf.mp4", "http:%2f%2fx.mp4", "concat:a|b.mp4", "Läufer 1.mp4", "a\udcff.mp4"]
)
async def test_a_file_is_read_whatever_its_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No name is taken for an address or an option, and a child that was started in another folder finds the file."""
    async with Prober() as probing:
        await probed_facts(await prepare(video()), probing)
        monkeypatch.chdir(tmp_path)
        (tmp_path / name).write_bytes(video())
        assert (await probed_facts(await prepare(name), probing)).frames == 30


async def slices(data: bytes) -> AsyncGenerator[bytes]:
    """Bytes as a stream."""
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


async def test_a_stream_is_probed_only_if_it_can_be_reopened() -> None:
    """A stream that can be read once is reserved for sending, and the facts say so."""
    data = video()
    again = await probe(Clip.stream(lambda: slices(data), name="a.mp4", size=len(data)))
    assert again.frames == 30
    once = Clip.stream(slices(data), name="a.mp4", size=len(data))
    facts = await probe(once)
    assert (facts.readable, facts.container) == (None, None)
    assert "only once" in facts.unread
    assert b"".join([chunk async for chunk in once.chunks()]) == data


async def test_an_error_of_a_stream_reaches_the_caller() -> None:
    """It is raised unchanged, and the child that waits for the rest is replaced."""

    async def broken() -> AsyncGenerator[bytes]:
        yield video()[:100]
        raise OSError("the camera fell")

    async with Prober() as probing:
        with pytest.raises(OSError, match="the camera fell"):
            await probing.probe(ClipFacts(name="a.mp4", size=5000), None, broken)
        assert (await probed_facts(await prepare(video()), probing)).frames == 30


# --- children ------------------------------------------------------------------------------------------

linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system has no /proc")


def children() -> set[int]:
    """The living children of this process."""
    found = set[int]()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # the thread has ended meanwhile
            found |= set(map(int, (task / "children").read_text().split()))
    return {each for each in found if process.CHILD.encode() in Path(f"/proc/{each}/cmdline").read_bytes()}


def environment(child: int) -> bytes:
    """The environment of a process."""
    return Path(f"/proc/{child}/environ").read_bytes()


@linux
async def test_children_are_reused_and_end_with_the_block() -> None:
    """There are at most two, however many clips are probed at once, and none is left afterwards."""
    async with Prober() as probing:
        clip = await prepare(video())
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(probed_facts, clip, probing)
        first = children()
        await probed_facts(clip, probing)
        assert children() == first
        assert 1 <= len(first) <= 2
    assert children() == set()


@linux
async def test_a_child_gets_only_the_variables_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets those that an interpreter needs to start and to decode names: no key and no token."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", API_KEY)
    monkeypatch.setenv("LC_CTYPE", "C.UTF-8")
    async with Prober() as probing:
        assert (await probed_facts(await prepare(video()), probing)).frames == 30
        given = {each.partition(b"=")[0].decode() for child in children() for each in environment(child).split(b"\0")}
        assert "LC_CTYPE" in given
        assert given - {""} <= {"LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH"}


@linux
async def test_a_child_cannot_gain_privileges_or_write_files() -> None:
    """A program that a decoder is tricked into starting has no more rights, and nothing fills the disk."""
    async with Prober() as probing:
        await probed_facts(await prepare(video()), probing)
        for child in children():
            assert "NoNewPrivs:\t1\n" in process_info(child, "status")
            limits = re.findall(r"Max (file size|core file size) +(\d+)", process_info(child, "limits"))
            assert sorted(limits) == [("core file size", "0"), ("file size", "0")]


def process_info(child: int, what: str) -> str:
    """A file of a process in /proc."""
    return Path(f"/proc/{child}/{what}").read_text()


@linux
@pytest.mark.parametrize("times", [1, 2])
def test_closing_completes_although_it_is_cancelled(times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task's own `cancel()` passes every shield; still no process and no transport is left."""
    left: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: left.append(str(args.exc_value)))
    interrupted = list[bool]()
    for iteration in (1, 2, 3, 5, 8):  # how many iterations closing takes depends on how soon a killed process is gone
        interrupted.append(asyncio.run(_cancelled_while_closing(iteration, times)))
        gc.collect()
        assert (children(), left) == (set(), []), f"interrupted at iteration {iteration}"
    assert any(interrupted)


async def _cancelled_while_closing(iteration: int, times: int) -> bool:
    """Whether closing two children was still running at that iteration, at which it is cancelled so often."""
    loop, closing, passed = asyncio.get_running_loop(), asyncio.current_task(), 0
    probing = await Prober().__aenter__()
    probing._idle += [await process.DecoderProcess.start() for _ in range(2)]
    assert closing is not None

    def tick() -> None:
        nonlocal passed
        passed += 1
        if iteration <= passed < iteration + times:
            closing.cancel()
        if passed < iteration + times:
            ticking.append(loop.call_soon(tick))

    ticking = [loop.call_soon(tick)]
    interrupted = False
    try:
        await probing.aclose()
    except asyncio.CancelledError:
        interrupted = True
    ticking[-1].cancel()
    return interrupted


async def test_closing_causes_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    """asyncio warns if a process is killed again after it has ended."""
    data = video("mp4", (64, 48), fps=30, frames=3)
    for _ in range(10):
        async with Prober() as probing, anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(probed_facts, await prepare(data), probing)
    assert [
        record.message for record in caplog.records if record.name == "asyncio" and record.levelno > logging.INFO
    ] == []


@linux
async def test_a_child_that_was_killed_between_probes_is_replaced() -> None:
    """The next clip is read as usual."""
    async with Prober() as probing:
        clip = await prepare(video())
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(probed_facts, clip, probing)
        assert len(children()) == 2
        for child in children():
            os.kill(child, signal.SIGKILL)
        assert (await probed_facts(clip, probing)).frames == 30


def child_that(does: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on a child runs this statement when it reads a clip that begins with DOOM."""
    text = program_text()
    ill = f"    if file.read(4) == b'DOOM':\n        {does}\n    file.seek(0)\n"
    at = '    """The facts of a video, as far as they can be read."""\n'
    assert at in text
    replace_program(folder, monkeypatch, text.replace(at, at + ill))


def program_text() -> str:
    """The child's program."""
    return Path(process.CHILD).read_text(encoding="utf-8")


def replace_program(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """From now on children run this program, with the proof clip beside it."""
    path = folder / "child.py"
    path.write_text(text, encoding="utf-8")
    (folder / program.PROOF.name).write_bytes(program.PROOF.read_bytes())
    monkeypatch.setattr(process, "CHILD", str(path))


CRASHES = {
    "dies": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "exits": "raise SystemExit",
    "writes too much": "os.write(3, b'x' * 100_000)",
    "sends invalid JSON": "os.write(3, b'no JSON\\n')",
    "sends a list": "os.write(3, b'[]\\n')",
    "sends an empty object": "os.write(3, b'{}\\n')",
}


@pytest.mark.parametrize("does", CRASHES.values(), ids=CRASHES)
async def test_a_clip_that_crashes_the_decoder_is_unreadable(
    does: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next clip is read as usual."""
    child_that(does, tmp_path, monkeypatch)
    async with Prober() as probing:
        facts = await probed_facts(await prepare(b"DOOM" + bytes(50), "a.mp4"), probing)
        assert facts.readable is False
        assert "crashes" in facts.unread
        assert (await probed_facts(await prepare(video()), probing)).frames == 30


CHILD_ERRORS = {
    "an argument that is gone": ("raise TypeError(\"open() got an unexpected keyword 'x'\")", "TypeError: open()"),
    "a name that is gone": ("import av; av.no_such_name", "AttributeError: "),
    "memory": ("bytearray(3 << 30)", "MemoryError"),
}


@pytest.mark.parametrize(("does", "why"), CHILD_ERRORS.values(), ids=CHILD_ERRORS)
async def test_an_exception_in_the_child_is_not_blamed_on_the_clip(
    does: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The facts stay unknown, and the log holds the traceback."""
    child_that(does, tmp_path, monkeypatch)
    async with Prober() as probing:
        with caplog.at_level(logging.DEBUG, "ochy_async"):
            facts = await probed_facts(await prepare(b"DOOM" + bytes(50), "a.mp4"), probing)
        assert facts.readable is None
        assert re.match(rf"PyAV [\d.]+ could not check it: {re.escape(why)}", facts.unread)
        assert "Traceback" in caplog.text
        assert (await probed_facts(await prepare(video()), probing)).frames == 30


async def test_output_of_a_library_does_not_corrupt_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither `print` nor writing to the file descriptors does."""
    child_that("print('{}'); os.write(1, b'[]'); os.write(2, b'{}')", tmp_path, monkeypatch)
    assert (await probe(b"DOOM" + bytes(50), "a.mp4")).readable is False
    assert (await probe(b"DOOM" + bytes(50), "a.mp4")).unread == ""


HANGS = {"waits": "import time; time.sleep(60)", "computes": "while True: pass"}


@pytest.mark.parametrize("does", HANGS.values(), ids=HANGS)
async def test_a_decoder_that_hangs_is_killed(does: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is killed in time, and its facts stay unknown."""
    child_that(does, tmp_path, monkeypatch)
    async with Prober(0.3) as probing:
        begun = time.monotonic()
        facts = await probed_facts(await prepare(b"DOOM" + bytes(50), "a.mp4"), probing)
        assert time.monotonic() - begun < 30
        assert (facts.readable, "longer than 0.3 s" in facts.unread) == (None, True)
        assert (await probed_facts(await prepare(video()), probing)).frames == 30


async def test_one_probe_may_have_another_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of a probe counts, not that of the prober, whichever is longer; the child's own timer follows it."""
    child_that("import time; time.sleep(1)", tmp_path, monkeypatch)
    monkeypatch.setattr(process, "GRACE", 0.5)
    clip = await prepare(b"DOOM" + bytes(50), "a.mp4")
    async with Prober() as probing:
        assert "longer than 0.2 s" in (await probed_facts(clip, probing, 0.2)).unread
    async with Prober(0.2) as probing:
        await probed_facts(await prepare(video()), probing)  # a child that began with a shorter limit
        assert (await probed_facts(clip, probing, 10)).readable is False  # read to its end, which takes a second


@linux
async def test_a_cancelled_probe_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child is killed, because nobody waits for its answer."""
    child_that(HANGS["waits"], tmp_path, monkeypatch)
    async with Prober() as probing:
        clip = await prepare(b"DOOM" + bytes(50), "a.mp4")
        with anyio.move_on_after(0.5):
            await probed_facts(clip, probing)
        assert children() == set()


@linux
async def test_a_child_whose_parent_is_gone_ends_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sets a timer before it decodes, so it ends even if it hangs."""
    child_that(HANGS["computes"], tmp_path, monkeypatch)
    running = await anyio.open_process([sys.executable, "-I", process.CHILD])
    async with running:
        assert running.stdin is not None
        order = b'{"modules": %s, "memory": 2000000000, "start_seconds": 30}\n{"bytes": 4, "seconds": 0.5}\nDOOM'
        await running.stdin.send(order % str(sys.path).replace("'", '"').encode())
        with anyio.move_on_after(10):
            await running.wait()
        if running.returncode is None:
            running.kill()
        assert await running.wait() == -signal.SIGALRM


async def test_probing_does_not_block_the_event_loop() -> None:
    """Other tasks run meanwhile."""
    stalls: list[float] = []

    async def beat() -> None:
        while True:
            before = time.monotonic()
            await anyio.sleep(0.005)
            stalls.append(time.monotonic() - before - 0.005)

    data = video(size=(1920, 1080), frames=60)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(beat)
        await probe(data)
        tasks.cancel_scope.cancel()
    assert len(stalls) > 3
    assert max(stalls) < 0.25


# --- machines on which clips cannot be probed ----------------------------------------------------------


async def test_without_the_extra_only_the_signature_is_read(tmp_path: Path) -> None:
    """The facts name the command that installs the extra."""
    facts = await probe(video("mov"), unavailable=lambda: MISSING)
    assert (facts.container, facts.readable, facts.seconds) == ("mov", None, None)
    assert INSTALL in facts.unread
    path = tmp_path / "text.mp4"
    path.write_text("hello, I am a text")
    assert (await probe(path, unavailable=lambda: MISSING)).container == ""


async def test_a_process_that_cannot_be_started_is_not_blamed_on_the_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The facts stay unknown and say why."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python-that-is-gone"))
    facts = await probe(video())
    assert (facts.readable, "no process could be started" in facts.unread) == (None, True)


async def test_only_a_python_interpreter_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen program or a server that embeds Python would run itself again, and buy again."""
    prober.unavailable_here.cache_clear()
    monkeypatch.setattr(sys, "executable", "/opt/shop/analyze-all")
    assert "no Python interpreter" in (await probe(video())).unread
    prober.unavailable_here.cache_clear()


# --- the proof clip ------------------------------------------------------------------------------------

PROOF_CLIP = program.PROOF.read_bytes()


def test_the_proof_clip_is_small_and_can_be_reproduced() -> None:
    """It has a few kilobytes, and the program that made it makes a clip with the same facts today."""
    assert len(PROOF_CLIP) < 5_000
    assert [
        name for name, right in program.PROVEN.items() if program._differs(_read(render_proof_clip())[name], right)
    ] == []


def _read(content: bytes) -> dict[str, Any]:
    return program._read(io.BytesIO(content))


def fake_av(folder: Path, monkeypatch: pytest.MonkeyPatch, init: str) -> None:
    """From now on children import this package as PyAV."""
    package = folder / "fakes" / "av"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"__version__ = '99.0'\n{init}", encoding="utf-8")
    (package / "error.py").write_text("class FFmpegError(Exception): pass\nMemoryError = MemoryError\n")
    monkeypatch.syspath_prepend(str(package.parent))


def like_the_real_one(does: str) -> str:
    """A PyAV that runs a statement when it opens something, and is the real one otherwise."""
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
    """A PyAV whose `open` does not have this argument."""
    return like_the_real_one(f"if {argument!r} in more: raise TypeError('open() got an unexpected argument')")


BROKEN = {
    "fails on import": ("raise ImportError('libavcodec.so.99: cannot open shared object file')", "libavcodec.so.99"),
    "is an empty package": ("", "has no attribute 'open'"),
    "takes other arguments": (refusing("options"), "TypeError: open() got an unexpected"),
    "reads another clip": (like_the_real_one(f"file = io.BytesIO({video()!r})"), "codec 'mpeg4' instead of 'h264'"),
    "reads anything": (
        like_the_real_one(f"file = io.BytesIO({PROOF_CLIP!r})"),
        "a truncated file taken for a complete one",
    ),
    "ends the process": ("import os; os._exit(3)", "its process ended with exit code 3"),
    "crashes": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "its process ended with signal 11"),
    "wants all memory": ("bytearray(3 << 30)", "MemoryError"),
    "writes without end": ("import os; os.write(2, b'x' * 9_000_000); os._exit(3)", "exit code 3"),
}


@pytest.mark.parametrize(("init", "why"), BROKEN.values(), ids=BROKEN)
async def test_no_clip_is_blamed_for_a_broken_decoder(
    init: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Good or bad, the clip stays unchecked, and the reason with the version is the same each time."""
    fake_av(tmp_path, monkeypatch, init)
    async with Prober() as probing:
        good = await probed_facts(await prepare(video()), probing)
        bad = await probed_facts(await prepare(video()[:999], "a.mp4"), probing)
    assert (good.readable, good.decodable, bad.readable) == (None, None, None)
    assert re.match(r"PyAV [\d.]+ does not work on this machine: ", good.unread)
    assert why in good.unread
    assert good.unread == bad.unread
    assert [each.severity for each in findings_for(good)] == ["warning"]


async def test_a_decoder_that_hangs_at_its_start_is_awaited_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not awaited again for each clip of a batch."""
    fake_av(tmp_path, monkeypatch, "import time; time.sleep(60)")
    monkeypatch.setattr(process, "START_TIMEOUT", 0.5)
    begun = time.monotonic()
    async with Prober() as probing:
        found = [await probed_facts(await prepare(video()), probing) for _ in range(20)]
    assert time.monotonic() - begun < 50
    assert {(each.readable, "did not start within 0.5 s" in each.unread) for each in found} == {(None, True)}


async def test_a_decoder_that_was_repaired_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that runs for weeks recovers from a temporary failure."""
    fake_av(tmp_path, monkeypatch, "import os; os._exit(3)")
    monkeypatch.setattr(prober, "RETRY_AFTER", 0)
    async with Prober() as probing:
        assert (await probed_facts(await prepare(video()), probing)).readable is None
        monkeypatch.undo()
        assert (await probed_facts(await prepare(video()), probing)).frames == 30


async def test_an_unknown_version_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is used if it reads the proof clip correctly; one optional argument may be missing."""
    fake_av(tmp_path, monkeypatch, refusing("metadata_errors"))
    async with Prober() as probing:
        assert (await probed_facts(await prepare(video()), probing)).frames == 30
        assert (await probing.decoder()).versions["PyAV"] == "99.0"


async def test_a_clip_that_breaks_the_decoder_is_not_blamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A verdict counts only while the proof clip is still read correctly."""
    child_that("global _open; _open = None", tmp_path, monkeypatch)
    async with Prober() as probing:
        facts = await probed_facts(await prepare(b"DOOM" + bytes(50), "a.mp4"), probing)
        assert facts.readable is None
        assert "could not check it" in facts.unread
        assert (await probed_facts(await prepare(video()), probing)).frames == 30


async def test_a_verdict_of_a_decoder_that_fails_later_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decoder read the proof clip at first and then nothing, so another child is asked."""
    text = program_text()
    at = "    bounded = _BoundedFile(file)\n"
    ill = "    TIMES.append(0)\n    if len(TIMES) > 2: return {'readable': False}\n"
    start = 'if __name__ == "__main__":\n'
    replace_program(tmp_path, monkeypatch, text.replace(at, ill + at).replace(start, f"TIMES = []\n{start}"))
    async with Prober() as probing:
        facts = await probed_facts(await prepare(video()), probing)
    assert facts.readable is None
    assert "after a clip that it could not read" in facts.unread


@pytest.mark.parametrize("does", ["raise ImportError(OWN)", "print(OWN, file=sys.stderr); os._exit(3)"])
async def test_the_output_of_a_broken_decoder_is_bounded(
    does: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The debug log and `ochy doctor` show it, without addresses, control characters and the user's name."""
    monkeypatch.setenv("HOME", "/home/somebody")
    own = "https://u:secret@x/y?z \x1b[2J /home/somebody/lib " + "much " * 4000
    fake_av(tmp_path, monkeypatch, f"import os, sys\nOWN = {own!r}\n{does}")
    async with Prober() as probing:
        with caplog.at_level(logging.DEBUG, "ochy_async"):
            found = await probing.decoder()
            facts = await probed_facts(await prepare(video()), probing)
    assert 1_000 < len(found.stderr) <= 8_192
    assert len(facts.unread) < 500
    assert found.stderr in caplog.text
    everything = f"{found} {found.problem} {facts.unread} {caplog.text}"
    assert not [each for each in ("secret", "somebody", "\x1b") if each in everything]


def open_files() -> int:
    """The number of open files of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


@linux
async def test_no_pipe_is_left_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This holds whether a child reads a clip, dies, or never starts."""
    child_that(CRASHES["dies"], tmp_path, monkeypatch)
    await probe(video())
    before = open_files()
    await probe(video())
    await probe(b"DOOM" + bytes(50), "a.mp4")
    fake_av(tmp_path, monkeypatch, "import os; os._exit(3)")
    await probe(video())
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python-that-is-gone"))
    await probe(video())
    assert open_files() == before


async def test_without_a_nonblocking_pipe_stderr_is_discarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips are probed all the same."""
    monkeypatch.setattr(process._ErrorPipe, "create", process._ErrorPipe)
    assert (await probe(video())).frames == 30
    fake_av(tmp_path, monkeypatch, "raise ImportError('gone')")
    async with Prober() as probing:
        found = await probing.decoder()
    assert (found.stderr, "ImportError: gone" in found.problem) == ("", True)


def test_a_pipe_that_could_block_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has no other on Python 3.11."""
    monkeypatch.delattr(os, "set_blocking")
    pipe = process._ErrorPipe.create()
    assert (pipe.for_child, pipe.tail()) == (subprocess.DEVNULL, "")


@pytest.mark.parametrize("container", ["mp4", "avi", "matroska"])
async def test_a_title_in_another_encoding_does_not_make_a_clip_unreadable(container: Container) -> None:
    """Old cameras write titles in the encoding of their country."""
    data = video(container, metadata={"title": "TITLE!"}).replace(b"TITLE!", b"L\xe4\xe4ufer"[:6])
    assert b"L\xe4\xe4u" in data
    facts = await probe(data)
    assert (facts.readable, facts.frames) == (True, 30)
