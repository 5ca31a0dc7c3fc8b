"""All processes of one world, one after the other on one journal, and the checks of what they leave behind.

Invariant: a violation is what the client believes or did, compared with the emulator's ledger.
"""

# The checks read private state of journal and emulator.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from typing import Any, Final

from attrs import define, evolve, field

from ochy_async import OchySession, Polling, Webhooks
from ochy_async.batch.outcomes import Analyzed, Failed, Outcome, Refused, Uncertain
from ochy_async.emulator import InProcessTransport, RandomFaults, Service, in_process
from ochy_async.emulator.messages import Form, ServiceRequest, UploadedVideo
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import InvalidRequest
from ochy_async.journal.contract import Entry
from ochy_async.journal.memory import MemoryStore
from ochy_async.policy.clip_states import State
from tests.conftest import loop_clock

from .process import TOKEN, Crash, CrashingJournal, CrashingReceiver, CrashingTransport, CrashPoint
from .scenario import CONDITIONS, Purchase, Scenario, scenario_of

REOPENABLE: Final = (State.ANALYZED, State.FAILED, State.REFUSED)
"""The states that may be reopened; written out here, so that the checks do not depend on the library."""


@define(eq=False)
class Simulation:
    """All processes of one world, one after the other, and what was observed."""

    scenario: Scenario
    verbose: bool = False
    service: Service = field(init=False)
    store: MemoryStore = field(factory=MemoryStore, init=False)
    chance: random.Random = field(init=False)
    delayed_starts: list[tuple[float, ServiceRequest]] = field(factory=list, init=False)
    violations: list[str] = field(factory=list, init=False)
    outcomes: list[Outcome[Any, Any]] = field(factory=list, init=False)
    """Of the last process that did not die."""
    steps: list[int] = field(factory=list, init=False)
    """The number of steps of each process."""
    fault_free: bool = False
    reopen_commands: int = 0
    """How often the user wanted finished clips bought again. Repeating a command after a crash does not count."""
    reopen_pending: bool = False
    times_reopened: Counter[str] = field(factory=Counter, init=False)
    """By key."""
    polled: set[tuple[str, str]] = field(factory=set, init=False)
    """The analyses whose end a poll has shown, with their status."""
    journal_changes: int = 0
    tokens: set[str | None] = field(factory=set, init=False)
    """Of all attempts."""
    interruptions: random.Random = field(init=False)
    """Chance of its own for interrupted permissions, so that worlds without them stay as they are."""
    deliveries: int = 0
    """The number of deliveries that reached a process."""

    def __attrs_post_init__(self) -> None:
        self.service = Service(self.scenario.world)
        self.chance = random.Random(self.scenario.seed)
        self.interruptions = random.Random(f"interruptions {self.scenario.seed}")
        if self.scenario.webhooks:
            self.service.set_webhook("https://hooks.example.org/simulated")

    def expect(self, right: bool, otherwise: str) -> None:
        if not right:
            self.violations.append(otherwise)
            self.trace(f"VIOLATION: {otherwise}")

    def interrupts(self, share: float) -> bool:
        return share > 0.0 and self.interruptions.random() < share

    def trace(self, what: str) -> None:
        if self.verbose:
            print(f"{asyncio.get_running_loop().time():9.2f}  {what}")

    def check_reopening(self, entries: Sequence[Entry]) -> None:
        """Checks a reopening: only finished clips, and each as often as the user wanted."""
        self.times_reopened.update(entry.key for entry in entries)
        self.expect(all(entry.state in REOPENABLE for entry in entries), "a clip was reopened that is not finished")
        self.expect(
            max(self.times_reopened.values()) <= self.reopen_commands,
            "a clip was reopened more often than the user wanted",
        )

    def deliver_delayed(self) -> None:
        """Delivers the delayed starts that are due."""
        now = in_process.loop_clock()
        for at, ask in [each for each in self.delayed_starts if each[0] <= now]:
            self.delayed_starts.remove((at, ask))
            self.service.handle(ask, at)
            self.trace(f"start: {ask.form and ask.form.file and ask.form.file.filename} is delivered")

    async def run(self) -> Simulation:
        scenario = self.scenario
        commands = [*scenario.reopens, *[False] * (len(scenario.conditions) - len(scenario.reopens))]
        for conditions, crash, reopens in zip(scenario.conditions, scenario.crashes, commands, strict=True):
            self.reopen_commands += reopens and not self.reopen_pending
            self.reopen_pending = self.reopen_pending or reopens
            await self._process(conditions, CrashPoint(crash), reopens=reopens)
            self._start_foreign_analysis()
            await asyncio.sleep(self.chance.choice((0.0, 5.0, 100.0)))
        await self._run_fault_free()
        self._check()
        await self._run_again()
        return self

    async def _run_fault_free(self) -> None:
        """Runs processes without faults, with enough credits and time for all delayed starts."""
        self.fault_free = True
        if self.service.credits < 100:
            self.service.add_credits(100)
        for _ in range(2):
            await asyncio.sleep(400)
            self.deliver_delayed()
            await asyncio.sleep(400)
            await self._process("none", CrashPoint())

    async def _process(self, conditions: str, crash_point: CrashPoint, *, reopens: bool = False) -> CrashingTransport:
        """Runs one process until it is done or dies."""
        self.trace(f"--- a process, faults: {conditions}, dies at {crash_point.left}")
        rate, possible, routes = CONDITIONS[conditions]
        faults = RandomFaults(self.chance.randrange(10**6), rate, possible, routes)
        inner = InProcessTransport(self.service, faults, latency=0.05)
        transport = CrashingTransport(inner, crash_point, self)
        journal = CrashingJournal(crash_point, self)
        found: list[Outcome[Any, Any]] = []
        try:
            await self._batch(transport, journal, found, reopens=reopens)
        except (Crash, BaseExceptionGroup):
            self.expect(crash_point.crashed, "a process died by itself")
            self.trace("it died")
        else:
            self._check_complete(found)
        # Once all outcomes were returned the command is done, even if its process dies before it has cleaned up.
        self.reopen_pending = self.reopen_pending and len(found) < len(self.scenario.clips)
        self.steps.append(crash_point.steps)
        self.expect(len(asyncio.all_tasks()) == 1, "a task was left behind")
        return transport

    async def _batch(
        self, transport: CrashingTransport, journal: CrashingJournal, found: list[Outcome[Any, Any]], *, reopens: bool
    ) -> None:
        scenario = self.scenario
        hooks = Webhooks(TOKEN) if scenario.webhooks else None
        receiving = nullcontext() if hooks is None else self._receiving(transport, hooks)
        async with (
            receiving,
            OchySession(
                transport=transport,
                clock=loop_clock,
                chance=self.chance.random,
                preflight="off",
                webhooks=hooks,
                polling=Polling(rest=scenario.rest),
            ) as ochy,
        ):
            settings: dict[str, Any] = {"tag_starts": scenario.tagged, "max_credits": scenario.max_credits}
            async with ochy.batch(journal=journal, concurrency=scenario.concurrency, **settings) as batch:
                if reopens:
                    with suppress(InvalidRequest):  # max_credits does not leave enough
                        await batch.reopen(scenario.source())
                async for outcome in batch.run(scenario.source()):
                    self.trace(f"outcome: {outcome.label} {outcome.word} {outcome.analysis_id or ''}")
                    transport.running.discard(outcome.analysis_id or "")
                    found.append(outcome)
                    self._check_end(outcome)
                    if isinstance(outcome, Analyzed):
                        self.expect(outcome.key in self.store.results, "an outcome came before its results were stored")

    def _receiving(self, transport: CrashingTransport, hooks: Webhooks) -> AbstractAsyncContextManager[None]:
        receiver = CrashingReceiver(hooks, transport.crash_point, self)
        return transport.inner.delivering(receiver.receive)

    def _check_end(self, outcome: Outcome[Any, Any]) -> None:
        """Checks that a clip ended as a poll has shown, and that the service's analysis has ended so."""
        if not isinstance(outcome, Analyzed | Failed):
            return
        word = "success" if isinstance(outcome, Analyzed) else "failed"
        analysis = self.service._account.analyses[outcome.analysis_id or ""]
        now = in_process.loop_clock() + self.scenario.world.clock_offset
        self.expect((outcome.analysis_id, word) in self.polled, f"a clip ended as {word}, which no poll has shown")
        self.expect(analysis.status(now) == word, f"a clip ended as {word}, which its analysis is not")

    def _start_foreign_analysis(self) -> None:
        if self.scenario.foreign:
            form = Form({"analysis_type": "side_view"}, UploadedVideo("foreign.mp4", 9, "ab" * 32))
            ask = ServiceRequest("POST", "/analysis/start", {"apiKey": self.service.api_key}, form=form)
            self.service.handle(ask, in_process.loop_clock())

    def _check_complete(self, found: list[Outcome[Any, Any]]) -> None:
        """Checks that a process that did not die has one outcome for every clip."""
        indexes = sorted(outcome.index for outcome in found)
        self.expect(indexes == list(range(len(self.scenario.clips))), "a clip has no outcome, or two")
        self.outcomes = found

    # --- the checks -------------------------------------------------------------------------------

    def _check_money(self, charges: Mapping[str, Purchase]) -> None:
        most = 1 + self.reopen_commands
        self.expect(max(Counter(charges.values()).values(), default=0) <= most, "a clip was charged twice")
        ours = [charge for charge in self.service.ledger if charge.filename != "foreign.mp4"]
        limit = self.scenario.max_credits
        self.expect(limit is None or len(ours) <= limit, "more credits were spent than max_credits")
        purchases = Counter(
            purchase.sha256 for purchase in {self.scenario.purchase(index) for index in range(len(self.scenario.clips))}
        )
        refused = Counter(charge.sha256 for charge in ours if charge.analysis_id is None)
        purchases = Counter({sha256: count * most for sha256, count in purchases.items()})
        self.expect(not refused - purchases, "a refused clip was charged twice")

    def _made(self) -> dict[str, Purchase]:
        """What each analysis was made of, including those of refused uploads, but not those of the other program."""
        starts = {name: analysis.parameters for name, analysis in self.service._account.analyses.items()}
        return {
            name: Purchase(start.video.sha256, start.analysis_type, start.height)
            for name, start in starts.items()
            if start.video.filename != "foreign.mp4"
        }

    def _charges(self) -> dict[str, Purchase]:
        """What was paid for, by the id of its analysis."""
        paid = {charge.analysis_id for charge in self.service.ledger}
        return {name: purchase for name, purchase in self._made().items() if name in paid}

    def _replaced(self) -> set[str | None]:
        """The ids of analyses that were finished before their clips were bought again: paid for and known."""
        store = self.store
        past = {line.analysis_id for lines in store.history.values() for line in lines}
        return past - {entry.analysis_id for entry in store.entries.values()} - {None}

    def _check(self) -> None:
        charges, made = self._charges(), self._made()
        replaced = self._replaced()
        paid = Counter(purchase for name, purchase in charges.items() if name not in replaced)
        self._check_money(charges)
        reported: set[str | None] = set()
        for outcome in self.outcomes:
            purchase = self.scenario.purchase(outcome.index)
            if isinstance(outcome, Analyzed | Failed):
                reported.add(outcome.analysis_id)
                self.expect(made.get(outcome.analysis_id or "") == purchase, "a clip got the analysis of another")
            elif isinstance(outcome, Uncertain):
                self.expect(
                    not (self.scenario.tagged and paid[purchase]),
                    "a charged start with a tagging subject was not found",
                )
            else:
                self.expect(not paid[purchase], f"a paid clip ended as {outcome.word}")
        uncertain = {self.scenario.purchase(o.index) for o in self.outcomes if isinstance(o, Uncertain)}
        lost = [
            name for name, purchase in charges.items() if name not in reported | replaced and purchase not in uncertain
        ]
        self.expect(not lost, "a paid result was lost")

    async def _run_again(self) -> None:
        """Checks that another run buys nothing, and sends nothing if all clips are finished."""
        before = len(self.service.ledger)
        transport = await self._process("none", CrashPoint())
        self.expect(len(self.service.ledger) == before, "a finished batch bought again")
        if all(isinstance(outcome, Analyzed | Failed | Refused) for outcome in self.outcomes):
            self.expect(not transport.sent, "a finished batch sent a request")


def simulate(scenario: Scenario, *, verbose: bool = False) -> Simulation:
    """Simulates a scenario in virtual time."""
    return in_virtual_time(Simulation(scenario, verbose).run())


def violations_of(seeds: Sequence[int], **changes: Any) -> Iterator[tuple[int, list[str]]]:
    """The violations of each world that has any, by seed. `changes` are made to its scenario."""
    for seed in seeds:
        if violations := simulate(evolve(scenario_of(seed), **changes)).violations:
            yield seed, sorted(set(violations))
