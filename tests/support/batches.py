"""What the tests of batches share: clips, journals that fail, faults, and the outcomes of one run."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from anyio import sleep

from ochy_async import Clip, OchySession, SideView
from ochy_async.batch.outcomes import Outcome
from ochy_async.emulator import Fault, FaultPlan, FaultRule, Service, sample_clip
from ochy_async.errors import JournalDamaged, JournalFull
from ochy_async.journal.contract import Entry, StoredResults
from ochy_async.journal.memory import MemoryJournal
from ochy_async.policy.clip_states import State
from ochy_async.policy.concurrency import Concurrency
from ochy_async.protocol.routes import START
from tests.conftest import Recorded

Outcomes = list[Outcome[Any, Any]]
ONE_AT_A_TIME = Concurrency(uploads=1, in_flight=1)


def clip(number: int) -> bytes:
    """A small clip with a content of its own."""
    return sample_clip(number, size=300)


def clips(count: int) -> list[bytes]:
    return [clip(number) for number in range(count)]


async def stream_of(content: bytes) -> AsyncIterator[bytes]:
    yield content


def named(name: str, number: int) -> Clip:
    """A clip with a name."""
    return Clip.stream(lambda: stream_of(clip(number)), name=name, size=300)


class SlowClip:
    """A clip whose bytes are sent slowly; counts how many such uploads run now, and how many ran at most."""

    under_way = most = 0

    def __init__(self, number: int, seconds: float) -> None:
        self._content, self._seconds, self._opened = sample_clip(number, size=300), seconds, 0

    @property
    def clip(self) -> Clip:
        return Clip.stream(self._chunks, name="film.mp4", size=300)

    async def _chunks(self) -> AsyncIterator[bytes]:
        self._opened += 1
        if self._opened == 1:  # to be hashed
            yield self._content
            return
        SlowClip.under_way += 1
        SlowClip.most = max(SlowClip.most, SlowClip.under_way)
        try:
            await sleep(self._seconds)
            yield self._content
        finally:
            SlowClip.under_way -= 1


def on_start(fault: Fault, times: int = 1, occurrence: int | None = None) -> Recorded:
    """A fault for starts; every request is recorded."""
    return Recorded(FaultPlan([FaultRule(str(START), fault, occurrence=occurrence, times=times)]))


def requests_with(*rules: FaultRule) -> Recorded:
    """Faults, and a record of all requests."""
    return Recorded(FaultPlan(list(rules)))


async def batched(ochy: OchySession, source: Any, **settings: Any) -> Outcomes:
    """All outcomes of one batch, in the order of the input."""
    async with ochy, ochy.batch(settings.pop("request", SideView()), **settings) as batch:
        return sorted([outcome async for outcome in batch.run(source)], key=lambda outcome: outcome.index)


def words(outcomes: Outcomes) -> list[str]:
    return [outcome.word for outcome in outcomes]


def charges(service: Service) -> list[int]:
    """How often each content was charged."""
    return sorted(Counter(charge.sha256 for charge in service.ledger).values())


async def states(journal: MemoryJournal) -> Counter[State]:
    async with journal:
        return Counter((await journal.totals()).entries)


class Unreadable(MemoryJournal):
    """A journal whose results cannot be read again."""

    async def results(self, key: str) -> StoredResults | None:
        raise JournalDamaged(f"The row of {key} does not match its checksum.")


class FullFor(MemoryJournal):
    """A journal whose disk is full for some changes to a state, and works afterwards."""

    def __init__(self, state: State, times: int) -> None:
        super().__init__()
        self.state, self.times = state, times

    async def put(self, entry: Entry, results: StoredResults | None = None, *, most: int | None = None) -> Entry:
        if entry.state is self.state and self.times > 0:
            self.times -= 1
            raise JournalFull("The disk is full.")
        return await super().put(entry, results, most=most)


class FullForReleases(MemoryJournal):
    """A journal whose disk is full for the note about a start that is not looked up any more."""

    async def set_note(self, name: str, value: str) -> None:
        if name.startswith("released"):
            raise JournalFull("The disk is full.")
        await super().set_note(name, value)
