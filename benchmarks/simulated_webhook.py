"""A simulated webhook for the benchmark of waiting: deliveries that are late, lost, doubled, out of order or forged.

Invariant: which deliveries wake a wait, the policy of the library decides; a delivery never shows the end by itself.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from itertools import chain
from operator import attrgetter

from attrs import define, field, frozen

from ochy_async import Delivery, Status
from ochy_async.policy.hints import Hints

from .simulated_server import Analysis

__all__ = ["Arrival", "Webhook", "WokenSleep"]

MILESTONES = (0.0, 0.25, 0.5, 0.75)


@frozen
class Arrival:
    """A delivery that arrives at this age of its analysis."""

    age: float
    delivery: Delivery


@frozen
class Webhook:
    """How deliveries come: at the beginning of the work, at three milestones, and at its end."""

    name: str
    latency: tuple[float, float] = (0.02, 0.3)
    """The shortest and the longest time from an event to the arrival of its delivery, in seconds."""
    lost: float = 0.0
    """The share of deliveries that never arrive."""
    copies: int = 1
    ahead: float = 0.0
    """Seconds by which an event comes before polls can show it."""
    forged: float = 0.0
    """Deliveries per second that anybody sends: each claims that the analysis has finished."""
    delay: float | None = None
    """The goal for the delay of woken waits, as a share of that of polling alone; None for no goal."""
    requests: float | None = None
    """The goal for the requests with `Polling.rest`, likewise."""

    def arrivals(self, analysis: Analysis, rng: random.Random) -> list[Arrival]:
        """All deliveries about one analysis, in the order of their arrival."""
        return sorted(chain(self._sent(analysis, rng), self._forged(analysis, rng)), key=attrgetter("age"))

    def _sent(self, analysis: Analysis, rng: random.Random) -> Iterator[Arrival]:
        began, took = analysis.work_began - analysis.started, analysis.finished - analysis.work_began
        events = [(began + share * took, Status.ANALYZING) for share in MILESTONES]
        for sequence, (age, status) in enumerate([*events, (began + took - self.ahead, Status.SUCCESS)]):
            delivery = Delivery(status=status, sequence=sequence)
            ages = [age + rng.uniform(*self.latency) for _ in range(self.copies)]
            yield from (Arrival(each, delivery) for each in ages if rng.random() >= self.lost)

    def _forged(self, analysis: Analysis, rng: random.Random) -> Iterator[Arrival]:
        age, took = 0.0, analysis.finished - analysis.started
        while self.forged and age < took:
            age += rng.expovariate(self.forged)
            yield Arrival(age, Delivery(status=Status.SUCCESS, sequence=rng.getrandbits(62)))


@define
class WokenSleep:
    """The sleeps between the polls of one analysis, which deliveries cut short as in the library."""

    _arrivals: deque[Arrival]
    _hints: Hints = field(factory=Hints)

    def until(self, now: float, seconds: float) -> tuple[float, bool]:
        """When the sleep that begins `now` ends, and whether a hint came before."""
        end, hinted = now + seconds, False
        while self._arrivals and self._arrivals[0].age <= end:
            arrival = self._arrivals.popleft()
            is_hint = not arrival.delivery.still_running and self._hints.is_new(arrival.delivery.sequence)
            wake_at = self._hints.wake_at(arrival.age) if is_hint and not hinted else None
            if wake_at is not None:
                end, hinted = min(end, max(now, wake_at)), True
        return end, hinted
