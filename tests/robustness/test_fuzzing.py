"""Hostile clips: probing any of them ends in time, raises nothing foreign, and does not affect other clips."""

# The test kills the children of a prober.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import os
import resource
import signal
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Literal

import anyio
import pytest

from ochy_async import Analyzed, OchySession, Refused, SideView
from ochy_async.clips import prepare
from ochy_async.emulator import Emulator
from ochy_async.emulator.video_rendering import render_video
from ochy_async.errors import ClipUnusable
from ochy_async.preflight.facts import ClipFacts
from ochy_async.preflight.prober import Prober
from tests.conftest import real_session, world
from tests.support.fuzzing import mutant, probe_all, seeds

pytest.importorskip("av", reason="needs the extra video: PyAV is not installed")

CLIPS = 4_000


@pytest.mark.anyio
async def test_probing_survives_every_mutant() -> None:
    """Thousands of mutants of all containers raise nothing, none is slow, and every kind of finding occurs."""
    found = await probe_all(range(CLIPS))
    assert not found.slow
    assert found.longest < 5
    assert {"fits", "unreadable", "cut_short", "no_video", "varying_frame_rate"} <= found.codes.keys()


def test_mutants_differ() -> None:
    """Almost every mutant is unique, and almost none equals its original."""
    content = {mutant(number)[1] for number in range(500)}
    assert len(content) > 480
    assert len(content & {seed for _, seed in seeds()}) < 20


@pytest.mark.anyio
async def test_probing_uses_no_memory_of_this_process() -> None:
    """Decoders run in other processes, so a thousand hostile clips do not grow this one."""
    await probe_all(range(200))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await probe_all(range(1_000))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


@pytest.mark.anyio
async def test_a_decoder_that_is_killed_is_replaced() -> None:
    """The next clip gets another decoder."""
    content = render_video(1, width=64, height=36, seconds=0.3)

    async def chunks() -> AsyncGenerator[bytes]:
        yield content

    async with Prober() as prober:
        for _ in range(3):
            facts = await prober.probe(ClipFacts(name="a.mp4", size=len(content)), None, chunks)
            assert facts.decodable
            for child in prober._idle:
                os.kill(child.process.pid, signal.SIGKILL)
            await anyio.sleep(0.05)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One video among other files, in a folder that the canary check does not read: one file has a terabyte."""
    tmp_path = tmp_path_factory.mktemp("hostile")
    (tmp_path / "good.mp4").write_bytes(render_video(1, width=320, height=180, seconds=0.5))
    (tmp_path / "notes.mp4").write_text("not a video at all\n" * 100)
    (tmp_path / "zeros.mp4").write_bytes(bytes(5_000))
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "fifo.mp4")
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    with (tmp_path / "sparse.mp4").open("wb") as file:
        file.truncate(1 << 40)
    (tmp_path / "cut.mp4").write_bytes(render_video(2, truncate_to=0.3))
    (tmp_path / "long.mp4").write_bytes(render_video(3, width=64, height=36, fps=24, seconds=12))
    return tmp_path


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["avi", "webm"])
async def test_a_video_followed_by_a_terabyte_of_zeros_is_probed_quickly(
    kind: Literal["avi", "webm"], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Decoders search a damaged file to its end for more content; a probe reads no more than could be sent."""
    path = tmp_path_factory.mktemp("sparse") / f"film.{kind}"
    path.write_bytes(render_video(1, container=kind, width=64, height=36, seconds=0.3))
    os.truncate(path, 1 << 40)

    async def chunks() -> AsyncGenerator[bytes]:
        raise AssertionError("a file is read by its path")
        yield b""

    async with Prober(seconds=8) as prober:
        facts = await prober.probe(ClipFacts(name=path.name, size=1 << 40), path, chunks)
    assert not facts.unread


@pytest.mark.anyio
async def test_a_file_that_became_a_pipe_does_not_block(tmp_path: Path) -> None:
    """Opening it does not wait for a writer."""
    path = tmp_path / "clip.mp4"
    path.write_bytes(render_video(1, width=64, height=36, seconds=0.3))
    clip = await prepare(path)
    path.unlink()
    os.mkfifo(path)
    with anyio.fail_after(10), pytest.raises(ClipUnusable, match="changed"):
        async for _ in clip.chunks():
            pass


@pytest.mark.anyio
async def test_a_batch_pays_only_for_the_video(folder: Path) -> None:
    """A FIFO, a folder, a loop, a terabyte of zeros, text, and truncated and long videos are refused for free."""
    async with (
        Emulator(world(queue_seconds=0.02, analysis_seconds=(0.05, 0.1))) as emulator,
        real_session(emulator, preflight="errors") as ochy,
        ochy.batch(SideView()) as batch,
    ):
        paths = sorted(folder.iterdir())  # noqa: ASYNC240 - ten files
        outcomes = [outcome async for outcome in batch.run(paths)]
    bought = [outcome.label for outcome in outcomes if isinstance(outcome, Analyzed)]
    assert [Path(label).name for label in bought] == ["good.mp4"]
    assert all(isinstance(outcome, Refused) and outcome.problems for outcome in outcomes if outcome.label not in bought)
    assert len(emulator.service.ledger) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["notes.mp4", "zeros.mp4", "cut.mp4", "long.mp4", "sparse.mp4", "fifo.mp4"])
async def test_a_start_refuses_files_that_are_no_clips(folder: Path, name: str) -> None:
    """It refuses them before anything is sent, with all findings."""
    async with Emulator(world()) as emulator:
        session: OchySession = real_session(emulator, preflight="errors")
        async with session as ochy:
            with pytest.raises(ClipUnusable, match=r"nothing was sent or charged") as caught:
                await ochy.start(folder / name, SideView())
    assert caught.value.problems
    assert not emulator.service.requests
