"""An emulator that measures what all workers of a journal do together: simultaneous uploads, and polls.

Invariant: a moment counts only if no worker was suspended then or shortly before. Another worker may use the slot of
one that is suspended for longer than its lease; until that one notices, there is one upload too many.
"""

from __future__ import annotations

import time
from typing import Any, Final

from aiohttp import web

from ochy_async.emulator import Emulator
from ochy_async.emulator.service import template_of
from ochy_async.protocol.routes import RESULTS, START

__all__ = ["GaugedEmulator"]

SETTLING: Final = 1.0
"""Seconds after a suspension in which a worker may still begin what it was about to do."""
WINDOW: Final = 5.0
"""Seconds over which polls are counted."""


class GaugedEmulator(Emulator):
    """Measures uploads and polls. `suspended` is set by whoever suspends workers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.most_uploads = 0
        self.suspended = 0
        """How many workers are suspended now."""
        self._calm_from = 0.0
        self._uploads: dict[int, web.BaseRequest] = {}
        self._disturbed: set[int] = set()
        """Uploads that were under way at a moment that does not count."""
        self._polls: list[float] = []

    @property
    def uploading(self) -> int:
        """How many starts are being received now."""
        return sum(map(_is_received, tuple(self._uploads.values())))

    @property
    def most_polls(self) -> float:
        """The largest number of polls per second over any `WINDOW`."""
        first, most = 0, 0
        for number, at in enumerate(self._polls, 1):
            while self._polls[first] < at - WINDOW:
                first += 1
            most = max(most, number - first)
        return most / WINDOW

    def disturb(self) -> None:
        """Ends what was suspended, or says that a lease may have ended too early for another reason."""
        self._calm_from = time.monotonic() + SETTLING

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        route = template_of(request.method, request.rel_url.raw_path)
        if route == str(RESULTS):
            self._polls.append(time.monotonic())
        if route != str(START):
            return await super()._respond(request)
        self._uploads = {key: each for key, each in self._uploads.items() if _is_received(each)}
        self._uploads[id(request)] = request
        self._measure()
        try:
            return await super()._respond(request)
        finally:
            self._uploads.pop(id(request), None)

    def _measure(self) -> None:
        if self.suspended or time.monotonic() < self._calm_from:
            self._disturbed |= self._uploads.keys()
        self._disturbed &= self._uploads.keys()
        if not self._disturbed:
            self.most_uploads = max(self.most_uploads, len(self._uploads))


def _is_received(request: web.BaseRequest) -> bool:
    """Whether the rest of an upload is still to come."""
    connected = request.transport is not None and not request.transport.is_closing()
    return connected and not request.content.is_eof()
