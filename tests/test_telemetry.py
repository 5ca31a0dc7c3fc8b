"""Spans and metrics: what an operator sees of an analysis, and what nobody may see.

Every span and measurement of these tests is searched for the key, for signed links and for the names of clips and
runners by the fixture in tests/conftest.py.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from contextlib import aclosing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from aiohttp import web
from attrs import define, field

pytest.importorskip("opentelemetry.sdk", reason="needs opentelemetry-sdk, which tests of the extra otel run on")

from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ochy_async import (
    AnalysisFailed,
    BatchItem,
    Clip,
    ConnectionFailed,
    OchySession,
    Polling,
    Retry,
    ServerError,
    SideView,
    UncertainStart,
    WaitTimeout,
)
from ochy_async.emulator import DisconnectAfter, Emulator, FaultPlan, FaultRule, RefuseConnection, Respond, Service
from ochy_async.emulator.virtual_time import in_virtual_time
from ochy_async.errors import InvalidRequest
from ochy_async.events import DeliveryReceived
from ochy_async.journal.memory import MemoryJournal
from ochy_async.protocol.routes import RESULTS, START
from ochy_async.telemetry import OpenTelemetry
from tests.conftest import CLIP, direct_session, real_session, world
from tests.support.batches import stream_of
from tests.support.canary import API_KEY
from tests.support.exports import RUNNER

NAME = f"{RUNNER}.mp4"
PAGE = (Path(__file__).parents[1] / "docs/how-to/telemetry.md").read_text(encoding="utf-8")
POLL = "GET /analysis/{analysis_id}/results"


def undocumented(names: Iterable[str]) -> list[str]:
    """The names of attributes and metrics that docs/how-to/telemetry.md does not list."""
    listed = (re.sub(r"(?<=ochy.batch.clips.)\w+", "{outcome}", each) for each in names)
    return [name for name in listed if f"`{name}`" not in PAGE]


@define(eq=False)
class Collected:
    """What an application exports."""

    exporter: InMemorySpanExporter = field(factory=InMemorySpanExporter)
    reader: InMemoryMetricReader = field(factory=InMemoryMetricReader)
    traces: TracerProvider = field(factory=TracerProvider)
    telemetry: OpenTelemetry = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.traces.add_span_processor(SimpleSpanProcessor(self.exporter))
        metrics = MeterProvider([self.reader])
        self.telemetry = OpenTelemetry(tracer_provider=self.traces, meter_provider=metrics)

    @contextmanager
    def request(self) -> Generator[None]:
        """A span of the application itself, as a web framework would start it."""
        tracer = self.traces.get_tracer("app")
        with tracer.start_as_current_span("POST /upload", record_exception=False, set_status_on_exception=False):
            yield

    @property
    def spans(self) -> list[ReadableSpan]:
        """In the order in which they began. None has an event or a description, each error has a type, and what the
        library sets is documented."""
        spans = self.exporter.get_finished_spans()
        for span in spans:
            assert span.events == ()
            assert span.status.description is None
            assert not undocumented(span.attributes or {})
            failed = span.status.status_code is trace.StatusCode.ERROR
            assert failed == ("error.type" in (span.attributes or {}))
        return sorted(spans, key=lambda span: span.start_time or 0)

    def named(self, name: str) -> list[dict[str, Any]]:
        """The attributes of the spans with a name."""
        return [dict(span.attributes or {}) for span in self.spans if span.name == name]

    @property
    def tree(self) -> list[str]:
        """Every span with its outcome and error, indented below its parent."""
        spans = self.spans
        ids = {span.context.span_id for span in spans if span.context}

        def lines(parent: int | None, depth: int) -> Iterator[str]:
            for span in spans:
                above = span.parent.span_id if span.parent else None
                if above == parent or (parent is None and above not in ids):
                    attributes = span.attributes or {}
                    facts = [attributes.get("ochy.outcome"), attributes.get("error.type")]
                    yield "  " * depth + " ".join([span.name, *(str(fact) for fact in facts if fact is not None)])
                    yield from lines(span.context.span_id if span.context else 0, depth + 1)

        return list(lines(None, 0))

    def metric(self, name: str) -> dict[tuple[str, ...], Any]:
        """The data points of a metric, by the values of their attributes."""
        data = self.reader.get_metrics_data()
        metrics = [each for r in data.resource_metrics for s in r.scope_metrics for each in s.metrics] if data else []
        points = [point for each in metrics if each.name == name for point in each.data.data_points]
        assert not undocumented([name, *(key for point in points for key in point.attributes or {})])
        return {tuple(str(value) for value in (point.attributes or {}).values()): point for point in points}


@pytest.fixture
def collected() -> Generator[Collected]:
    """Afterwards no span is current."""
    yield Collected()
    assert trace.get_current_span() is trace.INVALID_SPAN


def without_repeats(lines: list[str]) -> list[str]:
    """The lines without those that are equal to the one before: how many polls there are depends on the machine."""
    return [line for number, line in enumerate(lines) if number == 0 or line != lines[number - 1]]


ANALYSIS_TREE = [
    "POST /upload",
    "  ochy.start accepted",
    "    POST /analysis/start 429",
    "    POST /analysis/start",
    "  ochy.wait success",
    f"    {POLL}",
]


@pytest.mark.anyio
async def test_an_analysis_over_a_socket_is_a_tree_below_the_span_of_the_caller(collected: Collected) -> None:
    """A retried start and its wait are below the span that is current in the caller's task."""
    faults = FaultPlan([FaultRule(str(START), Respond(429))])
    async with (
        Emulator(world(), faults, speed=50) as emulator,
        real_session(emulator, telemetry=collected.telemetry) as ochy,
    ):
        url = emulator.url
        with collected.request():
            await ochy.analyze(CLIP, SideView(), name=NAME, label=NAME)
    assert without_repeats(collected.tree) == ANALYSIS_TREE
    assert len({span.context.trace_id for span in collected.spans if span.context}) == 1
    first, second = collected.named("POST /analysis/start")
    common = {
        "http.request.method": "POST",
        "server.address": "127.0.0.1",
        "server.port": int(url.rpartition(":")[2]),
        "url.template": "/analysis/start",
        "url.full": f"{url}/analysis/start?apiKey=REDACTED",
    }
    assert first == {**common, "http.response.status_code": 429, "error.type": "429"}
    assert second == {**common, "http.request.resend_count": 1, "http.response.status_code": 202}
    assert {span.kind for span in collected.spans if "/analysis" in span.name} == {trace.SpanKind.CLIENT}


def test_an_analysis_in_virtual_time_has_the_same_tree(collected: Collected) -> None:
    """Polls say why they were made, and all spans of one analysis have its id."""

    async def scenario() -> None:
        service, faults = Service(world(analysis_seconds=(8.0, 8.0))), FaultPlan([FaultRule(str(START), Respond(429))])
        async with direct_session(service, faults, telemetry=collected.telemetry) as ochy:
            with collected.request():
                await ochy.analyze(CLIP, SideView(), name=NAME, label=NAME)
        assert without_repeats(collected.tree) == ANALYSIS_TREE
        polls = collected.named(POLL)
        assert [poll["ochy.poll.cause"] for poll in polls] == ["first", *["scheduled"] * (len(polls) - 1)]
        shown = {each["ochy.analysis.id"] for each in (*polls, *collected.named("ochy.wait"))}
        assert shown == {each["ochy.analysis.id"] for each in collected.named("ochy.start")}
        assert {each["ochy.view"] for name in ("ochy.start", "ochy.wait") for each in collected.named(name)} == {
            "side_view"
        }
        (point,) = collected.metric("ochy.analysis.duration").values()
        assert point.sum == pytest.approx(8, abs=4)
        assert dict(point.attributes) == {"ochy.view": "side_view", "ochy.outcome": "success"}

    in_virtual_time(scenario())


def test_the_metrics_of_an_analysis_count_starts_polls_and_requests(collected: Collected) -> None:
    """Requests are measured by route and status, polls are counted by cause."""

    async def scenario() -> None:
        async with direct_session(telemetry=collected.telemetry) as ochy:
            await ochy.analyze(CLIP, SideView())
        assert collected.metric("ochy.starts")["side_view", "accepted"].value == 1
        polls = collected.metric("ochy.polls")
        assert polls["first",].value == 1
        requests = collected.metric("http.client.request.duration")
        start = ("POST", "emulator.invalid", "80", "/analysis/start", "202")
        assert requests[start].count == 1
        polled = sum(point.count for key, point in requests.items() if key[3] == RESULTS.template)
        assert polled == sum(point.value for point in polls.values())

    in_virtual_time(scenario())


def test_an_uncertain_start_says_how_far_the_request_got(collected: Collected) -> None:
    """No connection, and a connection that broke after the last byte, are different things."""

    async def scenario() -> None:
        async def start(fault: Any, expected: type[Exception]) -> None:
            faults = FaultPlan([FaultRule(str(START), fault)])
            async with direct_session(faults=faults, telemetry=collected.telemetry, retry=Retry(attempts=1)) as ochy:
                with pytest.raises(expected):
                    await ochy.start(CLIP, SideView(), name=NAME)

        await start(RefuseConnection(), ConnectionFailed)
        await start(DisconnectAfter(), UncertainStart)
        failed = "ochy_async.errors.ConnectionFailed"
        assert collected.tree == [
            f"ochy.start not_happened {failed}",
            f"  POST /analysis/start {failed}",
            "ochy.start uncertain ochy_async.errors.UncertainStart",
            f"  POST /analysis/start {failed}",
        ]
        phases = [each["ochy.request.phase"] for each in collected.named("POST /analysis/start")]
        assert phases == ["not_sent", "complete"]
        assert {key[1] for key in collected.metric("ochy.starts")} == {"not_happened", "uncertain"}

    in_virtual_time(scenario())


def test_a_refused_start_is_counted_as_refused(collected: Collected) -> None:
    """The reason is the class of the error."""

    async def scenario() -> None:
        async with direct_session(world(credits=0), telemetry=collected.telemetry) as ochy:
            with pytest.raises(Exception, match="credits"):
                await ochy.start(CLIP, SideView())
        assert list(collected.metric("ochy.starts")) == [("side_view", "refused", "ochy_async.errors.BuyCredits")]

    in_virtual_time(scenario())


def test_the_ends_of_waits_are_told_apart(collected: Collected) -> None:
    """A wait fails because every poll failed, times out, is cancelled, left, or ends with a failed analysis."""

    async def scenario() -> None:
        async def wait(**settings: Any) -> OchySession:
            return direct_session(telemetry=collected.telemetry, **settings)

        failing = FaultPlan([FaultRule(str(RESULTS), Respond(503), times=1000)])
        async with await wait(faults=failing, polling=Polling(patience=5)) as ochy:
            started = await ochy.start(CLIP, SideView())
            with pytest.raises(ServerError):
                await ochy.wait(started)
        async with await wait() as ochy:
            started = await ochy.start(CLIP, SideView())
            with pytest.raises(WaitTimeout):
                await ochy.wait(started, timeout=5)
            with anyio.move_on_after(1):
                await ochy.wait(started)
            async with aclosing(ochy.watch(started)) as states:
                async for _ in states:
                    assert trace.get_current_span() is trace.INVALID_SPAN
                    break
        async with await wait(service=world(failure_rate=1.0)) as ochy:
            with pytest.raises(AnalysisFailed):
                await ochy.analyze(CLIP, SideView())
        waits = [line for line in collected.tree if line.startswith("ochy.wait")]
        assert waits == [
            "ochy.wait error ochy_async.errors.ServerError",
            "ochy.wait timeout ochy_async.errors.WaitTimeout",
            "ochy.wait cancelled cancelled",
            "ochy.wait left",
            "ochy.wait failed ochy_async.errors.AnalysisFailed",
        ]
        causes = [each["ochy.poll.cause"] for each in collected.named(POLL) if each.get("error.type") == "503"]
        assert causes == ["first", *["repeated"] * (len(causes) - 1)]
        assert len(causes) > 1

    in_virtual_time(scenario())


@pytest.mark.anyio
async def test_a_cancelled_attempt_over_a_socket_ends_its_spans(collected: Collected) -> None:
    """Cancelling an upload under way ends the span of the attempt and that of the start, as `cancelled`."""
    gate = anyio.Event()

    async def stalls() -> AsyncIterator[bytes]:
        yield CLIP[:100]
        gate.set()
        await anyio.sleep_forever()

    async with (
        Emulator(world()) as emulator,
        real_session(emulator, telemetry=collected.telemetry) as ochy,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(ochy.start, Clip.stream(stalls, name=NAME, size=len(CLIP)), SideView())
        await gate.wait()
        tasks.cancel_scope.cancel()
    assert collected.tree == ["ochy.start not_happened cancelled", "  POST /analysis/start cancelled"]


def test_the_clips_of_a_batch_have_traces_of_their_own_that_link_to_it(collected: Collected) -> None:
    """A batch that is left and run again shows what each run did: the second one buys only what the first did not."""

    async def scenario() -> None:
        service, journal = Service(world(analysis_seconds=(20.0, 20.0))), MemoryJournal()
        clips = [
            BatchItem(Clip.stream(partial(stream_of, content), name=NAME, size=len(content)))
            for content in (CLIP + b"1", CLIP + b"2")
        ]
        async with direct_session(service, telemetry=collected.telemetry) as ochy:
            with collected.request(), anyio.move_on_after(10):
                async with ochy.batch(SideView(), journal=journal) as batch:
                    async for _ in batch.run(clips):
                        raise AssertionError("no clip is finished by now")
            assert without_repeats([line for line in collected.tree if "GET" not in line]) == [
                "POST /upload",
                "  ochy.batch cancelled cancelled",
                *["ochy.clip cancelled cancelled", "  ochy.start accepted", "    POST /analysis/start"],
                "  ochy.wait cancelled cancelled",
                *["ochy.clip cancelled cancelled", "  ochy.start accepted", "    POST /analysis/start"],
                "  ochy.wait cancelled cancelled",
            ]
            collected.exporter.clear()
            async with ochy.batch(SideView(), journal=journal) as batch:
                assert [each.word async for each in batch.run(clips)] == ["analyzed"] * 2
        assert without_repeats([line for line in collected.tree if "GET" not in line]) == [
            "ochy.batch finished",
            *["ochy.clip analyzed", "  ochy.wait success"],
            *["ochy.clip analyzed", "  ochy.wait success"],
        ]
        batch_span, *others = collected.spans
        assert collected.named("ochy.batch") == [
            {"ochy.outcome": "finished", "ochy.credits.spent": 0, "ochy.batch.clips.analyzed": 2}
        ]
        linked = [link.context for span in others if span.name == "ochy.clip" for link in span.links]
        assert linked == [batch_span.context] * 2
        assert len({span.context.trace_id for span in collected.spans if span.context}) == 3
        assert len(service.ledger) == 2

    in_virtual_time(scenario())


def test_a_clip_without_results_is_an_error(collected: Collected) -> None:
    """The span of a refused clip says so, although no exception left the batch."""

    async def scenario() -> None:
        async with (
            direct_session(telemetry=collected.telemetry) as ochy,
            ochy.batch(SideView()) as batch,
        ):
            assert [each.word async for each in batch.run([b""])] == ["refused"]
        assert collected.tree == ["ochy.batch finished", "ochy.clip refused ochy_async.errors.ClipUnusable"]

    in_virtual_time(scenario())


def test_other_calls_are_attempts_below_the_span_of_the_caller(collected: Collected) -> None:
    """A subject's id, what is written about a subject, and a path that the library does not know are not shown."""

    async def scenario() -> None:
        async with direct_session(telemetry=collected.telemetry, retry=Retry(attempts=1)) as ochy:
            with collected.request():
                created = await ochy.create_subject(name=RUNNER, email=f"{RUNNER}@example.com", height=1.8)
                await ochy.get_subject(created.subject_id)
                with pytest.raises(Exception, match="404"):
                    await ochy.request("GET", f"/{RUNNER}", query=[("email", RUNNER)])
                with pytest.raises(InvalidRequest):
                    await ochy.request("GET", f"/{RUNNER}/..")
        assert collected.tree == [
            "POST /upload",
            "  POST /subjects",
            "  GET /subjects/{subject_id}",
            "  GET 404",
        ]
        exported = "".join(str(span.to_json()) for span in collected.spans)
        assert created.subject_id not in exported
        assert RUNNER not in exported

    in_virtual_time(scenario())


def test_a_delivery_is_counted_once_for_all_sessions(collected: Collected) -> None:
    """Sessions that share the receiver of webhooks all report the same delivery."""
    accepted, refused = DeliveryReceived(analysis_id="a1"), DeliveryReceived(http_status=413)
    for delivery in (accepted, accepted, refused, refused, accepted):
        collected.telemetry.on_event(delivery)
    counts = {key: point.value for key, point in collected.metric("ochy.webhook.deliveries").items()}
    assert counts == {("204",): 2, ("413",): 1}


def test_histograms_have_useful_buckets(collected: Collected) -> None:
    """Seconds are counted in buckets of milliseconds and of seconds, where OpenTelemetry takes advice about them."""
    meter = MeterProvider([]).get_meter("any")
    if "explicit_bucket_boundaries_advisory" not in meter.create_histogram.__code__.co_varnames:
        pytest.skip("this version of OpenTelemetry takes no advice about buckets")

    async def scenario() -> None:
        async with direct_session(telemetry=collected.telemetry) as ochy:
            await ochy.analyze(CLIP, SideView())
        (point, *_) = collected.metric("http.client.request.duration").values()
        assert tuple(point.explicit_bounds) == (
            *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
        )
        (point,) = collected.metric("ochy.analysis.duration").values()
        assert (point.explicit_bounds[0], point.explicit_bounds[-1]) == (5, 600)

    in_virtual_time(scenario())


@pytest.mark.anyio
async def test_instrumentation_of_the_whole_program_adds_no_span_and_no_key(
    collected: Collected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instrumentation that starts a span with the URL for each request of aiohttp does not see ours."""
    tracer, construct = collected.traces.get_tracer("aiohttp"), aiohttp.ClientSession.__init__

    async def on_request_start(_session: Any, context: Any, params: Any) -> None:
        context.span = tracer.start_span(params.method, attributes={"http.url": str(params.url)})

    async def on_request_end(_session: Any, context: Any, _params: Any) -> None:
        context.span.end()

    def instrumented(self: aiohttp.ClientSession, *args: Any, **kwargs: Any) -> None:
        config = aiohttp.TraceConfig()
        config.on_request_start.append(on_request_start)
        config.on_request_end.append(on_request_end)
        kwargs["trace_configs"] = [*(kwargs.get("trace_configs") or ()), config]
        construct(self, *args, **kwargs)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", instrumented)
    async with Emulator(world(), speed=50) as emulator:
        async with aiohttp.ClientSession() as http, http.get(f"{emulator.url}/analysis"):
            pass
        assert len(collected.exporter.get_finished_spans()) == 1, "the instrumentation works for others"
        collected.exporter.clear()
        async with real_session(emulator, telemetry=collected.telemetry) as ochy:
            await ochy.get_webhook()
    assert collected.tree == ["GET /webhook"]


@pytest.mark.anyio
async def test_the_instrumentation_of_opentelemetry_itself_adds_no_span(collected: Collected) -> None:
    """The package `opentelemetry-instrumentation-aiohttp-client` sees no request of a session."""
    instrumentation: Any = pytest.importorskip(
        "opentelemetry.instrumentation.aiohttp_client", reason="needs opentelemetry-instrumentation-aiohttp-client"
    )
    instrumentor = instrumentation.AioHttpClientInstrumentor()
    instrumentor.instrument(tracer_provider=collected.traces)
    try:
        async with Emulator(world(), speed=50) as emulator:
            async with aiohttp.ClientSession() as http, http.get(f"{emulator.url}/analysis"):
                pass
            assert len(collected.exporter.get_finished_spans()) == 1, "the instrumentation works for others"
            collected.exporter.clear()
            async with real_session(emulator, telemetry=collected.telemetry) as ochy:
                await ochy.get_webhook()
    finally:
        instrumentor.uninstrument()
    assert collected.tree == ["GET /webhook"]


@pytest.mark.anyio
async def test_nothing_of_the_trace_is_sent_to_the_vendor(collected: Collected) -> None:
    """A request has no `traceparent`, `tracestate` or `baggage`."""
    names: set[str] = set()

    async def answer(request: web.Request) -> web.Response:
        names.update(name.lower() for name in request.headers)
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/webhook", answer)
    runner = web.AppRunner(app, access_log=None)  # it would log the key
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        async with OchySession(API_KEY, base_url=f"http://{host}:{port}", telemetry=collected.telemetry) as ochy:
            with collected.request():
                await ochy.get_webhook()
    finally:
        await runner.cleanup()
    assert collected.tree == ["POST /upload", "  GET /webhook"]
    assert "user-agent" in names
    assert not names & {"traceparent", "tracestate", "baggage", "b3"}


def run(program: str) -> str:
    """Returns what a program prints in a fresh interpreter."""
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


def test_global_providers_are_used_also_if_they_are_set_later() -> None:
    """An application may configure OpenTelemetry after it made its `OpenTelemetry` object."""
    program = """
import asyncio
from ochy_async import OchySession
from ochy_async.emulator import EmulatorSettings, InProcessTransport
from ochy_async.telemetry import OpenTelemetry
telemetry = OpenTelemetry()
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)

async def main():
    transport = InProcessTransport(EmulatorSettings(api_keys=frozenset({'any-key-1'})), api_key='any-key-1')
    async with OchySession(transport=transport, telemetry=telemetry) as ochy:
        await ochy.get_webhook()

asyncio.run(main())
print([span.name for span in exporter.get_finished_spans()])
"""
    assert run(program) == "['GET /webhook']"


def test_without_telemetry_opentelemetry_is_not_imported() -> None:
    """Neither the session nor anything that it imports loads OpenTelemetry."""
    found = run("import sys; from ochy_async import OchySession; print([m for m in sys.modules if 'telemetry' in m])")
    assert found == "[]"


def test_a_missing_extra_is_named_with_the_command_that_installs_it() -> None:
    """Importing the module says what to install."""
    program = """
import sys
sys.modules['opentelemetry'] = None
try:
    import ochy_async.telemetry
except ModuleNotFoundError as error:
    print(error)
"""
    assert run(program).endswith("pip install 'ochy-async[otel]'")
