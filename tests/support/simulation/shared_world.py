"""Several workers at the same time on one journal, paused, killed and started again, and what befalls all of them."""

# The world reads private state of the emulator.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from contextvars import Context
from functools import partial
from typing import Any, Final

from attrs import define, evolve, field

from ochy_async import OchySession
from ochy_async.batch import resolve
from ochy_async.batch.outcomes import Outcome
from ochy_async.emulator import InProcessTransport, RandomFaults, Service
from ochy_async.emulator.messages import ServiceRequest, ServiceResponse
from ochy_async.errors import InvalidRequest, JournalConflict, JournalError
from ochy_async.journal.contract import Entry, HistoryEntry
from ochy_async.journal.memory import MemoryJournal, MemoryStore
from ochy_async.policy.clip_states import State
from tests.conftest import loop_clock

from .judge import Judge
from .pausing import Process, Strike, in_pausing_time
from .scenario import Purchase
from .shared_scenario import CONDITIONS, Life, SharedScenario, WorkerPlan, shared_scenario_of
from .shared_worker import WorkerJournal, WorkerTransport

LONGEST_LIFE: Final = 40_000.0
"""Seconds. Every process ends earlier, whatever befalls it."""


class WatchedStore(MemoryStore):
    """What all workers share. The judge sees every change."""

    world: SharedWorld
    changes: list[tuple[Entry | None, Entry, str | None]]
    """Every entry before and after its change, and the analysis that the change added."""

    def store(self, stored: Entry, change: HistoryEntry | None = None) -> None:
        before = self.entries.get(stored.key)
        known = set(self.owners)
        super().store(stored, change)
        self.changes.append((before, stored, next(iter(self.owners.keys() - known), None)))
        text = f"{stored.clip} ({stored.key[:4]}) {stored.state}, version {stored.version}, {stored.credits} credits"
        self.world.trace(f"stored: {text}" if change is None else f"added: {text}, {change.analysis_id}")
        self.world.judge.stored(before, stored, added=change is not None)
        if self.world.scenario.failover is not None and len(self.changes) == self.world.scenario.failover[0]:
            asyncio.get_running_loop().call_soon(self.world.fail_over, context=Context())

    def fail_over(self, lost: int) -> None:
        """Lets another server take over, which has lost so many changes, and those since the intent before them."""
        while self.changes and (lost > 0 or self.changes[-1][1].state is not State.INTENDED):
            before, entry, analysis_id = self.changes.pop()
            self.history[entry.key].pop()
            if before is None:
                del self.entries[entry.key], self.history[entry.key]
            else:
                self.entries[entry.key] = before
            self.owners.pop(analysis_id or "", None)
            if before is None or before.state is not State.ANALYZED:
                self.results.pop(entry.key, None)
            self.world.trace(f"lost: {entry.clip} {entry.state}, it is {'new' if before is None else before.state}")
            self.world.judge.lost(before, entry, analysis_id)
            lost -= 1
        self.failover = True


class WatchedService(Service):
    """The server. The judge sees every charge."""

    world: SharedWorld

    def handle(self, request: ServiceRequest, now: float) -> ServiceResponse:
        before = len(self.ledger)
        response = super().handle(request, now)
        for charge in self.ledger[before:]:
            self.world.trace(f"charged: {charge.filename} {charge.analysis_id}")
            self.world.judge.charged()
        return response


@define(eq=False)
class SharedWorld:
    """Several workers on one journal."""

    scenario: SharedScenario
    verbose: bool = False
    service: WatchedService = field(init=False)
    store: WatchedStore = field(init=False)
    judge: Judge = field(init=False)
    chance: random.Random = field(init=False)
    purchases: dict[str, Purchase] = field(init=False)
    """What each key of the journal stands for."""
    processes: list[Process] = field(factory=list, init=False)
    fault_free: bool = field(default=False, init=False)
    failed: set[Process] = field(factory=set, init=False)
    """The processes whose journal has failed."""
    struck: asyncio.Event = field(factory=asyncio.Event, init=False)
    """Set once a process was struck or has ended."""
    _failed_over: bool = field(default=False, init=False)
    _outside: set[asyncio.Task[Any]] = field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        scenario = self.scenario
        self.service, self.store = WatchedService(scenario.world), WatchedStore(ceilings=scenario.ceilings)
        self.service.world = self.store.world = self
        self.store.changes = []
        self.judge, self.chance = Judge(self), random.Random(scenario.seed)
        inner = InProcessTransport(self.service)
        if scenario.runner is not None:
            runner = self.service._account.create_subject({"name": "Anna"}, 0.0)
            self.judge.expect(runner["id"] == scenario.runner, "the runner has another id")
        self.purchases = scenario.keys(inner.account, inner.origin)

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def trace(self, what: str) -> None:
        if self.verbose:
            print(f"{self.now():10.3f}  {what}")

    def fails(self, process: Process, share: float) -> bool:
        """Whether a call of the journal fails."""
        if self.fault_free or share == 0.0 or self.chance.random() >= share:
            return False
        self.failed.add(process)
        return True

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Keeps a task of the server, or one that hands a chunk over, until it has ended."""
        self._outside.add(task)
        task.add_done_callback(self._ended_outside, context=Context())

    def _ended_outside(self, task: asyncio.Task[Any]) -> None:
        self._outside.discard(task)
        if not task.cancelled():
            task.exception()  # who waits for it learns of it

    async def run(self) -> SharedWorld:
        loop = asyncio.get_running_loop()
        scenario = self.scenario
        tasks = [loop.create_task(self._worker(f"worker {n}", plan)) for n, plan in enumerate(scenario.workers)]
        tasks += [loop.create_task(self._release(seconds)) for seconds in scenario.releases]
        if scenario.credits_added is not None:
            loop.call_later(scenario.credits_added, self.service.add_credits, 100)
        await asyncio.gather(*tasks)
        self.judge.ended(await self._run_fault_free())
        await self._settle()
        return self

    def fail_over(self) -> None:
        """Lets another server take over the journal, once."""
        if self.scenario.failover is None or self._failed_over:
            return
        self._failed_over = True
        self.trace("another server takes over the journal, and all workers die")
        for process in self.processes:
            if process.main is not None and not process.main.done():
                process.kill()
        self.store.fail_over(self.scenario.failover[1])

    async def _settle(self) -> None:
        if self._outside:
            await asyncio.wait(set(self._outside), timeout=60.0)
        self.judge.expect(len(asyncio.all_tasks()) == 1, "a task was left behind")

    async def _run_fault_free(self) -> dict[Purchase, Outcome[Any, Any]]:
        """Runs two workers without faults, one after the other, once the lists show everything."""
        await asyncio.sleep(300.0)
        self.fault_free = True
        if self.service.credits < 100:
            self.service.add_credits(100)
        everything = range(len(self.scenario.clips))
        found: list[Outcome[Any, Any]] = []
        for name in ("last but one", "last"):
            found = await self._life(Process(name), WorkerPlan(clips=everything, lives=()), Life())
        return {self.scenario.purchase(outcome.index): outcome for outcome in found}

    async def _worker(self, name: str, plan: WorkerPlan) -> None:
        for number, life in enumerate(plan.lives):
            await asyncio.sleep(life.rest)
            if life.waits:
                await self.struck.wait()
            process = Process(f"{name}{'abc'[number]}", list(life.strikes))
            process.on_strike = partial(self._note_strike, process)
            await self._life(process, plan, life)
            self.struck.set()

    def _note_strike(self, process: Process, strike: Strike) -> None:
        self.struck.set()
        what = "killed" if strike.seconds is None else f"paused for {strike.seconds:.1f} s"
        self.trace(f"{process.name} is {what} at its moment {process.moments}, step {process.steps}")

    async def _life(self, process: Process, plan: WorkerPlan, life: Life) -> list[Outcome[Any, Any]]:
        """One process, from its beginning to its end."""
        self.processes.append(process)
        self.trace(f"{process.name} begins, faults: {life.conditions}")
        found: list[Outcome[Any, Any]] = []
        main = process.start(self._batch(process, plan, life, found))
        await asyncio.wait({main}, timeout=LONGEST_LIFE)
        self.judge.expect(main.done() and process.steps < 200_000, "a worker does not end")
        if not main.done():
            process.kill()
            await asyncio.wait({main})
        error = None if main.cancelled() else main.exception()
        self.trace(f"{process.name} has ended{'' if error is None else f': {error!r}'}")
        opening_failed = process in self.failed and isinstance(error, JournalError)
        self.judge.expect(process.dead or error is None or opening_failed, f"a worker died by itself: {error!r}")
        if not (process.dead or opening_failed or life.tends or life.hand_over is not None):
            self.judge.complete(len(plan.clips), found)
        return found

    async def _batch(self, process: Process, plan: WorkerPlan, life: Life, found: list[Outcome[Any, Any]]) -> None:
        """The command of a worker."""
        scenario = self.scenario
        rate, possible, routes = CONDITIONS[life.conditions]
        faults = RandomFaults(self.chance.randrange(10**6), rate, possible, routes)
        transport = WorkerTransport(InProcessTransport(self.service, faults, latency=0.05), process, self)
        async with (
            OchySession(transport=transport, clock=loop_clock, chance=self.chance.random, preflight="off") as ochy,
            ochy.batch(
                journal=WorkerJournal(process, self),
                concurrency=plan.concurrency,
                tag_starts=scenario.tagged,
                max_credits=scenario.max_credits,
                wait_for_credits=scenario.wait_for_credits,
            ) as batch,
        ):
            if life.hand_over is not None:
                asyncio.get_running_loop().call_later(life.hand_over, self._hand_over, process, batch)
            outcomes = batch.tend() if life.tends else batch.run(scenario.source(plan.clips))
            async for outcome in outcomes:
                self.trace(f"{process.name}: outcome {outcome.label} {outcome.word} {outcome.analysis_id or ''}")
                if not process.dead:
                    found.append(outcome)
                    self.judge.came(process, outcome)

    def _hand_over(self, process: Process, batch: Any) -> None:
        if process.main is not None and not process.main.done():
            self.trace(f"{process.name} hands over")
            batch.stop(hand_over=True)

    async def _release(self, seconds: float) -> None:
        """Somebody releases a clip by hand, without looking whether its worker lives."""
        await self.struck.wait()
        await asyncio.sleep(seconds)
        states = (State.SENDING, State.UNCERTAIN, State.FAILED, State.REFUSED)
        possible = [entry for entry in self.store.entries.values() if entry.state in states]
        if not possible:
            return
        entry = self.chance.choice(possible)
        async with MemoryJournal(self.store) as journal:
            self.trace(f"{entry.clip} is released by hand; it was {entry.state}")
            try:
                await resolve.release(journal, entry.key, force=True)
            except (InvalidRequest, JournalConflict):
                return  # it has changed meanwhile
            self.judge.releases[self.purchases[entry.key]] += 1


def simulate_shared(scenario: SharedScenario, *, verbose: bool = False) -> SharedWorld:
    """Simulates a world of several workers in virtual time."""
    return in_pausing_time(SharedWorld(scenario, verbose).run())


def shared_violations_of(seeds: Sequence[int], **changes: Any) -> Iterator[tuple[int, list[str]]]:
    """The violations of each world of several workers that has any, by seed. `changes` are made to its scenario."""
    for seed in seeds:
        if violations := simulate_shared(evolve(shared_scenario_of(seed), **changes)).judge.violations:
            yield seed, sorted(set(violations))
