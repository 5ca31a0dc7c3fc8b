"""`Webhooks`: takes the vendor's deliveries and wakes the waits that they are about.

Invariant: a delivery moves a poll forward and does nothing else. It is answered first and acted on afterwards.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from ..events import DeliveryReceived, DriftDetected, Event, Listener
from ..policy.delivery_limit import DeliveryRateLimit
from ..protocol.deliveries import Delivery
from ..protocol.drift import DriftNote
from ..tracking import guarded
from ..wakes import Wakes
from .access_logs import TokenMask, masked_server_logs
from .asgi import AsgiApp
from .bus import Bus
from .door import Door, Reply
from .relay import BusRelay
from .tokens import HookTokens

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["Webhooks"]

T = TypeVar("T")
logger: logging.Logger = logging.getLogger("ochy_async")
_MAX_DRIFT_NOTES: Final = 1000


class Webhooks:
    """Receives the vendor's webhook deliveries, so that waits end sooner: `OchySession(webhooks=hooks)`.

    Mount `asgi` in an ASGI application, or add `aiohttp` as a route of aiohttp.web, at an https URL that ends with the
    token. A delivery only wakes a wait; the poll that follows decides. Deliveries are probably unsigned (inferred), so
    the token is a noise filter and not authentication: whoever knows the URL can cause a few polls, and nothing else.
    Several sessions may use one object, on one event loop.
    """

    def __init__(
        self,
        token: str | Sequence[str] | None = None,
        *,
        bus: Bus | None = None,
        on_delivery: Callable[[Delivery], None] | None = None,
        deliveries_per_second: float = 200.0,
    ) -> None:
        """Configures the door. Nothing is opened.

        - `token`: the last part of the URL, 16 to 256 letters, digits, `-` and `_`. Several, also separated by commas,
          are valid while you rotate them. When left out, it comes from `OCHY_WEBHOOK_TOKEN`.
        - `bus`: carries hints to the other processes of a service: `PostgresBus` or `RedisBus`. Without it, the process
          that receives a delivery must be the one that waits.
        - `on_delivery`: called on the event loop with each delivery, after it was answered. It must return at once.
        - `deliveries_per_second`: the most that are read on average; what exceeds it is answered with 429.

        Raises `InvalidSettings` without a usable token.
        """
        tokens = HookTokens(token if token is not None else os.environ.get("OCHY_WEBHOOK_TOKEN", ""))
        del token  # so that no frame in a traceback holds it
        tokens.check()
        self.wakes: Wakes = Wakes()
        """Wakes the waits of the sessions that use this object."""
        self.log_filter: TokenMask = TokenMask(tokens)
        """A filter for your own loggers and handlers that masks the token. Server logs are masked without it."""
        self._tokens = tokens
        self._on_delivery = on_delivery
        self._relay = None if bus is None else BusRelay(bus, self.wakes)
        self._door = Door(tokens, DeliveryRateLimit(deliveries_per_second))
        self._listeners: list[Listener] = []
        self._drift: set[DriftNote] = set()
        self._refused: set[int] = set()
        self._entered: list[AbstractAsyncContextManager[None]] = []
        self.asgi: AsgiApp = AsgiApp(self._door, self._act, self.listening)
        """The ASGI application: `app.mount("/hooks/ochy", hooks.asgi)`."""

    def __repr__(self) -> str:
        where = "in this process" if self._relay is None else f"with {type(self._relay.bus).__name__}"
        return f"<Webhooks {where}>"

    def __reduce__(self) -> Any:
        raise TypeError("Webhooks hold a token and cannot be pickled. Make new ones in the other process.")

    @property
    def drift(self) -> tuple[DriftNote, ...]:
        """How deliveries differed from what was expected so far: paths and types, no content."""
        return tuple(sorted(self._drift))

    async def aiohttp(self, request: web.Request) -> web.StreamResponse:
        """The handler for aiohttp.web: `app.router.add_post("/hooks/ochy/{token}", hooks.aiohttp)`."""
        from .aiohttp_web import respond  # only a program that serves with it has imported aiohttp.web

        return await respond(self._door, self._act, request)

    @asynccontextmanager
    async def listening(self, on_event: Listener | None = None) -> AsyncGenerator[None]:
        """Receives hints from the bus while the block runs, and masks the token in the logs of web servers.

        Sessions that use this object enter it. Of several blocks one holds the connection to the bus, and the next one
        takes over when it ends. A lost connection is tried again and never ends the block. Without a bus, no task runs.
        `on_event` is called with each `DeliveryReceived` and `DriftDetected` of this process.
        """
        listeners = [] if on_event is None else [on_event]
        self._listeners += listeners
        try:
            with masked_server_logs(TokenMask(self._tokens)):
                async with nullcontext() if self._relay is None else self._relay.listening():
                    yield
        finally:
            for listener in listeners:
                self._listeners.remove(listener)

    async def __aenter__(self) -> Self:
        """Listens, for a process that receives deliveries and has no session: `async with hooks:`."""
        block = self.listening()
        await block.__aenter__()
        self._entered.append(block)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._entered.pop().__aexit__(None, None, None)

    async def _act(self, reply: Reply) -> None:
        """Acts on a request that was answered: wakes, reports, and tells the other processes."""
        delivery = reply.delivery
        if reply.is_to_delivery:
            self._emit(_event(reply))
        if delivery is None:
            self._note_refusal(reply)
            return
        analysis_id = None if delivery.still_running else delivery.analysis_id
        if analysis_id is not None:
            self.wakes.hint(analysis_id, delivery.sequence)
        self._note_drift(delivery)
        if self._on_delivery is not None:
            _call(self._on_delivery, delivery)
        if analysis_id is not None and self._relay is not None:
            await self._relay.publish(analysis_id, delivery.sequence)

    def _note_refusal(self, reply: Reply) -> None:
        """Logs the first request of each kind that had the token and was refused: the vendor's may be among them."""
        if reply.is_to_delivery and reply.status not in self._refused:
            self._refused.add(reply.status)
            logger.warning("webhooks: a delivery was refused with HTTP %d; further ones are not logged", reply.status)

    def _note_drift(self, delivery: Delivery) -> None:
        """Logs and emits each difference from what was expected of deliveries once."""
        for new in sorted(delivery.drift - self._drift)[: _MAX_DRIFT_NOTES - len(self._drift)]:
            self._drift.add(new)
            logger.warning("the API differs from its documentation: %s", new)
            self._emit(DriftDetected(new))

    def _emit(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            _call(listener, event)


def _event(reply: Reply) -> DeliveryReceived:
    delivery = reply.delivery
    if delivery is None:
        return DeliveryReceived(http_status=reply.status)
    return DeliveryReceived(
        http_status=reply.status,
        analysis_id=delivery.analysis_id,
        event=delivery.event,
        status=None if delivery.status is None else str(delivery.status),
        percentage=delivery.percentage,
        sequence=delivery.sequence,
    )


def _call(callback: Callable[[T], None], value: T) -> None:
    with guarded(f"a callback of the webhooks failed on {type(value).__name__}"):
        callback(value)
