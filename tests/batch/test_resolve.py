"""Tests of resolving by hand: uncertain starts are adopted or released, and other clips stay as they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from ochy_async.batch.resolve import RELEASABLE, adopt, release
from ochy_async.errors import InvalidRequest
from ochy_async.journal.contract import Entry, Journal
from ochy_async.journal.memory import MemoryJournal, MemoryStore
from ochy_async.journal.sqlite.journal import SqliteJournal
from ochy_async.policy.clip_states import State

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
WAYS: dict[State, tuple[State, ...]] = {
    State.OPEN: (State.OPEN,),
    State.INTENDED: (),
    State.SENDING: (State.SENDING,),
    State.UNCERTAIN: (State.SENDING, State.UNCERTAIN),
    State.REFUSED: (State.REFUSED,),
    State.STARTED: (State.STARTED,),
    State.ANALYZED: (State.STARTED, State.ANALYZED),
    State.FAILED: (State.STARTED, State.FAILED),
}
"""How an entry that was intended gets into each state."""


@pytest.fixture(params=["memory", "sqlite"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Journal:
    """Each kind of journal, not yet open."""
    return MemoryJournal() if request.param == "memory" else SqliteJournal(tmp_path / "clips.journal")


async def stored_in(journal: Journal, state: State, key: str = "k1", **facts: Any) -> Entry:
    """Stores an entry in a state; a started one has the analysis `id-` and its key."""
    entry = Entry(key=key, state=State.INTENDED, at=NOW, clip=f"{key}.mp4", credits=1, **facts)
    entry = await journal.put(entry)
    for step in WAYS[state]:
        analysis_id = f"id-{key}" if step is State.STARTED else entry.analysis_id
        entry = await journal.put(evolve(entry, state=step, analysis_id=analysis_id))
    return entry


@pytest.mark.parametrize("state", [State.SENDING, State.UNCERTAIN])
async def test_an_uncertain_start_is_adopted(journal: Journal, state: State) -> None:
    """It is paid for from then on, with the id that the user gave; its credit stays counted."""
    latest = NOW + timedelta(seconds=9)
    async with journal:
        await stored_in(journal, state, latest=latest)
        settled = await adopt(journal, "k1", "the-id")
        assert settled == await journal.get("k1")
        assert (settled.state, settled.analysis_id, settled.started_at) == (State.STARTED, "the-id", latest)
        assert settled.credits == 1
        assert (await journal.history("k1"))[-1].reason == "Adopted by hand."


@pytest.mark.parametrize("state", sorted(set(State) - {State.SENDING, State.UNCERTAIN}))
async def test_only_uncertain_starts_are_adopted(journal: Journal, state: State) -> None:
    """Known ids are not overwritten by hand."""
    async with journal:
        before = await stored_in(journal, state)
        with pytest.raises(InvalidRequest, match="nothing to adopt"):
            await adopt(journal, "k1", "the-id")
        assert await journal.get("k1") == before


@pytest.mark.parametrize("analysis_id", ["id-other", "id-failed", "", "two words", "a/b", "a?b", "\x1b[2J", "é"])
async def test_an_analysis_belongs_to_one_clip(journal: Journal, analysis_id: str) -> None:
    """Ids that any clip has or ever had are refused, and so is what cannot be an id."""
    async with journal:
        before = await stored_in(journal, State.UNCERTAIN)
        await stored_in(journal, State.STARTED, "other")
        await stored_in(journal, State.FAILED, "failed")
        await release(journal, "failed")
        with pytest.raises(InvalidRequest, match="nothing was changed"):
            await adopt(journal, "k1", analysis_id)
        assert await journal.get("k1") == before


@pytest.mark.parametrize("state", sorted(RELEASABLE))
async def test_a_released_clip_may_be_bought_again(journal: Journal, state: State) -> None:
    """It is open, without an id; the credit that it may have cost stays counted."""
    async with journal:
        await stored_in(journal, state)
        settled = await release(journal, "k1")
        assert settled == await journal.get("k1")
        assert (settled.state, settled.analysis_id, settled.credits) == (State.OPEN, None, 1)
        assert str(state) in settled.reason


@pytest.mark.parametrize("state", sorted(set(State) - RELEASABLE))
async def test_a_paid_clip_is_not_released(journal: Journal, state: State) -> None:
    """Clips that are started, analyzed or open stay as they are."""
    async with journal:
        before = await stored_in(journal, state)
        with pytest.raises(InvalidRequest, match="nothing to release") as caught:
            await release(journal, "k1")
        assert ("the next run starts it" in str(caught.value)) is (state in (State.OPEN, State.INTENDED))
        assert await journal.get("k1") == before


@pytest.mark.parametrize("state", sorted(RELEASABLE))
async def test_the_subject_of_a_released_uncertain_start_is_retired(journal: Journal, state: State) -> None:
    """Its analysis may still appear under it; that of other clips stays available."""
    async with journal:
        await journal.add_tagging_subject("subject-1")
        await stored_in(journal, state, subject_id="subject-1")
        await release(journal, "k1")
        uncertain = state in (State.SENDING, State.UNCERTAIN)
        assert (await journal.tagging_subjects())["subject-1"] is not uncertain


async def test_a_subject_of_the_users_own_is_no_tagging_subject(journal: Journal) -> None:
    """Releasing leaves it alone."""
    async with journal:
        await stored_in(journal, State.UNCERTAIN, subject_id="runner-7")
        await release(journal, "k1")
        assert not await journal.tagging_subjects()


async def test_an_unknown_key_is_refused(journal: Journal) -> None:
    """The journal gets no entry for it."""
    async with journal:
        for action in (adopt(journal, "gone", "the-id"), release(journal, "gone")):
            with pytest.raises(InvalidRequest, match="not in this journal"):
                await action


async def test_the_subject_of_an_adopted_start_is_retired(journal: Journal) -> None:
    """No lookup could resolve the start, so an unknown analysis may be linked to it, or appear later."""
    async with journal:
        await journal.add_tagging_subject("subject-1")
        await stored_in(journal, State.UNCERTAIN, subject_id="subject-1")
        await adopt(journal, "k1", "the-id")
        assert await journal.tagging_subjects() == {"subject-1": False}


@pytest.mark.parametrize("state", [State.SENDING, State.UNCERTAIN, State.REFUSED])
async def test_a_clip_that_a_live_worker_holds_is_released_by_force_only(state: State) -> None:
    """The error says who holds it and what to do. Nothing is changed before."""
    store = MemoryStore()
    async with MemoryJournal(store) as worker, MemoryJournal(store) as journal:
        await worker.beat()
        before = await stored_in(worker, state)
        assert await worker.take("k1") == "k1"
        with pytest.raises(InvalidRequest, match=f"processed by {await journal.holder('k1')}; wait until") as error:
            await release(journal, "k1")
        assert "nothing was changed" in str(error.value)
        assert (await journal.get("k1"), dict(await journal.notes("released"))) == (before, {})
        assert (await release(journal, "k1", force=True)).state is State.OPEN


async def test_a_clip_whose_worker_has_gone_is_released() -> None:
    """The claim ends with the worker."""
    store = MemoryStore()
    async with MemoryJournal(store) as journal:
        async with MemoryJournal(store) as worker:
            await worker.beat()
            await stored_in(worker, State.UNCERTAIN)
            await worker.take("k1")
        assert (await release(journal, "k1")).state is State.OPEN
