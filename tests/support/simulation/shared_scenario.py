"""One seed is one world of several workers: their clips, their faults, and what befalls each of them.

Invariant: pure. Scenarios are values, and each chance is drawn from the seed, so that a seed is always the same world.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final, Literal

from attrs import evolve, frozen

from ochy_async import Clip, Concurrency
from ochy_async.emulator import (
    Delay,
    DisconnectAfter,
    DisconnectBefore,
    DisconnectDuring,
    EmulatorSettings,
    Fault,
    Redirect,
    RefuseConnection,
    ReplaceBody,
    Respond,
    RespondAfter,
    ResponseShapes,
    RetryAfter,
)
from ochy_async.emulator.seeded_random import seeded_uuid
from ochy_async.journal.contract import LEASE, Ceilings
from ochy_async.policy.identity import identity
from ochy_async.protocol.request import AnalysisRequest
from ochy_async.protocol.routes import START

from .pausing import Strike
from .scenario import REQUESTS, Purchase, clip_of, purchase_of

Purchasable = tuple[int, AnalysisRequest[Any, Any]]
"""The number of a content, and its request."""

FAULTS: Final[tuple[Fault, ...]] = (
    RefuseConnection(),
    DisconnectBefore(),
    DisconnectDuring(100),
    DisconnectAfter(charged=True),
    DisconnectAfter(charged=False),
    Delay(2.0),
    Delay(3.0, after=True),
    Respond(429),
    RetryAfter("20"),
    Respond(500),
    RespondAfter(502),
    Redirect("/elsewhere", reaches_service=True),
    ReplaceBody(b'{"message": "started"}'),
)
CONDITIONS: Final[dict[str, tuple[float, Sequence[Fault], str]]] = {
    "none": (0.0, FAULTS, "*"),
    "few": (0.1, FAULTS, "*"),
    "some": (0.3, FAULTS, "*"),
    "lost answers": (0.6, (DisconnectAfter(charged=True), DisconnectAfter(charged=False)), str(START)),
    "refused key": (1.0, (Respond(403),), "*"),
    "refused starts": (0.8, (RefuseConnection(), Respond(500)), str(START)),
}
"""The share of requests with a fault, the faults, and the routes."""


COUNTED: Final[tuple[tuple[Literal["moments", "moments of starts", "steps"], int], ...]] = (
    ("moments", 40),
    ("moments", 120),
    ("moments of starts", 20),
    ("moments of starts", 60),
    ("steps", 300),
)
"""What a strike counts, and the latest at which it comes."""


@frozen(kw_only=True)
class Life:
    """One process of a worker."""

    rest: float = 0.0
    """Seconds before it begins, after the one before has ended."""
    conditions: str = "none"
    strikes: Sequence[Strike] = ()
    waits: bool = False
    """Whether it also waits until another process was struck or has ended."""
    tends: bool = False
    """Whether it finishes what others have left, instead of its clips."""
    hand_over: float | None = None
    """Seconds after its beginning when it is asked to hand over what is in flight."""


@frozen(kw_only=True)
class WorkerPlan:
    """A worker: its processes, one after the other, run the same command."""

    clips: Sequence[int]
    """Indexes of clips of the world; one may be there twice."""
    lives: Sequence[Life]
    concurrency: Concurrency = Concurrency(uploads=2, in_flight=3)  # noqa: RUF009 - a frozen value


@frozen(kw_only=True)
class SharedScenario:
    """The settings of a world of several workers on one journal."""

    seed: int
    world: EmulatorSettings
    clips: Sequence[Purchasable]
    """The distinct clips."""
    workers: Sequence[WorkerPlan]
    tagged: bool = False
    max_credits: int | None = None
    wait_for_credits: float = 0.0
    ceilings: Ceilings = Ceilings()  # noqa: RUF009 - a frozen value
    unsure: float = 0.0
    """Share of the changes of the journal that raise an error, and may be stored or not."""
    failing: float = 0.0
    """Share of the reads of the journal that raise an error."""
    releases: Sequence[float] = ()
    """When somebody carelessly releases an unresolved, failed or refused clip by hand: so many seconds after a process
    was struck for the first time."""
    failover: tuple[int, int] | None = None
    """After how many changes of the journal another server takes over, and how many of these it has lost. All workers
    die then."""
    runner: str | None = None
    """The subject that some of the clips have."""
    credits_added: float | None = None
    """When somebody buys more credits."""

    def source(self, indexes: Sequence[int]) -> list[tuple[Clip, AnalysisRequest[Any, Any]]]:
        return [(clip_of(self.clips[index][0]), self.clips[index][1]) for index in indexes]

    def purchase(self, index: int) -> Purchase:
        return purchase_of(*self.clips[index])

    def keys(self, account: str, origin: str) -> dict[str, Purchase]:
        """What the journal's entry of each clip stands for."""
        purchases = [(self.purchase(index), request) for index, (_, request) in enumerate(self.clips)]
        return {identity(each.sha256, request, account, origin): each for each, request in purchases}


def shared_scenario_of(seed: int) -> SharedScenario:
    """The scenario of a seed."""
    chance = random.Random(f"workers {seed}")
    pool = sorted({(chance.randrange(3), chance.randrange(len(REQUESTS))) for _ in range(chance.choice((1, 2, 2, 3)))})
    clips: list[Purchasable] = [(number, REQUESTS[request]) for number, request in pool]
    tagged = chance.random() < 0.5
    workers = [_worker(chance, len(clips)) for _ in range(chance.choice((2, 2, 2, 3, 3, 4)))]
    poor = chance.random() < 0.15
    scenario = SharedScenario(
        seed=seed,
        world=_world(seed, chance, 1 if poor else 1000),
        clips=clips,
        workers=workers,
        tagged=tagged,
        max_credits=chance.choice((None, None, None, 1, len(clips), len(clips) + 1)),
        ceilings=Ceilings(
            polls_per_second=chance.choice((None, None, 0.5, 2.0)), uploads=chance.choice((None, None, 1, 2))
        ),
        unsure=chance.choice((0.0, 0.0, 0.0, 0.02, 0.1)),
        failing=chance.choice((0.0, 0.0, 0.0, 0.0, 0.02)),
        releases=sorted(chance.uniform(0.0, 120.0) for _ in range(chance.choice((0, 0, 0, 1, 1, 3)))),
    )
    if poor:
        waits = chance.choice((0.0, 60.0, 400.0))
        scenario = evolve(scenario, wait_for_credits=waits, credits_added=chance.choice((None, 20.0, 200.0)))
    scenario = _with_runner(scenario, random.Random(f"runner {seed}"))
    more = random.Random(f"failover {seed}")
    return _with_failover(scenario, more) if more.random() < 0.15 else scenario


def _with_runner(scenario: SharedScenario, chance: random.Random) -> SharedScenario:
    """The scenario in which some of the clips may be those of one runner."""
    share, runner = chance.choice((0.0, 0.5, 1.0)), seeded_uuid(scenario.seed, "subject", 0)
    clips = [(n, evolve(each, subject_id=runner) if chance.random() < share else each) for n, each in scenario.clips]
    return evolve(scenario, clips=clips, runner=runner if share else None)


def _with_failover(scenario: SharedScenario, chance: random.Random) -> SharedScenario:
    """The scenario in which another server takes over. In most of them, the analysis of a start that is lost completely
    could be taken for that of another start: they are of one view, and the lists show it in time."""
    changes = chance.randint(4, 16)
    scenario = evolve(scenario, failover=(changes, chance.randint(0, changes)))
    if chance.random() < 0.3:
        return scenario
    tagged = chance.random() < 0.5
    request = evolve(chance.choice(scenario.clips)[1], subject_id=None if tagged else scenario.runner)
    clips = [(number, request) for number in range(len({number for number, _ in scenario.clips}) + 1)]
    conditions = "refused starts" if tagged else "lost answers"
    workers = [_after_failover(plan, chance, len(clips), conditions) for plan in scenario.workers]
    world = evolve(scenario.world, clock_offset=0.0, listing_lag=chance.choice((0.0, 5.0)))
    return evolve(scenario, tagged=tagged, clips=clips, workers=workers, world=world)


def _after_failover(plan: WorkerPlan, chance: random.Random, clips: int, conditions: str) -> WorkerPlan:
    wanted = chance.sample(range(clips), clips)
    lives = [evolve(life, conditions=chance.choice(("none", conditions, conditions))) for life in plan.lives]
    concurrency = evolve(plan.concurrency, uploads=1, in_flight=1)
    return evolve(plan, clips=wanted, lives=lives, concurrency=concurrency)


def _world(seed: int, chance: random.Random, bought: int) -> EmulatorSettings:
    return EmulatorSettings(
        seed=seed,
        credits=bought,
        concurrent_analyses=chance.randint(1, 4),
        analysis_seconds=chance.choice(((10.0, 30.0), (0.0, 1.0), (5.0, 5.0), (60.0, 90.0))),
        listing_lag=chance.choice((0.0, 0.0, 5.0, 40.0, 200.0)),
        failing_clips={f"{number}.mp4" for number in range(3) if chance.random() < 0.05},
        too_long_clips={f"{number}.mp4" for number in range(3) if chance.random() < 0.05},
        refund_failed_analyses=chance.random() < 0.5,
        charge_refused_uploads=chance.random() < 0.5,
        list_refused_uploads=chance.random() < 0.5,
        clock_offset=chance.choice((0.0, 0.0, 0.0, -7200.0, 7200.0)),
        shapes=ResponseShapes(subject_items=chance.choice(("strings", "objects"))),
    )


def _worker(chance: random.Random, clips: int) -> WorkerPlan:
    wanted = list(range(clips)) if chance.random() < 0.7 else chance.sample(range(clips), chance.randint(1, clips))
    if chance.random() < 0.2:
        wanted.append(chance.choice(wanted))
    chance.shuffle(wanted)
    lives = [_life(chance) for _ in range(chance.choice((1, 1, 2)))]
    concurrency = Concurrency(
        checks=chance.randint(1, 2), uploads=chance.choice((None, 1, 2)), in_flight=chance.randint(1, 4)
    )
    return WorkerPlan(clips=wanted, lives=lives, concurrency=concurrency)


def _life(chance: random.Random) -> Life:
    return Life(
        rest=chance.choice((0.0, 0.0, chance.uniform(0.0, 1.0), chance.uniform(0.0, 90.0))),
        conditions=chance.choice(("none", "none", *(each for each in CONDITIONS if each != "refused starts"))),
        strikes=[_strike(chance) for _ in range(chance.choice((0, 1, 1, 2)))],
        tends=chance.random() < 0.15,
        hand_over=chance.uniform(0.0, 60.0) if chance.random() < 0.15 else None,
    )


def _strike(chance: random.Random) -> Strike:
    pauses = (chance.uniform(0.0, LEASE), chance.uniform(LEASE, 4 * LEASE), chance.uniform(LEASE, 40 * LEASE))
    counted, latest = chance.choice(COUNTED)
    return Strike(seconds=chance.choice((None, *pauses)), counted=counted, after=chance.randint(1, latest))
