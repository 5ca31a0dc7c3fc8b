"""When to poll an analysis again, simulated: how late its end is noticed, and how many requests that costs.

Invariant: no clock and no network. All contenders wait for the same analyses, get the same answer at the same moment,
and must notice the end of each.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, chain, repeat
from statistics import fmean, geometric_mean

from attrs import evolve, frozen

from ochy_async import Polling
from ochy_async.policy.hints import AnnouncedEnds
from ochy_async.policy.polling import PollSchedule
from ochy_async.policy.progress import DurationHistory
from ochy_async.protocol.analysis import Status

from .comparison import MIN_ROUNDS, OURS, Figure, Table
from .durations import DURATIONS
from .simulated_server import Analysis, PollResult, Server, absent, between, leaping, smooth, stepped, stuck
from .simulated_webhook import Arrival, Webhook, WokenSleep

__all__ = ["benchmarks"]

ANALYSES = 300
"""Analyses that are counted, per contender, server and round."""
LEARNING_ANALYSES = 80
"""Analyses before them, from which a contender may learn."""
BASE = "fixed 3 s"
WOKEN = f"{OURS}, woken"
RESTING = f"{OURS}, woken, rest=15"
MAX_POLLS = 1000

SERVERS = (
    Server("smooth", smooth, delay=0.55, requests=0.75),
    Server("stepped", stepped, delay=0.55, requests=0.75),
    Server("stuck near the end", stuck, delay=1.05, requests=1.05),
    Server("no percentage", absent, delay=1.05, requests=1.05),
    Server("queue, smooth", smooth, slots=4, delay=0.85, requests=0.65),
    Server("queue, stepped", stepped, slots=4, delay=0.85, requests=0.65),
    Server("queue, stuck near the end", stuck, slots=4, delay=0.85, requests=0.65),
    Server("queue, no percentage", absent, slots=4, delay=0.85, requests=0.65),
    Server("nothing learned, smooth", smooth, delay=1.05, requests=1.05, learned=False),
    Server("nothing learned, no percentage", absent, delay=1.05, requests=1.05, learned=False),
    Server("nothing learned, stepped", stepped, learned=False),
    Server("nothing learned, stuck near the end", stuck, learned=False),
    Server("quick ones, no percentage", absent, took=between(3.0, 10.0)),
)

WORLDS = {
    name: tuple(Server(name, shown, took=took) for shown in (smooth, stepped, leaping, absent))
    for name, took in DURATIONS.items()
}
"""Seven kinds of durations, each with four kinds of percentages. They count together: the library cannot know in which
of them it is."""

RELIABLE = Webhook("reliable", delay=0.35, requests=0.55)
WEBHOOKS = (
    *((server, RELIABLE) for server in SERVERS[:4]),
    *(
        (SERVERS[1], webhook)
        for webhook in (
            Webhook("late", latency=(0.5, 3.0), delay=1.05, requests=1.05),
            Webhook("doubled and out of order", latency=(0.02, 2.0), copies=2, delay=0.65, requests=0.65),
            Webhook("loses one in ten", lost=0.1, delay=0.35, requests=0.65),
            Webhook("loses a third", lost=0.33, delay=0.55, requests=0.9),
            Webhook("never delivers", lost=1.0, delay=1.0, requests=1.0),
            Webhook("ahead of the API by 0.5 s", ahead=0.5, delay=1.05, requests=1.15),
            Webhook("flooded with forgeries", forged=2.0, delay=1.05),
            Webhook("forged now and then", forged=0.1, delay=1.05),
        )
    ),
)
"""The goals: delay of woken waits, and requests with `rest`, as shares of those of polling alone."""


# --- contenders --------------------------------------------------------------------------------------


@frozen
class Wait:
    """The wait for one analysis: when to poll first, when to poll again, and what to do at the end."""

    first: float
    next_delay: Callable[[PollResult, float], float]
    """Seconds until the next poll, from the result of the last one and the age of the analysis."""
    finished: Callable[[float], None] = lambda _: None
    """Called with the age of the analysis at which its end was noticed."""
    wake_up: Callable[[float, float], float] = lambda age, seconds: age + seconds
    """When a sleep of so many seconds ends that begins at this age."""


Session = Callable[[float], Wait]
"""Makes the wait for an analysis from the moment of its start."""
Arrivals = Mapping[float, Sequence[Arrival]]
"""The deliveries about each analysis, by the moment of its start."""


def fixed(seconds: float) -> Session:
    """A fixed interval."""
    return lambda _: Wait(seconds, lambda _, __: seconds)


def exponential(_: float) -> Wait:
    """One second, then one and a half times as long each time, up to ten."""
    delays = accumulate(repeat(1.5), lambda delay, factor: min(10.0, delay * factor), initial=1.0)
    return Wait(next(delays), lambda _, __: next(delays))


def fraction(_: float) -> Wait:
    """Half of the time that the percentage predicts, between 1 and 10 s; 3 s without a percentage."""

    def next_delay(result: PollResult, age: float) -> float:
        shown = result.percentage
        return min(10.0, max(1.0, 0.5 * age * (100 - shown) / shown)) if shown else 3.0

    return Wait(3.0, next_delay)


def ours(
    rng: random.Random, *, learned: bool = True, polling: Polling | None = None, arrivals: Arrivals | None = None
) -> Session:
    """The policy of the library, driven as by its scheduler, except that all later analyses learn from each one.

    `arrivals` are the webhook deliveries about the analysis that was started at a moment.
    """
    polling, known, ends = polling or Polling(), DurationHistory(), AnnouncedEnds()

    def session(started: float) -> Wait:
        schedule = PollSchedule(polling, started, ends)
        sleep = WokenSleep(deque(arrivals[started] if arrivals else ()))

        def next_delay(result: PollResult, age: float) -> float:
            pending = result.status == Status.PENDING
            return schedule.after_poll(result.percentage, started + age, rng.random(), pending=pending)

        def wake_up(age: float, seconds: float) -> float:
            end, hinted = sleep.until(age, seconds)
            if hinted:
                schedule.hinted()
            return end

        first = schedule.first_delay(started, known if learned else DurationHistory())
        return Wait(first, next_delay, lambda age: schedule.finished(started + age, succeeded=True), wake_up)

    return session


def contenders(server: Server, seed: int) -> dict[str, Session]:
    """All contenders, with new sessions."""
    return {
        BASE: fixed(3.0),
        "fixed 1 s": fixed(1.0),
        "fixed 5 s": fixed(5.0),
        "exponential": exponential,
        "fraction of estimate": fraction,
        OURS: ours(random.Random(seed), learned=server.learned),
    }


def woken_contenders(webhook: Webhook, analyses: Sequence[Analysis], seed: int) -> dict[str, Session]:
    """Polling alone, and with the same deliveries for both others."""
    rng = random.Random(seed)
    arrivals = {each.started: webhook.arrivals(each, rng) for each in analyses}
    return {
        BASE: fixed(3.0),
        OURS: ours(random.Random(seed)),
        WOKEN: ours(random.Random(seed), arrivals=arrivals),
        RESTING: ours(random.Random(seed), polling=Polling(rest=15), arrivals=arrivals),
    }


# --- measurement --------------------------------------------------------------------------------------------


def wait_for(analysis: Analysis, server: Server, wait: Wait) -> tuple[float, int]:
    """Polls until the end is noticed. Returns how late that was, and the number of polls."""
    age, took, polls = wait.wake_up(0.0, wait.first), analysis.finished - analysis.started, 1
    while age < took:
        if polls > MAX_POLLS:
            raise AssertionError(f"{server.name}: the end of {analysis} was not noticed")
        age = wait.wake_up(age, wait.next_delay(server.result(analysis, analysis.started + age), age))
        polls += 1
    wait.finished(age)
    return age - took, polls


@frozen
class Waits:
    """What the waits of one contender came to."""

    delay: float
    """Seconds by which the ends were noticed late, on average."""
    p95: float
    """Seconds by which at most one end in twenty was noticed later."""
    requests: float
    """Polls for each analysis."""

    @classmethod
    def of(cls, results: Sequence[tuple[float, int]]) -> Waits:
        """From the delay and the polls of each wait."""
        delays = sorted(delay for delay, _ in results)
        return cls(fmean(delays), delays[int(0.95 * len(delays))], fmean(polls for _, polls in results))


def one_round(server: Server, seed: int, webhook: Webhook | None = None) -> dict[str, Waits]:
    """The waits of each contender, for the same analyses and deliveries."""
    analyses = server.analyses(random.Random(seed), LEARNING_ANALYSES + ANALYSES)
    sessions = woken_contenders(webhook, analyses, seed) if webhook else contenders(server, seed)
    return {
        contender: Waits.of([wait_for(each, server, session(each.started)) for each in analyses][LEARNING_ANALYSES:])
        for contender, session in sessions.items()
    }


def simulate(server: Server, rounds: int, webhook: Webhook | None = None) -> tuple[Table, Table]:
    """The tables of delays and of requests for one server, without a webhook or with one."""
    waits = [one_round(server, seed, webhook) for seed in range(max(rounds, MIN_ROUNDS))]
    delays = {contender: Figure.of([each[contender].delay for each in waits]) for contender in waits[0]}
    polls = {contender: Figure.of([each[contender].requests for each in waits]) for contender in waits[0]}
    name = f"waiting, {server.name}{f', webhook {webhook.name}' if webhook else ''}"
    delay, requests = Table(f"{name}: delay", "s", delays, BASE), Table(f"{name}: requests", "polls", polls, BASE)
    if webhook is None:
        return _with_goal(delay, server.delay), _with_goal(requests, server.requests)
    return (
        _with_goal(delay, webhook.delay, OURS, WOKEN),
        _with_goal(requests, webhook.requests, OURS, RESTING),
    )


def worlds(rounds: int) -> Iterator[Table]:
    """The delays, the late ends and the requests in each kind of durations and in all: geometric means."""
    seeds = range(max(rounds, MIN_ROUNDS))
    waits = {name: [[one_round(each, seed) for each in servers] for seed in seeds] for name, servers in WORLDS.items()}
    waits["all worlds"] = [list(chain.from_iterable(of_seed)) for of_seed in zip(*waits.values(), strict=True)]
    for name, by_seed in waits.items():
        for what, unit, limit in (("delay", "s", 0.6), ("p95", "s", 1.1), ("requests", "polls", 0.65)):
            figures = {
                contender: Figure.of([geometric_mean(getattr(each[contender], what) for each in of) for of in by_seed])
                for contender in by_seed[0][0]
            }
            table = Table(f"waiting, {name}: {what}", unit, figures, BASE)
            yield _with_goal(table, limit if name == "all worlds" or what == "p95" else None)


def _with_goal(table: Table, limit: float | None, over: str = BASE, contender: str = OURS) -> Table:
    return table if limit is None else evolve(table, goals=(table.goal(limit, over, contender),))


def benchmarks(rounds: int) -> Iterator[Table]:
    """All worlds, single servers, and all webhooks; each round has its own analyses."""
    yield from worlds(rounds)
    for server in SERVERS:
        yield from simulate(server, rounds)
    for server, webhook in WEBHOOKS:
        yield from simulate(server, rounds, webhook)
