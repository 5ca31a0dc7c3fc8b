"""When an analysis is reported to the webhook: all of its deliveries, genuine and forged, with their times.

Invariant: pure, and fixed when the analysis starts: the same seed gives the same deliveries at the same times.
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING

from attrs import evolve

from .delivery_payloads import JSON_HEADERS, Update, forged_payload, payload
from .messages import ScheduledDelivery
from .seeded_random import seeded_uuid, uniform

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .analysis import Analysis
    from .delivery_settings import DeliverySettings, UpdateKind

__all__ = ["deliveries_of", "test_delivery"]

FORGED_AFTER_END = 10.0
"""Seconds after the end of an analysis for which forged deliveries about it go on."""


def deliveries_of(analysis: Analysis) -> Iterator[ScheduledDelivery]:
    """All deliveries about an analysis, in the order of their times. Forged ones are made as they are taken."""
    genuine = sorted(_genuine(analysis), key=lambda each: each.at)
    return heapq.merge(genuine, _forged(analysis), key=lambda each: each.at)


def test_delivery(settings: DeliverySettings, now: float, number: int) -> ScheduledDelivery:
    """The `number`-th test event of the vendor's dashboard. It names an analysis that does not exist (assumed)."""
    update = Update("test", seeded_uuid("test event", number), 0, settings.first_sequence, now)
    return _delivery(settings, update, now)


def updates_of(analysis: Analysis) -> list[Update]:
    """The updates of an analysis: queued, started, each milestone, and its end."""
    settings = analysis.settings.deliveries
    moments: list[tuple[UpdateKind, float, float]] = [
        ("queued", 0, analysis.created_at),
        ("started", 0, analysis.begins_at),
        *(("progress", each, analysis.reached_at(each)) for each in sorted(settings.milestones)),
        _end(analysis),
    ]
    wanted = [moment for moment in moments if moment[0] in settings.kinds]
    return [
        Update(kind, analysis.analysis_id, percentage, sequence, at)
        for sequence, (kind, percentage, at) in enumerate(wanted, settings.first_sequence)
    ]


def _end(analysis: Analysis) -> tuple[UpdateKind, float, float]:
    if analysis.fails:
        return "failure", max(analysis.settings.deliveries.milestones, default=0), analysis.ends_at
    return "success", 100, analysis.ends_at


def _genuine(analysis: Analysis) -> Iterator[ScheduledDelivery]:
    """The deliveries of the updates, with those that are lost, held back or doubled."""
    settings, earliest = analysis.settings.deliveries, 0.0
    for update in updates_of(analysis):
        seed = (analysis.settings.seed, analysis.analysis_id, update.sequence)
        earliest = max(earliest, update.at + _between(settings.latency_seconds, "latency", *seed))
        held_back = uniform("shuffled", *seed) < settings.shuffle_rate
        at = earliest + (_between(settings.shuffle_seconds, "held back", *seed) if held_back else 0.0)
        delivery = _delivery(settings, update, at, lost=uniform("lost", *seed) < settings.loss_rate)
        yield delivery
        if uniform("doubled", *seed) < settings.duplicate_rate:
            yield evolve(delivery, at=at + _between(settings.duplicate_seconds, "duplicate", *seed))


def _forged(analysis: Analysis) -> Iterator[ScheduledDelivery]:
    """The forged deliveries, about evenly spread over time."""
    settings = analysis.settings.deliveries
    kinds, end = sorted(settings.forgeries), analysis.ends_at + FORGED_AFTER_END
    if not settings.forgeries_per_second or not kinds:
        return
    for number in count():
        seed = (analysis.settings.seed, analysis.analysis_id, "forged", number)
        at = analysis.created_at + (number + uniform("when", *seed)) / settings.forgeries_per_second
        if at > end:
            return
        forgery = kinds[int(uniform("which", *seed) * len(kinds))]
        true = Update("progress", analysis.analysis_id, 50, settings.first_sequence + 2, at)
        body, headers = forged_payload(settings.shapes, forgery, true, *seed)
        yield ScheduledDelivery(
            at, "forged", analysis.analysis_id, None, body, {**headers, **settings.headers}, forgery=forgery
        )


def _delivery(settings: DeliverySettings, update: Update, at: float, *, lost: bool = False) -> ScheduledDelivery:
    body, headers = payload(settings.shapes, update), {**JSON_HEADERS, **settings.headers}
    return ScheduledDelivery(at, update.kind, update.analysis_id, update.sequence, body, headers, lost=lost)


def _between(bounds: tuple[float, float], *seed: object) -> float:
    low, high = bounds
    return low + (high - low) * uniform(*seed)
