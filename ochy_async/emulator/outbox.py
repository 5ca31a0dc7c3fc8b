"""The deliveries that are still to be sent, those that are repeated, and a log of those that were sent.

Invariant: pure. It decides what is sent when; sending is left to a `Dispatcher`. It never shows the webhook's URL,
which may hold a token.
"""

from __future__ import annotations

import heapq
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from .messages import DeliveryOutcome, LoggedDelivery, ScheduledDelivery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .delivery_settings import DeliverySettings

__all__ = ["DueDelivery", "Outbox"]


@frozen
class DueDelivery:
    """A delivery whose time has come."""

    delivery: ScheduledDelivery
    attempt: int
    """From 1."""
    url: str = field(repr=False)
    """Where it goes."""


class Outbox:
    """The deliveries of the account.

    Deliveries may be added from any thread. Everything else belongs to the thread of the service.
    """

    def __init__(self, settings: DeliverySettings, webhook: Callable[[], dict[str, Any]], log_limit: int) -> None:
        self._settings = settings
        self._webhook = webhook
        self._waiting: list[tuple[float, int, int, ScheduledDelivery, Iterator[ScheduledDelivery]]] = []
        """Times, and what is sent then: the order of entries, the attempt, the delivery, and those after it."""
        self._entries = count()
        self._log: deque[LoggedDelivery] = deque(maxlen=log_limit)
        self.listeners: list[Callable[[], None]] = []
        """Called when `next_at` may have become earlier, in the thread in which that happens."""
        self.observers: list[Callable[[LoggedDelivery], None]] = []
        """Called for every entry of the log."""

    @property
    def log(self) -> tuple[LoggedDelivery, ...]:
        """The last deliveries, oldest first."""
        return tuple(self._log)

    @property
    def next_at(self) -> float | None:
        """When the next delivery is due, in the service's time; None if there is none."""
        return self._waiting[0][0] if self._waiting else None

    def add(self, deliveries: Iterable[ScheduledDelivery]) -> None:
        """Schedules deliveries that are in the order of their times. They are made as they become due."""
        self._push_next(iter(deliveries))
        self._tell_listeners()

    def take(self, now: float) -> DueDelivery | None:
        """The next delivery that is due; None if there is none. Those that are not to be sent are only logged."""
        while self._waiting and self._waiting[0][0] <= now:
            _, _, attempt, delivery, later = heapq.heappop(self._waiting)
            self._push_next(later)
            webhook = self._webhook()
            if delivery.lost or not webhook.get("enabled"):
                self._record(delivery, attempt, now, "lost" if delivery.lost else "disabled")
            else:
                return DueDelivery(delivery, attempt, webhook["url"])
        return None

    def answered(
        self, due: DueDelivery, now: float, outcome: DeliveryOutcome, *, status: int | None = None, seconds: float = 0.0
    ) -> None:
        """Records how a delivery ended, and schedules its repetition if the settings say so.

        A forged delivery is never repeated: whoever sends it does not care about the answer.
        """
        delivery, pauses = due.delivery, self._settings.retry_seconds
        self._record(delivery, due.attempt, now, outcome, status=status, seconds=seconds)
        retryable = outcome in ("answered", "timed_out", "connection_failed") and not (status and 200 <= status < 300)
        if retryable and delivery.forgery is None and due.attempt <= len(pauses):
            self._push(now + pauses[due.attempt - 1], due.attempt + 1, delivery, iter(()))
            self._tell_listeners()

    def _tell_listeners(self) -> None:
        for changed in self.listeners:
            changed()

    def _record(
        self,
        delivery: ScheduledDelivery,
        attempt: int,
        now: float,
        outcome: DeliveryOutcome,
        *,
        status: int | None = None,
        seconds: float = 0.0,
    ) -> None:
        entry = LoggedDelivery.of(delivery, attempt, now, outcome, status=status, seconds=seconds)
        self._log.append(entry)
        for observe in self.observers:
            observe(entry)

    def _push_next(self, deliveries: Iterator[ScheduledDelivery]) -> None:
        delivery = next(deliveries, None)
        if delivery is not None:
            self._push(delivery.at, 1, delivery, deliveries)

    def _push(self, at: float, attempt: int, delivery: ScheduledDelivery, later: Iterator[ScheduledDelivery]) -> None:
        heapq.heappush(self._waiting, (at, next(self._entries), attempt, delivery, later))
