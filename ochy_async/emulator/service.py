"""A small Ochy: one request and the time in, one answer out, credits counted.

Invariant: pure. Nothing here opens, waits, reads a clock or draws a number; and nothing
is taken from the client, so the two can disagree. What is assumed and not documented stands in
`behaviors`.
"""

from __future__ import annotations

import json
from collections import Counter, OrderedDict, deque
from typing import TYPE_CHECKING
from urllib.parse import unquote

from attrs import evolve

from .account import Account
from .error_responses import HttpError, json_response
from .handlers import HANDLERS, STORAGE, RequestContext
from .messages import Charge, LoggedRequest, ServiceRequest, ServiceResponse
from .response_shapes import with_unknown_keys
from .settings import EmulatorSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Service", "template_of"]

# Raw data of 10 s at 60 frames a second is some megabytes, and what is asked for twice is asked
# for twice in a row.
KEPT = 4
KEPT_ROUTES = frozenset(f"/analysis/{{analysis_id}}/results/{name}" for name in ("calculated_data", "raw_data"))


class Service:
    """The emulated service with its one account.

    It is not locked: ask it from one thread. Reading `ledger`, `requests`, `credits` and counts
    from another thread is fine, as each gives a snapshot.
    """

    def __init__(self, world: EmulatorSettings | None = None) -> None:
        self.world = world or EmulatorSettings()
        self._account = Account(self.world)
        self._log: deque[LoggedRequest] = deque(maxlen=self.world.log_limit)
        self._counts: Counter[tuple[str, int]] = Counter()
        self._kept: OrderedDict[str, ServiceResponse] = OrderedDict()
        self._latest = 0.0

    def handle(self, ask: ServiceRequest, now: float) -> ServiceResponse:
        """The answer to one request at `now` (seconds since the epoch, for whoever asks), with what follows of it."""
        now += self.world.clock_offset
        self._latest = max(self._latest, now)
        template, parts = _match(ask.path)
        try:
            answer = self._served(ask, template, RequestContext(self._account, ask, parts, now))
        except HttpError as refused:
            answer = refused.answer(codes=self.world.shapes.error_codes)
        if self.world.shapes.extra_keys and template != STORAGE:
            answer = evolve(answer, body=json_response(0, with_unknown_keys(json.loads(answer.body))).body)
        self._log.append(LoggedRequest(ask.method, template, answer.status, now))
        self._counts[f"{ask.method} {template}", answer.status] += 1
        return answer

    def _served(self, ask: ServiceRequest, template: str, case: RequestContext) -> ServiceResponse:
        allowed = METHODS.get(template)
        if allowed is None:
            raise HttpError(404, "Not Found")
        if ask.method not in allowed:
            raise HttpError(405, "Method Not Allowed", headers={"allow": ", ".join(allowed)})
        if template != STORAGE:
            self._account.check_key(ask.query.get("apiKey"))
        return self._kept_or_made(ask.path, case) if template in KEPT_ROUTES else HANDLERS[ask.method, template](case)

    def _kept_or_made(self, path: str, case: RequestContext) -> ServiceResponse:
        # Only success is kept, and a success never changes.
        answer = self._kept.pop(path, None) or HANDLERS["GET", _match(path)[0]](case)
        self._kept[path] = answer
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return answer

    # Behind the counter: what a test asks and does.

    @property
    def api_key(self) -> str:
        """A key that is accepted at the moment."""
        return next(iter(self._account.keys))

    @property
    def storage_url(self) -> str:
        """Origin of the signed URLs; `Emulator` sets it to its own second port."""
        return self._account.storage_url

    @storage_url.setter
    def storage_url(self, url: str) -> None:
        self._account.storage_url = url

    @property
    def ledger(self) -> tuple[Charge, ...]:
        """Every credit taken, oldest first."""
        return tuple(self._account.ledger)

    @property
    def requests(self) -> tuple[LoggedRequest, ...]:
        """The last requests, oldest first, without key, query and ids; at most `EmulatorSettings.log_limit`."""
        return tuple(self._log)

    @property
    def credits(self) -> int:
        """Credits left at the time of the latest request."""
        return self._account.credits(self._latest)

    def charges_of(self, sha256: str) -> int:
        """How many credits the clip with this hex digest has cost."""
        return sum(charge.sha256 == sha256 for charge in self.ledger)

    def count(self, route: str, status: int | None = None) -> int:
        """How many requests to `route`, such as `POST /analysis/start`, were answered (with `status`)."""
        counted = tuple(self._counts.items())
        return sum(n for (told, code), n in counted if told == route and status in (None, code))

    def add_credits(self, number: int) -> None:
        """Buys credits, as one does on the vendor's dashboard."""
        if number < 1:
            raise ValueError(f"number: at least 1 credit, not {number}")
        self._account.bought += number

    def rotate(self, old: str, new: str) -> None:
        """Puts the key `new` in the place of `old`, which is refused from now on."""
        if old not in self._account.keys or not new:
            raise ValueError("rotate: the old key must be accepted at the moment, and the new one not be empty")
        del self._account.keys[old]
        self._account.keys[new] = None


METHODS: Mapping[str, tuple[str, ...]] = {
    template: tuple(method for method, told in HANDLERS if told == template) for _, template in HANDLERS
}
PATTERNS = tuple((template, template.split("/")) for template in METHODS)


def _match(path: str) -> tuple[str, dict[str, str]]:
    """The template of a path and what fills it; `?` when no template fits."""
    segments = path.split("/")
    for template, pattern in PATTERNS:
        parts = _parts(pattern, segments)
        if parts is not None:
            return template, parts
    return "?", {}


def _parts(pattern: list[str], segments: list[str]) -> dict[str, str] | None:
    if len(pattern) != len(segments):
        return None
    pairs = tuple(zip(pattern, segments, strict=True))
    if not all(segment if wanted.startswith("{") else wanted == segment for wanted, segment in pairs):
        return None
    return {wanted[1:-1]: unquote(segment) for wanted, segment in pairs if wanted.startswith("{")}


def template_of(method: str, path: str) -> str:
    """The route of a request, such as `GET /analysis/{analysis_id}/results`; `GET ?` when unknown."""
    return f"{method} {_match(path)[0]}"
