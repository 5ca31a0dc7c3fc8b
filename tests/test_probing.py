"""A look into a clip: real videos, broken ones, and decoders that hang or die."""

# What hinders a look is remembered for the life of a process, so tests make it forget.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import pytest
from canary import API_KEY
from conftest import CLIP
from videos import Container, sound, video

from ochy_async import Clip
from ochy_async.checking import facts_of
from ochy_async.clips import ClipSource, prepare
from ochy_async.probing import prober as room
from ochy_async.probing.prober import INSTALL, Prober
from ochy_async.protocol.facts import ClipFacts

pytestmark = pytest.mark.anyio

ENDINGS: dict[Container, str] = {"mp4": ".mp4", "mov": ".mov", "avi": ".avi", "webm": ".webm", "matroska": ".mkv"}
CODECS: dict[Container, str] = {"webm": "vp8"}


async def look(source: ClipSource, name: str | None = None, **settings: Any) -> ClipFacts:
    """The facts of a clip, read by a child of its own."""
    async with Prober(**settings) as prober:
        return await facts_of(await prepare(source, name), prober)


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
    async with Prober() as prober:
        await facts_of(await prepare(video()), prober)
        monkeypatch.chdir(tmp_path)
        (tmp_path / name).write_bytes(video())
        assert (await facts_of(await prepare(name), prober)).frames == 30


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

    async with Prober() as prober:
        with pytest.raises(OSError, match="the camera fell"):
            await prober.look(ClipFacts(name="a.mp4", size=5000), None, broken)
        assert (await facts_of(await prepare(video()), prober)).frames == 30


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
    async with Prober() as prober:
        clip = await prepare(video())
        async with anyio.create_task_group() as looks:
            for _ in range(20):
                looks.start_soon(facts_of, clip, prober)
        first = children()
        await facts_of(clip, prober)
        assert children() == first
        assert 1 <= len(first) <= 2
    assert children() == set()


@linux
async def test_a_child_knows_no_secret() -> None:
    """Not in its environment, nor where the key is."""
    async with Prober() as prober:
        await facts_of(await prepare(video()), prober)
        told = b"".join(map(environment, children()))
        assert b"PATH=" in told
        assert b"OCHY" not in told
        assert API_KEY.encode() not in told


@linux
async def test_a_child_that_was_killed_between_looks_is_replaced() -> None:
    """Whatever killed it, the next clip is not the worse for it."""
    async with Prober() as prober:
        clip = await prepare(video())
        async with anyio.create_task_group() as looks:
            for _ in range(2):
                looks.start_soon(facts_of, clip, prober)
        assert len(children()) == 2
        for child in children():
            os.kill(child, signal.SIGKILL)
        assert (await facts_of(clip, prober)).frames == 30


def child_that(does: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on a decoder behaves so once it gets a film that begins with a mark."""
    program = Path(room.CHILD).read_text(encoding="utf-8")
    ill = f"    if file.read(4) == b'DOOM':\n        {does}\n    file.seek(0)\n"
    at = '    """The facts of a film, as far as they can be had."""\n'
    assert at in program
    path = folder / "child.py"
    path.write_text(program.replace(at, at + ill), encoding="utf-8")
    monkeypatch.setattr(room, "CHILD", str(path))


DEATHS = {
    "dies": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "leaves": "raise SystemExit",
    "raises": "raise RuntimeError",
    "babbles": "print('x' * 100_000, flush=True)",
    "talks nonsense": "print('no JSON', flush=True)",
    "answers a list": "print('[]', flush=True)",
    "wants all memory": "bytearray(3 << 30)",
}


@pytest.mark.parametrize("does", DEATHS.values(), ids=DEATHS)
async def test_a_decoder_that_dies_takes_nothing_with_it(
    does: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clip is unreadable, the next one is read as ever."""
    child_that(does, tmp_path, monkeypatch)
    async with Prober() as prober:
        facts = await facts_of(await prepare(b"DOOM" + bytes(50), "a.mp4"), prober)
        assert facts.readable is False
        assert "dies" in facts.unread
        assert (await facts_of(await prepare(video()), prober)).frames == 30


HANGS = {"waits": "import time; time.sleep(60)", "computes": "while True: pass"}


@pytest.mark.parametrize("does", HANGS.values(), ids=HANGS)
async def test_a_decoder_that_hangs_is_ended(does: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In time, and for good; what it would have told is not known."""
    child_that(does, tmp_path, monkeypatch)
    async with Prober(0.3) as prober:
        begun = time.monotonic()
        facts = await facts_of(await prepare(b"DOOM" + bytes(50), "a.mp4"), prober)
        assert time.monotonic() - begun < 3
        assert (facts.readable, "longer than 0.3 s" in facts.unread) == (None, True)
        assert (await facts_of(await prepare(video()), prober)).frames == 30


@linux
async def test_a_look_that_is_cancelled_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child is ended with it, as nobody waits for its answer."""
    child_that(HANGS["waits"], tmp_path, monkeypatch)
    async with Prober() as prober:
        clip = await prepare(b"DOOM" + bytes(50), "a.mp4")
        with anyio.move_on_after(0.5):
            await facts_of(clip, prober)
        assert children() == set()


@linux
async def test_a_child_whose_parent_is_gone_ends_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hanging or not: an alarm is set before a decoder begins."""
    child_that(HANGS["computes"], tmp_path, monkeypatch)
    process = await anyio.open_process([sys.executable, "-I", room.CHILD])
    async with process:
        assert process.stdin is not None
        order = b'{"modules": %s, "memory": 2000000000, "seconds": 0.5}\n{"bytes": 4}\nDOOM'
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
    facts = await look(video("mov"), hindrance=lambda: room.MISSING)
    assert (facts.container, facts.readable, facts.seconds) == ("mov", None, None)
    assert INSTALL in facts.unread
    path = tmp_path / "text.mp4"
    path.write_text("hello, I am a text")
    assert (await look(path, hindrance=lambda: room.MISSING)).container == ""


async def test_a_child_that_cannot_start_is_no_fault_of_the_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told as what it is: not known."""
    path = tmp_path / "child.py"
    path.write_text("raise SystemExit")
    monkeypatch.setattr(room, "CHILD", str(path))
    facts = await look(video())
    assert (facts.readable, "no process" in facts.unread) == (None, True)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python-that-is-gone"))
    assert "no process" in (await look(video())).unread


async def test_no_other_program_is_started_for_a_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen program, or a server with Python inside, would run itself again, and what it buys."""
    room.hindrance_here.cache_clear()
    monkeypatch.setattr(sys, "executable", "/opt/shop/analyse-all")
    assert "no Python interpreter" in (await look(video())).unread
    room.hindrance_here.cache_clear()
