"""Tests of buying finished clips again: only if the user says so, all at once, and no uncertain or unfinished ones."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from ochy_async import OchySession, SideView
from ochy_async.batch.reopen import Reopened
from ochy_async.emulator import DisconnectAfter, Service
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import InvalidRequest
from ochy_async.journal.memory import MemoryJournal
from ochy_async.policy.clip_states import State
from tests.conftest import Recorded, direct_session, world
from tests.support.batches import Outcomes, charges, clip, clips, on_start, states, words


async def again(ochy: OchySession, source: Any, **settings: Any) -> tuple[Reopened, Outcomes]:
    """Reopens the clips, and runs them."""
    async with ochy, ochy.batch(SideView(), **settings) as batch:
        reopened = await batch.reopen(source)
        return reopened, [outcome async for outcome in batch.run(source)]


def bought(count: int, **settings: Any) -> tuple[Service, MemoryJournal]:
    """Runs a batch until it is finished."""
    service, journal = Service(world(**settings)), MemoryJournal()
    in_virtual_time(again(direct_session(service), clips(count), journal=journal))
    return service, journal


def test_finished_clips_are_bought_again() -> None:
    """One more credit for each, with a new analysis; the history says why, and the earlier ids stay known."""
    service, journal = bought(2)
    reopened, outcomes = in_virtual_time(again(direct_session(service), clips(2), journal=journal))
    assert (reopened.clips, words(outcomes), charges(service)) == (2, ["analyzed"] * 2, [2, 2])

    charged = {str(charge.analysis_id) for charge in service.ledger}

    async def remembered() -> tuple[frozenset[str], list[str]]:
        async with journal:
            return await journal.known(charged), [each.reason for each in await journal.history(str(outcomes[0].key))]

    known, reasons = in_virtual_time(remembered())
    assert known == charged
    assert [reason for reason in reasons if "The user wants it analyzed again" in reason]


def test_the_run_after_that_buys_nothing() -> None:
    """Reopening counts once: without it a finished batch sends nothing."""
    service, journal = bought(2)
    in_virtual_time(again(direct_session(service), clips(2), journal=journal))
    requests = Recorded()

    async def run() -> Outcomes:
        async with direct_session(service, requests) as ochy, ochy.batch(SideView(), journal=journal) as batch:
            return [outcome async for outcome in batch.run(clips(2))]

    assert words(in_virtual_time(run())) == ["analyzed"] * 2
    assert requests.routes == []


def test_an_uncertain_clip_prevents_reopening() -> None:
    """Neither it nor any other clip is reopened: unfinished clips come first."""
    service, journal = bought(1)
    in_virtual_time(
        again(direct_session(service, on_start(DisconnectAfter(charged=False))), [clip(1)], journal=journal)
    )
    reopened, outcomes = in_virtual_time(again(direct_session(service), clips(2), journal=journal))
    assert (reopened.clips, reopened.unfinished) == (0, ("clip 2",))
    assert (sorted(words(outcomes)), charges(service)) == (["analyzed", "uncertain"], [1])


def test_reopened_clips_that_were_not_shown_are_not_reopened() -> None:
    """A process dies when all is analyzed and nothing was shown: repeated, the command shows it and buys nothing."""
    service, journal = bought(2)

    async def broken_off() -> None:
        async with direct_session(service) as ochy, ochy.batch(SideView(), journal=journal) as batch:
            await batch.reopen(clips(2))
            async for _ in batch.run(clips(2)):
                await anyio.sleep(1000)
                return

    in_virtual_time(broken_off())
    assert in_virtual_time(states(journal)) == {State.ANALYZED: 2}
    reopened, outcomes = in_virtual_time(again(direct_session(service), clips(2), journal=journal))
    assert (reopened.clips, len(reopened.unfinished), words(outcomes)) == (0, 2, ["analyzed"] * 2)
    assert charges(service) == [2, 2]
    assert in_virtual_time(again(direct_session(service), clips(2), journal=journal))[0].clips == 2


def test_a_limit_that_is_too_low_reopens_nothing() -> None:
    """It is all clips or none."""
    service, journal = bought(3)
    with pytest.raises(InvalidRequest, match="leaves 2 credits, but 3 clips"):
        in_virtual_time(again(direct_session(service), clips(3), journal=journal, max_credits=5))
    assert in_virtual_time(states(journal)) == {State.ANALYZED: 3}
    assert charges(service) == [1, 1, 1]


def test_a_clip_that_would_be_refused_now_keeps_its_results() -> None:
    """A stricter preflight than the one that it was bought with: it is reported and stays as it is."""
    service, journal = bought(1)
    ochy = direct_session(service, preflight="errors")
    reopened, outcomes = in_virtual_time(again(ochy, clips(1), journal=journal))
    assert (reopened.clips, len(reopened.unfit)) in ((0, 1), (1, 0))  # without a decoder nothing is found against it
    assert words(outcomes) == ["analyzed"]


def test_a_plan_counts_what_would_be_bought_again() -> None:
    """It reopens nothing."""
    service, journal = bought(2)

    async def plans() -> list[Any]:
        async with direct_session(service) as ochy, ochy.batch(SideView(), journal=journal) as batch:
            return [await batch.plan(clips(3)), await batch.plan(clips(3), reopened=True)]

    plain, reopened = in_virtual_time(plans())
    assert ((plain.to_buy, plain.done), (reopened.to_buy, reopened.done)) == ((1, 2), (3, 0))
    assert in_virtual_time(states(journal)) == {State.ANALYZED: 2}


def test_a_stop_reopens_nothing() -> None:
    """Stopping while the clips are read buys nothing."""
    service, journal = bought(2)

    async def stopped() -> Reopened:
        async with direct_session(service) as ochy, ochy.batch(SideView(), journal=journal) as batch:
            batch.stop()
            return await batch.reopen(clips(2))

    assert in_virtual_time(stopped()).clips == 0
    assert in_virtual_time(states(journal)) == {State.ANALYZED: 2}


def test_exactly_as_many_credits_as_clips_are_enough() -> None:
    """Two clips are analyzed again for the two credits that `max_credits` leaves."""
    service, journal = bought(2)
    reopened, outcomes = in_virtual_time(again(direct_session(service), clips(2), journal=journal, max_credits=4))
    assert (reopened.clips, words(outcomes), charges(service)) == (2, ["analyzed"] * 2, [2, 2])


def test_an_unfinished_outcome_does_not_settle_a_reopened_clip() -> None:
    """The analysis is finished by a run that shows nothing of it: the repeated command shows it and buys nothing."""
    service, journal = bought(1)
    (unfinished,) = in_virtual_time(again(direct_session(service), clips(1), journal=journal, timeout=0.1))[1]

    async def left_early() -> None:
        async with direct_session(service) as ochy, ochy.batch(SideView(), journal=journal) as batch:
            await anext(batch.run(clips(1)))

    in_virtual_time(left_early())
    reopened, outcomes = in_virtual_time(again(direct_session(service), clips(1), journal=journal))
    assert (unfinished.word, reopened.clips, words(outcomes)) == ("unfinished", 0, ["analyzed"])
    assert charges(service) == [2]
