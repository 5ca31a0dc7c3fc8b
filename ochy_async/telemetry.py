"""Traces and metrics with OpenTelemetry: `OchySession(telemetry=OpenTelemetry())`. Needs the extra `otel`.

HTTP attributes, and the metric `http.client.request.duration`, are those of the OpenTelemetry semantic conventions;
names that begin with `ochy.` are ours. docs/how-to/telemetry.md lists them all.

Invariant: spans and metrics hold no key, no signed URL, no token, no name of a clip and nothing of a runner. The only
id is that of an analysis. No exception is recorded, because its text may name a clip.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from attrs import define, field

from ._version import __version__
from .events import DeliveryReceived, Event
from .extras import missing_library
from .observing import (
    AttemptOperation,
    BatchOperation,
    ClipOperation,
    Ended,
    Observation,
    Observer,
    Operation,
    StartOperation,
    WaitOperation,
)

try:
    from opentelemetry import context, metrics, trace
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError(missing_library("Telemetry", "OpenTelemetry", "otel"), name=_error.name) from None

if TYPE_CHECKING:
    from opentelemetry.metrics import Histogram, Meter, MeterProvider
    from opentelemetry.trace import Span, TracerProvider

__all__ = ["OpenTelemetry"]

SCHEMA: Final = "https://opentelemetry.io/schemas/1.27.0"
REQUEST_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Seconds, as the conventions advise."""
ANALYSIS_BUCKETS: Final = (5, 10, 15, 20, 25, 30, 45, 60, 90, 120, 180, 300, 600)
"""Seconds. Most analyses take 10 to 30 (documented)."""
DEFAULT_PORTS: Final = {"https": 443, "http": 80}

Attributes = dict[str, Any]


@define(eq=False)
class _SpanObservation(Observation):
    """A span, which is the current one while the operation is active."""

    span: Span
    attributes: Callable[[Ended], Attributes]
    """What is known of the operation once it has ended."""
    measure: Callable[[Ended, Attributes], None]
    """Adds to the metrics, given these attributes."""
    _tokens: list[Any] = field(factory=list)

    def __enter__(self) -> object:
        self._tokens.append(context.attach(trace.set_span_in_context(self.span)))
        return self

    def __exit__(self, *_: object) -> None:
        context.detach(self._tokens.pop())

    def end(self, ended: Ended) -> None:
        attributes = self.attributes(ended)
        self.span.set_attributes(attributes)
        if "error.type" in attributes:
            self.span.set_status(trace.StatusCode.ERROR)
        with self:  # so that exemplars of the metrics point to the span
            self.measure(ended, attributes)
        self.span.end()


class OpenTelemetry(Observer):
    """Makes spans and metrics of what sessions do. Use one object for all sessions of a process.

    Without arguments, the global providers are used, whether they are set before or after. The span that is current in
    the calling task becomes the parent. Nothing about the trace is sent to the vendor.
    """

    def __init__(
        self, *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        self._tracer = trace.get_tracer("ochy_async", __version__, tracer_provider, SCHEMA)
        meter = metrics.get_meter("ochy_async", __version__, meter_provider, SCHEMA)
        self._request_duration = _histogram(
            meter, "http.client.request.duration", "Duration of HTTP client requests.", REQUEST_BUCKETS
        )
        self._analysis_duration = _histogram(
            meter,
            "ochy.analysis.duration",
            "Time from an accepted start to the poll that shows its end.",
            ANALYSIS_BUCKETS,
        )
        self._starts = meter.create_counter("ochy.starts", "{start}", "Starts of analyses, by how they ended.")
        self._polls = meter.create_counter("ochy.polls", "{poll}", "Polls of analyses, by why they were made.")
        self._deliveries = meter.create_counter(
            "ochy.webhook.deliveries", "{delivery}", "Requests with the webhook's token, by the answer."
        )
        self._last_delivery: Event | None = None

    def on_event(self, event: Event) -> None:
        """Counts webhook deliveries. A delivery that several sessions report is counted once."""
        if isinstance(event, DeliveryReceived) and event is not self._last_delivery:
            self._last_delivery = event
            self._deliveries.add(1, {"http.response.status_code": event.http_status})

    def operation(self, operation: Operation) -> Observation:
        """Starts a span below the current one. That of a clip begins a trace of its own, with a link to its batch."""
        match operation:
            case AttemptOperation():
                return self._attempt(operation)
            case StartOperation(view):
                return self._span("ochy.start", {"ochy.view": view}, partial(self._start_ended, view))
            case WaitOperation(analysis_id, view):
                attributes = {"ochy.analysis.id": analysis_id, "ochy.view": view}
                return self._span("ochy.wait", attributes, partial(self._wait_ended, view))
            case ClipOperation(view):
                return self._clip(view)
            case BatchOperation():
                return self._span("ochy.batch", {})

    def _attempt(self, attempt: AttemptOperation) -> Observation:
        server = urlsplit(attempt.url)
        common = {
            "http.request.method": attempt.method,
            "server.address": server.hostname,
            "server.port": server.port or DEFAULT_PORTS.get(server.scheme),
            "url.template": attempt.route,
        }
        attributes = {
            **common,
            "url.full": attempt.url,
            "http.request.resend_count": attempt.number - 1 or None,
            "ochy.analysis.id": attempt.analysis_id,
            "ochy.poll.cause": attempt.cause,
        }
        name = attempt.method if attempt.route is None else f"{attempt.method} {attempt.route}"
        span = self._tracer.start_span(name, kind=trace.SpanKind.CLIENT, attributes=_known(attributes))
        if attempt.cause is not None:
            self._polls.add(1, {"ochy.poll.cause": attempt.cause})
        return _SpanObservation(span, _end_of_attempt, partial(self._attempt_ended, common, perf_counter()))

    def _clip(self, view: str) -> Observation:
        """A batch may run for hours and have thousands of clips: more than viewers show in one trace."""
        batch = trace.get_current_span().get_span_context()
        return self._span(
            "ochy.clip",
            {"ochy.view": view},
            context=trace.set_span_in_context(trace.INVALID_SPAN),
            links=[trace.Link(batch)] if batch.is_valid else [],
        )

    def _span(
        self,
        name: str,
        attributes: Attributes,
        measure: Callable[[Ended, Attributes], None] = lambda *_: None,
        **options: Any,
    ) -> Observation:
        span = self._tracer.start_span(name, attributes=_known(attributes), **options)
        return _SpanObservation(span, _end_of_operation, measure)

    def _attempt_ended(self, common: Attributes, began: float, _: Ended, end: Attributes) -> None:
        self._request_duration.record(perf_counter() - began, _known({**common, **_of(end, *_HTTP_END)}))

    def _start_ended(self, view: str, _: Ended, end: Attributes) -> None:
        self._starts.add(1, {"ochy.view": view, **_of(end, "ochy.outcome", "error.type")})

    def _wait_ended(self, view: str | None, ended: Ended, _: Attributes) -> None:
        if ended.seconds is not None:
            self._analysis_duration.record(ended.seconds, _known({"ochy.view": view, "ochy.outcome": ended.outcome}))


_HTTP_END: Final = ("http.response.status_code", "error.type")


def _end_of_attempt(ended: Ended) -> Attributes:
    """A client's request with a 4xx or 5xx has failed, and its status says why (semantic conventions)."""
    failed = ended.status is not None and ended.status >= 400
    return _known(
        {
            "http.response.status_code": ended.status,
            "error.type": str(ended.status) if failed else ended.error,
            "ochy.request.phase": None if ended.phase is None else ended.phase.value.replace(" ", "_"),
        }
    )


def _end_of_operation(ended: Ended) -> Attributes:
    return _known(
        {
            "ochy.outcome": ended.outcome,
            "error.type": ended.error,
            "ochy.analysis.id": ended.analysis_id,
            "ochy.credits.spent": ended.spent,
            **{f"ochy.batch.clips.{outcome}": count for outcome, count in ended.counts.items()},
        }
    )


def _known(attributes: Attributes) -> Attributes:
    """The attributes that have a value."""
    return {name: value for name, value in attributes.items() if value is not None}


def _of(attributes: Attributes, *names: str) -> Attributes:
    return {name: attributes[name] for name in names if name in attributes}


def _histogram(meter: Meter, name: str, description: str, buckets: Sequence[float]) -> Histogram:
    """A histogram of seconds. Versions of OpenTelemetry before 1.30 take no advice about buckets."""
    create: Any = meter.create_histogram
    try:
        found: Histogram = create(name, "s", description, explicit_bucket_boundaries_advisory=buckets)
    except TypeError:
        found = create(name, "s", description)
    return found
