"""The emulated service: a request and the time in, a response out, with credits counted.

Invariant: pure. It opens nothing, waits for nothing, reads no clock, draws no random number and takes nothing from the
client, so the two can disagree. `behaviors` lists what is documented and what is assumed.
"""

from __future__ import annotations

import json
from collections import Counter, OrderedDict, deque
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from attrs import evolve

from .account import Account
from .analysis import timestamp
from .delivery_schedule import test_delivery
from .error_responses import HttpError, json_bytes
from .handlers import HANDLERS, STORAGE, RequestContext
from .loopback import is_loopback
from .messages import Charge, LoggedDelivery, LoggedRequest, ServiceRequest, ServiceResponse
from .response_shapes import with_unknown_keys
from .settings import EmulatorSettings
from .validation import is_https

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .outbox import Outbox

__all__ = ["Service", "template_of"]

# Raw data of 10 s at 60 frames a second is some megabytes, and repeated requests usually follow each other directly.
CACHE_SIZE = 4
CACHED = frozenset(f"/analysis/{{analysis_id}}/results/{name}" for name in ("calculated_data", "raw_data"))


class Service:
    """The emulated service with its one account.

    It is not locked: call it from one thread. `ledger`, `requests`, `deliveries`, `credits` and counts may be read from
    another thread, since each returns a snapshot; a webhook may be set and tested from one.
    """

    def __init__(self, settings: EmulatorSettings | None = None) -> None:
        self.settings: EmulatorSettings = settings or EmulatorSettings()
        self._account = Account(self.settings)
        self._log: deque[LoggedRequest] = deque(maxlen=self.settings.log_limit)
        self._counts: Counter[tuple[str, int]] = Counter()
        self._cache: OrderedDict[str, ServiceResponse] = OrderedDict()
        self._latest = 0.0
        self._test_events = 0

    def handle(self, request: ServiceRequest, now: float) -> ServiceResponse:
        """Processes one request at `now` (the client's time, in seconds since the epoch) and returns the response."""
        now += self.settings.clock_offset
        self._latest = max(self._latest, now)
        template, path_parameters = _match(request.path)
        try:
            response = self._dispatch(template, RequestContext(self._account, request, path_parameters, now))
        except HttpError as error:
            response = error.response(codes=self.settings.shapes.error_codes)
        if self.settings.shapes.extra_keys and template != STORAGE:
            response = evolve(response, body=json_bytes(with_unknown_keys(json.loads(response.body))))
        self._log.append(LoggedRequest(request.method, template, response.status, now))
        self._counts[f"{request.method} {template}", response.status] += 1
        return response

    def _dispatch(self, template: str, context: RequestContext) -> ServiceResponse:
        request, allowed = context.request, METHODS.get(template)
        if allowed is None:
            raise HttpError(404, "Not Found")
        if request.method not in allowed:
            raise HttpError(405, "Method Not Allowed", headers={"allow": ", ".join(allowed)})
        if template != STORAGE:
            self._account.check_key(request.query.get("apiKey"))
        if template not in CACHED:
            return HANDLERS[request.method, template](context)
        # Errors are raised, so that only a success is cached, and a success never changes.
        response = self._cache.pop(request.path, None) or HANDLERS[request.method, template](context)
        self._cache[request.path] = response
        if len(self._cache) > CACHE_SIZE:
            self._cache.popitem(last=False)
        return response

    @property
    def api_key(self) -> str:
        """An API key that is accepted now."""
        return next(iter(self._account.keys))

    @property
    def storage_url(self) -> str:
        """Origin of the signed URLs; `Emulator` sets it to its own second port."""
        return self._account.files.origin

    @storage_url.setter
    def storage_url(self, url: str) -> None:
        self._account.files.origin = url

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

    @property
    def outbox(self) -> Outbox:
        """The deliveries to the webhook that are still to be sent."""
        return self._account.outbox

    @property
    def deliveries(self) -> tuple[LoggedDelivery, ...]:
        """The last deliveries to the webhook, oldest first, with their answers and without the URL."""
        return self._account.outbox.log

    def ends_at(self, analysis_id: str) -> float:
        """When an analysis ends or has ended, in seconds since the epoch; raises `KeyError` for an unknown one."""
        return self._account.analyses[analysis_id].ends_at

    def charges_of(self, sha256: str) -> int:
        """How many credits the clip with this hex digest has cost."""
        return sum(charge.sha256 == sha256 for charge in self.ledger)

    def count(self, route: str, status: int | None = None) -> int:
        """How many requests to `route`, such as `POST /analysis/start`, were answered (with `status`)."""
        counts = tuple(self._counts.items())
        return sum(number for (each, code), number in counts if each == route and status in (None, code))

    def set_webhook(self, url: str, *, enabled: bool = True, now: float = 0.0) -> None:
        """Stores the webhook, as one does on the vendor's dashboard, at `now` or the time of the latest request.

        Besides the https URLs that the API takes, this takes `http` URLs of this machine, for receivers without TLS.
        The URL may hold a token: it is in no log, no repr and no error.
        """
        if not (is_https(url) or _is_local(url)):
            raise ValueError("url: must be an https URL, or an http URL with the host 127.0.0.1, ::1 or localhost")
        self._account.webhook = {"url": url, "enabled": enabled, "updated_at": timestamp(max(self._latest, now))}

    def send_test_event(self, now: float) -> None:
        """Schedules the test event of the vendor's dashboard at `now`; `deliveries` shows its answer.

        Raises `ValueError` if no webhook is stored and enabled.
        """
        if not self._account.webhook.get("enabled"):
            raise ValueError("send_test_event: no webhook is stored and enabled; call set_webhook first")
        self._test_events += 1
        at = now + self.settings.clock_offset
        self.outbox.add([test_delivery(self.settings.deliveries, at, self._test_events)])

    def add_credits(self, number: int) -> None:
        """Buys credits, as one does on the vendor's dashboard."""
        if number < 1:
            raise ValueError(f"number: at least 1 credit, not {number}")
        self._account.bought += number

    def rotate_key(self, old: str, new: str) -> None:
        """Replaces the API key `old`, which is rejected from now on, by `new`."""
        if old not in self._account.keys or not new:
            raise ValueError("rotate_key: `old` must be an accepted key and `new` must not be empty")
        del self._account.keys[old]
        self._account.keys[new] = None


def _is_local(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme == "http" and is_loopback(parts.hostname or "")


METHODS: Mapping[str, tuple[str, ...]] = {
    template: tuple(method for method, each in HANDLERS if each == template) for _, template in HANDLERS
}
PATTERNS = tuple((template, template.split("/")) for template in METHODS)


def _match(path: str) -> tuple[str, dict[str, str]]:
    """The template that matches a path and the values of its placeholders; `?` when no template matches."""
    segments = path.split("/")
    for template, pattern in PATTERNS:
        parameters = _path_parameters(pattern, segments)
        if parameters is not None:
            return template, parameters
    return "?", {}


def _path_parameters(pattern: list[str], segments: list[str]) -> dict[str, str] | None:
    if len(pattern) != len(segments):
        return None
    pairs = tuple(zip(pattern, segments, strict=True))
    if not all(segment if part.startswith("{") else part == segment for part, segment in pairs):
        return None
    return {part[1:-1]: unquote(segment) for part, segment in pairs if part.startswith("{")}


def template_of(method: str, path: str) -> str:
    """The route of a request, such as `GET /analysis/{analysis_id}/results`; `GET ?` when unknown."""
    return f"{method} {_match(path)[0]}"
