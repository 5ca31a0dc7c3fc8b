"""One seed is one scenario: some clips, a world with its faults, and what becomes of each process.

Invariant: pure. Scenarios are values, and each chance is drawn from the seed, so that a seed is always the same world.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from attrs import evolve, frozen

from ochy_async import BackView, Clip, Concurrency, SideView
from ochy_async.emulator import (
    Delay,
    DeliverySettings,
    DeliveryShapes,
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
    RespondHtml,
    ResponseShapes,
    RetryAfter,
    sample_clip,
)
from ochy_async.protocol.request import AnalysisRequest
from ochy_async.protocol.routes import START

CLIP_BYTES: Final = 200
FAULTS: Final[tuple[Fault, ...]] = (
    RefuseConnection(),
    DisconnectBefore(),
    DisconnectDuring(100),
    DisconnectAfter(charged=True),
    DisconnectAfter(charged=False),
    Delay(2.0),
    Delay(3.0, after=True),
    Respond(429),
    RetryAfter("2"),
    RetryAfter("7200"),
    Respond(500),
    RespondAfter(502),
    Respond(503),
    RespondAfter(504),
    Redirect("/elsewhere", reaches_service=True),
    RespondHtml(502),
    ReplaceBody(b'{"message": "started"}'),
)
CONDITIONS: Final[Mapping[str, tuple[float, Sequence[Fault], str]]] = {
    "none": (0.0, FAULTS, "*"),
    "few": (0.1, FAULTS, "*"),
    "some": (0.3, FAULTS, "*"),
    "many": (0.6, FAULTS, "*"),
    "lost answers": (0.6, (DisconnectAfter(charged=True), DisconnectAfter(charged=False)), str(START)),
    "refused key": (1.0, (Respond(403),), "*"),
}
"""The share of requests with a fault, the faults, and the routes."""
REQUESTS: Final[tuple[AnalysisRequest[Any, Any], ...]] = (SideView(), BackView(), SideView(height=1.8))


@frozen
class Purchase:
    """What is paid for once: a content with a request."""

    sha256: str
    view: str
    height: float


@frozen(kw_only=True)
class Scenario:
    """The settings of a world."""

    seed: int
    world: EmulatorSettings
    clips: Sequence[tuple[int, AnalysisRequest[Any, Any]]]
    """The number of a content, and its request."""
    tagged: bool
    concurrency: Concurrency
    max_credits: int | None = None
    conditions: Sequence[str] = ()
    """One of `CONDITIONS` for each process before the last ones, which have no faults."""
    crashes: Sequence[int | None] = ()
    """For each of these processes: the step at which it dies, if it does."""
    late: float = 0.0
    """Share of the starts that are cut off after the last byte and reach the service later."""
    foreign: bool = False
    """Whether another program starts analyses on the same account."""
    reopens: Sequence[bool] = ()
    """For each of these processes: whether its command reopens finished clips."""
    webhooks: bool = False
    """Whether its sessions have webhooks; how they are delivered is part of the world."""
    rest: float | None = None
    """`Polling.rest`."""
    torn: float = 0.0
    """Share of the uploads that are cancelled, as by aiohttp, while they wait for the permission to send their end."""
    unsure: float = 0.0
    """Share of the changes to and from `SENDING` of which the journal says that they may be stored or not."""
    cut_short_is_charged: bool = False
    """Whether the service charges for starts that were cut short."""

    def source(self) -> list[tuple[Clip, AnalysisRequest[Any, Any]]]:
        return [(clip_of(number), request) for number, request in self.clips]

    def purchase(self, index: int) -> Purchase:
        return purchase_of(*self.clips[index])


def purchase_of(number: int, request: AnalysisRequest[Any, Any]) -> Purchase:
    return Purchase(hashlib.sha256(content_of(number)).hexdigest(), request.view, request.height)


def content_of(number: int) -> bytes:
    return sample_clip(number, size=CLIP_BYTES)


def clip_of(number: int) -> Clip:
    async def chunks() -> AsyncIterator[bytes]:
        content = content_of(number)
        for first in range(0, len(content), 80):
            yield content[first : first + 80]

    return Clip.stream(chunks, name=f"{number}.mp4", size=CLIP_BYTES)


def scenario_of(seed: int) -> Scenario:
    """The scenario of a seed."""
    chance = random.Random(seed)
    pairs = {(chance.randrange(4), chance.choice(REQUESTS)) for _ in range(chance.randint(1, 5))}
    pool = sorted(pairs, key=lambda pair: (pair[0], REQUESTS.index(pair[1])))
    clips = pool + [chance.choice(pool) for _ in range(chance.randint(0, 3))]
    chance.shuffle(clips)
    tagged = chance.random() < 0.6
    processes = chance.randint(1, 4)
    world = EmulatorSettings(
        seed=seed,
        credits=chance.choice((1, 2, 3, 1000, 1000, 1000)),
        concurrent_analyses=chance.randint(1, 4),
        analysis_seconds=chance.choice(((10.0, 30.0), (0.0, 1.0), (5.0, 5.0))),
        listing_lag=chance.choice((0.0, 0.0, 5.0, 40.0, 200.0)),
        failing_clips={f"{number}.mp4" for number in range(4) if chance.random() < 0.1},
        too_long_clips={f"{number}.mp4" for number in range(4) if chance.random() < 0.1},
        refund_failed_analyses=chance.random() < 0.5,
        charge_refused_uploads=chance.random() < 0.5,
    )
    scenario = Scenario(
        seed=seed,
        world=world,
        clips=clips,
        tagged=tagged,
        concurrency=Concurrency(
            checks=chance.randint(1, 2), uploads=chance.choice((None, 1, 2, 4)), in_flight=chance.randint(1, 6)
        ),
        max_credits=chance.choice((None, None, 1, 2, 4)),
        conditions=[chance.choice(tuple(CONDITIONS)) for _ in range(processes)],
        crashes=[chance.choice((None, chance.randint(0, 30), chance.randint(0, 120))) for _ in range(processes)],
        late=chance.choice((0.0, 0.0, 0.2)),
        foreign=tagged and chance.random() < 0.4,
        reopens=[chance.random() < 0.3 for _ in range(processes)],
    )
    scenario = _with_repeated_command(scenario, chance) if chance.random() < 0.2 else scenario
    scenario = evolve(scenario, world=_with_undocumented_behavior(world, chance))
    scenario = _with_interrupted_permissions(scenario, random.Random(f"permissions {seed}"))
    return scenario if seed % 4 else _with_webhooks(scenario, random.Random(f"webhooks {seed}"))


def _with_webhooks(scenario: Scenario, chance: random.Random) -> Scenario:
    """The scenario with webhooks that nobody can rely on."""
    deliveries = DeliverySettings(
        latency_seconds=chance.choice(((0.0, 0.2), (0.1, 1.0), (0.5, 8.0))),
        retry_seconds=chance.choice(((), (1.0, 5.0))),
        loss_rate=chance.choice((0.0, 0.0, 0.3, 1.0)),
        duplicate_rate=chance.choice((0.0, 0.0, 0.5)),
        shuffle_rate=chance.choice((0.0, 0.0, 0.5)),
        forgeries_per_second=chance.choice((0.0, 0.0, 0.2, 0.2, 1.0)) if chance.random() < 0.97 else 30.0,
        first_sequence=chance.randint(0, 1),
        shapes=DeliveryShapes(
            id_key=chance.choice(("video_id", "analysis_id", "id", None)),
            sequence_key=chance.choice(("sequence", None)),
            envelope=chance.choice((None, "data")),
            enveloped=chance.choice(("state", "everything")),
            status_words=chance.choice(("guide", "api")),
            percentages=chance.choice(("percent", "fraction")),
        ),
    )
    world, rest = evolve(scenario.world, deliveries=deliveries), chance.choice((None, None, 15.0))
    return evolve(scenario, world=world, webhooks=True, rest=rest)


def _with_interrupted_permissions(scenario: Scenario, chance: random.Random) -> Scenario:
    """The scenario in which it may stay unknown whether `SENDING` was stored."""
    torn, unsure = chance.choice((0.0, 0.0, 0.3, 0.6)), chance.choice((0.0, 0.0, 0.0, 0.2, 0.5))
    return evolve(scenario, torn=torn, unsure=unsure)


def _with_undocumented_behavior(world: EmulatorSettings, chance: random.Random) -> EmulatorSettings:
    """The world with behavior that the documentation does not exclude: listed refused uploads, a wrong clock."""
    return evolve(
        world,
        list_refused_uploads=chance.random() < 0.5,
        clock_offset=chance.choice((0.0, 0.0, -7200.0, 7200.0)),
        shapes=ResponseShapes(subject_items=chance.choice(("strings", "objects"))),
    )


def _with_repeated_command(scenario: Scenario, chance: random.Random) -> Scenario:
    """A process without faults, and then a command that reopens, repeated whenever it dies."""
    deaths = [chance.randint(0, chance.choice((30, 120))) for _ in range(3)]
    return evolve(scenario, conditions=["none"] * 4, crashes=[None, *deaths], reopens=[False, True, True, True])
