"""Tests of what a batch stores of its clips: in spite of a cancellation, and if the journal fails."""

from __future__ import annotations

from functools import partial

import anyio
import pytest
from attrs import evolve

from ochy_async import SideView
from ochy_async.batch.outcomes import Unfinished
from ochy_async.batch.recorder import reopened
from ochy_async.emulator import Service
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import JournalDamaged, JournalError
from ochy_async.journal.contract import Entry, StoredResults
from ochy_async.journal.memory import MemoryJournal, MemoryStore
from ochy_async.policy.clip_states import State
from tests.conftest import direct_session, world
from tests.support.batches import FullFor, Unreadable, batched, clip, clips, named, states

# --- results that cannot be read again ------------------------------------------------------------


def test_paid_results_that_cannot_be_read_again_are_an_outcome() -> None:
    """The clip is unfinished with the journal's error, not bought again, and the other clips are not affected."""
    service, journal = Service(world()), Unreadable()
    in_virtual_time(batched(direct_session(service), clips(1), journal=journal))
    first, second = in_virtual_time(batched(direct_session(service), clips(2), journal=journal))
    assert isinstance(first, Unfinished)
    assert isinstance(first.error, JournalDamaged)
    assert (second.word, len(service.ledger)) == ("analyzed", 2)


# --- what is stored in spite of a cancellation ----------------------------------------------------


class SlowToStore(MemoryJournal):
    """A journal that takes a second to store an entry of one state, and says when it begins."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.state, self.storing = state, anyio.Event()

    async def put(self, entry: Entry, results: StoredResults | None = None, *, most: int | None = None) -> Entry:
        if entry.state is self.state:
            self.storing.set()
            await anyio.sleep(1)
        return await super().put(entry, results, most=most)


@pytest.mark.parametrize("state", [State.STARTED, State.ANALYZED])
def test_what_a_cancelled_batch_was_storing_is_stored(state: State) -> None:
    """The paid id, or the results, are on their way to the disk when the cancellation comes."""

    async def story() -> dict[State, int]:
        journal = SlowToStore(state)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(batched, direct_session(), clips(1), journal=journal))
            await journal.storing.wait()
            tasks.cancel_scope.cancel()
        return await states(journal)

    assert in_virtual_time(story()) == {state: 1}


def test_a_cancelled_batch_stores_a_paid_id_at_last() -> None:
    """The journal was full when the start was accepted, and the batch is cancelled while the analysis is polled."""
    service, journal = Service(world(analysis_seconds=(500.0, 500.0))), FullFor(State.STARTED, 1)

    async def story() -> dict[State, int]:
        with anyio.move_on_after(60):
            await batched(direct_session(service), clips(1), journal=journal)
        return await states(journal)

    assert in_virtual_time(story()) == {State.STARTED: 1}


class StoresAndFails(MemoryJournal):
    """A journal that reports an error for the first paid id although it has stored it."""

    failed = False

    async def put(self, entry: Entry, results: StoredResults | None = None, *, most: int | None = None) -> Entry:
        stored = await super().put(entry, results, most=most)
        if entry.state is State.STARTED and not self.failed:
            self.failed = True
            raise JournalError("The change may be stored or not.")
        return stored


def test_a_paid_id_that_was_stored_after_all_is_not_stored_twice() -> None:
    """The results go on top of it, and the history has each state once."""
    journal = StoresAndFails()
    (outcome,) = in_virtual_time(batched(direct_session(), clips(1), journal=journal))
    assert outcome.word == "analyzed"

    async def history() -> list[State]:
        async with journal:
            return [each.state for each in await journal.history(str(outcome.key))]

    assert in_virtual_time(history()) == [State.INTENDED, State.SENDING, State.STARTED, State.ANALYZED]


class ReleasedMeanwhile(MemoryJournal):
    """A journal that does not store the first paid id, and whose entry is released by hand meanwhile."""

    def __init__(self, another: str | None) -> None:
        super().__init__(MemoryStore())
        self.another, self.failed = another, False
        """The analysis for which another worker has paid then."""

    async def put(self, entry: Entry, results: StoredResults | None = None, *, most: int | None = None) -> Entry:
        if entry.state is not State.STARTED or self.failed:
            return await super().put(entry, results, most=most)
        self.failed = True
        doubtful = await super().put(evolve(entry, state=State.UNCERTAIN, analysis_id=None))
        found = await super().put(reopened(doubtful, "released by hand", entry.at))
        if self.another is not None:
            found = await super().put(evolve(found, state=State.INTENDED, credits=found.credits + 1, token=None))
            found = await super().put(evolve(found, state=State.SENDING, token="of another worker"))
            await super().put(evolve(found, state=State.STARTED, analysis_id=self.another))
        raise JournalError("The disk is full.")


@pytest.mark.parametrize("bought_again", [False, True])
def test_no_credit_is_lost_when_a_paid_id_is_stored_on_top_of_a_released_entry(bought_again: bool) -> None:
    """What has changed meanwhile counts; an analysis that another worker has started stays the clip's."""
    service = Service(world())

    async def story() -> tuple[str, int, State, str | None]:
        journal = ReleasedMeanwhile(await started_elsewhere(service) if bought_again else None)
        (outcome,) = await batched(direct_session(service), clips(1), journal=journal)
        async with journal:
            entry = await journal.get(str(outcome.key))
            assert entry is not None
            assert all([await journal.known({charge.analysis_id or ""}) for charge in service.ledger])
        assert entry.analysis_id == journal.another or not bought_again
        return outcome.word, entry.credits, entry.state, outcome.analysis_id

    word, credits_spent, state, analysis_id = in_virtual_time(story())
    assert (word, state) == ("analyzed", State.ANALYZED)
    assert credits_spent >= len(service.ledger) == 1 + bought_again
    assert analysis_id == service.ledger[0].analysis_id


async def started_elsewhere(service: Service) -> str:
    """The analysis that another worker has started."""
    async with direct_session(service) as ochy:
        return (await ochy.start(clip(0), SideView())).analysis_id


class SlowToNote(MemoryJournal):
    """A journal that takes a second to store the note of a released start, and says when it begins."""

    def __init__(self) -> None:
        super().__init__()
        self.noting = anyio.Event()

    async def set_note(self, name: str, value: str) -> None:
        if name.startswith("released"):
            self.noting.set()
            await anyio.sleep(1)
        await super().set_note(name, value)


def test_a_refused_upload_is_stored_even_if_the_batch_is_cancelled() -> None:
    """The cancellation comes while the note is written: the clip is refused, not uncertain, for the next run."""
    service = Service(world(too_long_clips={"long.mp4"}))

    async def story() -> tuple[dict[State, int], int]:
        journal = SlowToNote()

        async def run() -> None:
            await batched(direct_session(service), [named("long.mp4", 0)], journal=journal)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await journal.noting.wait()
            tasks.cancel_scope.cancel()
        found = await states(journal)
        async with journal:
            return found, len(await journal.notes("released"))

    assert in_virtual_time(story()) == ({State.REFUSED: 1}, 1)
