"""Sessions and batches refuse clips with errors before anything is paid, and report warnings."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from ochy_async import BackView, Clip, OchySession, Refused, SideView
from ochy_async.batch.outcomes import Analyzed
from ochy_async.emulator import Emulator
from ochy_async.errors import ClipUnusable, Finding, InvalidSettings
from ochy_async.events import ClipFlagged, Event
from ochy_async.journal.memory import MemoryJournal
from ochy_async.preflight.prober import INSTALL, Prober
from ochy_async.preflight.rules import PreflightLevel
from tests.conftest import CLIP, real_session
from tests.support.videos import video

pytestmark = pytest.mark.anyio

ACROSS = video(size=(192, 108))
UPRIGHT = video(size=(108, 192))
LONG = video(size=(64, 36), frames=360)
LONG_UPRIGHT = video(size=(36, 64), fps=24, frames=288)


def codes(problems: tuple[Any, ...]) -> set[str]:
    """The codes of findings."""
    assert all(isinstance(each, Finding) for each in problems)
    return {each.code for each in problems}


@pytest.fixture
def events() -> list[Event]:
    """The events of a session."""
    return []


@pytest.fixture
async def ochy(emulator: Emulator, events: list[Event]) -> AsyncGenerator[OchySession]:
    """A session with the default level."""
    async with real_session(emulator, preflight="errors", on_event=events.append) as session:
        yield session


def flagged(events: list[Event]) -> list[tuple[str, set[str]]]:
    """The clips that were sent with warnings, and the codes of these."""
    return [(each.clip, codes(each.findings)) for each in events if isinstance(each, ClipFlagged)]


# --- one clip ------------------------------------------------------------------------------------------


async def test_a_clip_without_findings_is_sent(ochy: OchySession, emulator: Emulator, events: list[Event]) -> None:
    """No event reports anything."""
    await ochy.start(ACROSS, SideView())
    assert len(emulator.service.ledger) == 1
    assert flagged(events) == []


async def test_a_clip_with_an_error_is_refused_before_anything_is_sent(ochy: OchySession, emulator: Emulator) -> None:
    """The error holds all findings, including the warnings."""
    with pytest.raises(ClipUnusable) as caught:
        await ochy.analyze(LONG_UPRIGHT, SideView())
    assert codes(caught.value.problems) == {"too_long", "orientation", "slow_frame_rate"}
    assert "ffmpeg" in str(caught.value)
    assert emulator.service.requests == ()


async def test_a_clip_with_a_warning_is_sent_and_the_warning_reported(
    ochy: OchySession, emulator: Emulator, events: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    """An event and the log report it under the label of the clip."""
    with caplog.at_level(logging.WARNING, "ochy_async"):
        await ochy.start(UPRIGHT, SideView(), label="Monday")
    assert len(emulator.service.ledger) == 1
    assert flagged(events) == [("Monday", {"orientation"})]
    assert [each.getMessage() for each in caplog.records if "Monday: picture: 108x192" in each.getMessage()]


@pytest.mark.parametrize(
    ("preflight", "clip", "sent"),
    [
        ("errors", UPRIGHT, True),
        ("warnings", UPRIGHT, False),
        ("warnings", ACROSS, True),
        ("off", CLIP, True),
        ("errors", CLIP, False),
    ],
)
@pytest.mark.parametrize("where", ["session", "start", "variable"])
async def test_the_caller_chooses_what_stops_a_clip(
    preflight: PreflightLevel, clip: bytes, sent: bool, where: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The level of a start goes before that of the session, and that before the environment."""
    other: PreflightLevel = "warnings" if preflight == "off" else "off"
    monkeypatch.setenv("OCHY_PREFLIGHT", preflight if where == "variable" else other)
    settings = {"session": {"preflight": preflight}, "start": {"preflight": other}}.get(where, {})
    async with real_session(emulator, **settings) as ochy:
        try:
            await ochy.start(clip, SideView(), preflight=preflight if where == "start" else None)
        except ClipUnusable:
            assert not sent
    assert len(emulator.service.ledger) == sent


async def test_errors_stop_a_clip_by_default(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default is safe."""
    monkeypatch.delenv("OCHY_PREFLIGHT")
    async with real_session(emulator) as ochy:
        with pytest.raises(ClipUnusable):
            await ochy.start(LONG, SideView())
    assert emulator.service.requests == ()


@pytest.mark.parametrize("preflight", ["error", "none", 1, "Errors"])
async def test_an_unknown_level_is_refused(preflight: Any, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions, starts, batches and the environment refuse it."""
    async with real_session(emulator) as ochy:
        with pytest.raises(InvalidSettings, match="preflight must be"):
            await ochy.start(ACROSS, SideView(), preflight=preflight)
        with pytest.raises(InvalidSettings, match="preflight must be"):
            ochy.batch(SideView(), preflight=preflight)
    with pytest.raises(InvalidSettings, match="preflight must be"):
        real_session(emulator, preflight=preflight)
    monkeypatch.setenv("OCHY_PREFLIGHT", str(preflight))
    with pytest.raises(InvalidSettings, match="preflight must be"):
        real_session(emulator)


@pytest.mark.parametrize("preflight", ["errors", "warnings", "off"])
async def test_an_empty_clip_is_never_sent(preflight: PreflightLevel, emulator: Emulator) -> None:
    """For an empty body it is not known whether all of it was sent, and so whether it was paid for."""
    async with real_session(emulator, preflight=preflight) as ochy:
        with pytest.raises(ClipUnusable) as caught:
            await ochy.start(b"", SideView(), name="a.mp4")
    assert codes(caught.value.problems) == {"empty"}
    assert emulator.service.requests == ()


async def slices(data: bytes) -> AsyncGenerator[bytes]:
    """Bytes as a stream."""
    yield data


async def test_a_stream_that_can_be_read_once_is_sent_unprobed(
    ochy: OchySession, emulator: Emulator, events: list[Event]
) -> None:
    """Only its name and size are checked, and a warning says so."""
    await ochy.start(Clip.stream(slices(CLIP), name="a.mp4", size=len(CLIP)), SideView())
    assert len(emulator.service.ledger) == 1
    assert flagged(events) == [("a.mp4", {"unchecked"})]
    with pytest.raises(ClipUnusable):
        await ochy.start(Clip.stream(slices(CLIP), name="a.txt", size=len(CLIP)), SideView())


async def test_a_missing_extra_is_reported_once(
    ochy: OchySession, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The warning holds the command that installs it; size, name and signature are still checked."""
    monkeypatch.setattr(Prober, "probe", _unread)
    await ochy.start(ACROSS, SideView())
    await ochy.start(UPRIGHT, SideView())
    assert [found for _, found in flagged(events)] == [{"unchecked"}]
    assert INSTALL in repr(events)
    with pytest.raises(ClipUnusable) as caught:
        await ochy.start(b"hello, I am a text", SideView(), name="a.mp4")
    assert codes(caught.value.problems) == {"unreadable"}


async def _unread(_: Prober, known: Any, *__: Any) -> Any:
    async with Prober(unavailable=lambda: f"install it: {INSTALL}") as prober:
        return await _PROBE(prober, known, None, lambda: slices(b""))


_PROBE = Prober.probe


async def test_an_unusable_decoder_is_reported_once_and_stops_nothing(
    ochy: OchySession, emulator: Emulator, events: list[Event], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All clips are sent, however many there are."""
    (tmp_path / "av.py").write_text("raise ImportError('made for another Python')")
    monkeypatch.syspath_prepend(tmp_path)
    found = await outcomes(ochy, [ACROSS, UPRIGHT, video(frames=20)])
    assert [type(each) for each in found] == [Analyzed] * 3
    ((_, findings),) = [(each.clip, each.findings) for each in events if isinstance(each, ClipFlagged)]
    assert re.search(
        r"not checked: PyAV[ \d.]* does not work on this machine: ImportError: made for another", str(findings[0])
    )
    assert len(emulator.service.ledger) == 3


# --- batches -------------------------------------------------------------------------------------------


async def outcomes(ochy: OchySession, clips: list[Any], journal: Any = None, **settings: Any) -> list[Any]:
    """The outcomes of a batch, in the order of its clips."""
    async with ochy.batch(SideView(), journal=journal, **settings) as batch:
        return sorted([each async for each in batch.run(clips)], key=lambda each: each.index)


async def test_a_batch_pays_only_for_clips_without_errors(
    ochy: OchySession, emulator: Emulator, events: list[Event]
) -> None:
    """The others are refused with all findings, and the journal does not record them."""
    journal = MemoryJournal()
    good, flagged_clip, bad, text = await outcomes(
        ochy, [ACROSS, (ACROSS, BackView()), LONG_UPRIGHT, CLIP], journal=journal
    )
    assert isinstance(good, Analyzed)
    assert isinstance(flagged_clip, Analyzed)
    assert isinstance(bad, Refused)
    assert isinstance(text, Refused)
    assert codes(bad.problems) == {"too_long", "orientation", "slow_frame_rate"}
    assert codes(text.problems) == {"unreadable"}
    assert flagged(events) == [("clip 2", {"orientation"})]
    assert len(emulator.service.ledger) == 2
    async with journal:
        assert {each.clip async for each in journal.entries()} == {"clip 1", "clip 2"}


async def test_a_batch_may_have_its_own_level(ochy: OchySession, emulator: Emulator) -> None:
    """It goes before the level of the session."""
    (refused,) = await outcomes(ochy, [UPRIGHT], preflight="warnings")
    assert codes(refused.problems) == {"orientation"}
    (sent,) = await outcomes(ochy, [CLIP], preflight="off")
    assert isinstance(sent, Analyzed)
    assert len(emulator.service.ledger) == 1


async def test_a_paid_clip_is_collected_whatever_the_level(
    ochy: OchySession, emulator: Emulator, tmp_path: Path
) -> None:
    """A stricter run with the same journal returns the results that an earlier run bought."""
    journal = tmp_path / "clips.journal"
    (first,) = await outcomes(ochy, [CLIP], journal, preflight="off")
    (again,) = await outcomes(ochy, [CLIP], journal, preflight="warnings")
    assert isinstance(again, Analyzed)
    assert (again.analysis_id, again.bought) == (first.analysis_id, False)
    assert len(emulator.service.ledger) == 1


async def test_a_clip_that_the_server_refused_is_checked_before_it_is_sent_again(
    ochy: OchySession, emulator: Emulator, tmp_path: Path
) -> None:
    """It stays refused in the journal if it has errors."""
    journal, path = tmp_path / "clips.journal", tmp_path / "a.txt"
    path.write_text("no video at all")
    (first,) = await outcomes(ochy, [path], journal, preflight="off")
    assert isinstance(first, Refused)
    sent = len(emulator.service.requests)
    (again,) = await outcomes(ochy, [path], journal, retry_refused=True)
    assert isinstance(again, Refused)
    assert codes(again.problems) == {"wrong_type", "unreadable"}
    assert len(emulator.service.requests) == sent


async def test_a_plan_refuses_what_a_run_refuses(ochy: OchySession, emulator: Emulator) -> None:
    """It reports this before anything is bought."""
    async with ochy.batch(SideView()) as batch:
        plan = await batch.plan([ACROSS, LONG, CLIP])
    assert (plan.to_buy, plan.refused) == (1, 2)
    assert "too_long" not in plan.refusals[0]
    assert "12.0 s exceed the 10 s" in plan.refusals[0]
    assert emulator.service.requests == ()


async def test_a_large_file_is_refused_without_reading_all_of_it(
    ochy: OchySession, emulator: Emulator, tmp_path: Path
) -> None:
    """A sparse file of 100 GB takes seconds, and the findings on its beginning are reported too."""
    path = tmp_path / "huge.mp4"
    path.write_bytes(LONG)
    with path.open("r+b") as file:
        file.truncate(100_000_000_000)
    (refused,) = await outcomes(ochy, [path])
    path.unlink()  # the canary check would read all of it
    assert codes(refused.problems) >= {"too_big", "too_long"}
    assert emulator.service.requests == ()
