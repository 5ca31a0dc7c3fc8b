"""Prints the spans of an analysis or of a batch as a tree, or the attributes of one span.

    pip install 'ochy-async[otel]' opentelemetry-sdk
    python span_tree.py analysis
    python span_tree.py batch
    python span_tree.py span

The emulator takes the place of Ochy, in virtual time: no OCHY_API_KEY is needed, no credit is spent, and the results
are simulated.
"""

import json
import random
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ochy_async import OchySession, SideView
from ochy_async.emulator import (
    DisconnectAfter,
    FaultPlan,
    FaultRule,
    InProcessTransport,
    Respond,
    in_virtual_time,
    sample_clip,
)
from ochy_async.telemetry import OpenTelemetry

EXPORTER, PROVIDER = InMemorySpanExporter(), TracerProvider()
PROVIDER.add_span_processor(SimpleSpanProcessor(EXPORTER))
TELEMETRY = OpenTelemetry(tracer_provider=PROVIDER)
START = "POST /analysis/start"
SHOWN = ("ochy.outcome", "ochy.credits.spent", "http.response.status_code", "ochy.request.phase", "ochy.poll.cause")


async def analysis() -> None:
    """One analysis, within a span of the program's own. Its first start is answered with 429."""
    transport = InProcessTransport(faults=FaultPlan([FaultRule(START, Respond(429))]))
    async with OchySession(transport=transport, telemetry=TELEMETRY, preflight="off") as ochy:
        with PROVIDER.get_tracer("app").start_as_current_span("POST /upload"):
            await ochy.analyze(sample_clip(1), SideView())


async def batch() -> None:
    """A batch of one clip. The connection breaks after the last byte of its start."""
    transport = InProcessTransport(faults=FaultPlan([FaultRule(START, DisconnectAfter())]))
    async with (
        OchySession(transport=transport, telemetry=TELEMETRY, preflight="off") as ochy,
        ochy.batch(SideView(), tag_starts=True) as clips,
    ):
        async for _ in clips.run([sample_clip(1)]):
            pass


def tree(spans: Sequence[ReadableSpan], parent: int | None = None, depth: int = 0) -> Iterator[str]:
    """The spans below the one with the id `parent`, in the order in which they began."""
    for span in sorted(spans, key=lambda each: each.start_time or 0):
        if (span.parent.span_id if span.parent else None) == parent:
            attributes: dict[str, Any] = dict(span.attributes or {})
            error = [] if span.status.is_ok else ["ERROR"]
            facts = [f"{name}={attributes[name]}" for name in SHOWN if name in attributes]
            name = "  " * depth + span.name + ("  (link to ochy.batch)" if span.links else "")
            yield " ".join([f"{name:44}", *error, *facts]).rstrip()
            if span.context:
                yield from tree(spans, span.context.span_id, depth + 1)


if __name__ == "__main__":
    random.seed(1)  # so that polls come at the same moments in every run
    in_virtual_time(batch() if sys.argv[1] == "batch" else analysis())
    finished = EXPORTER.get_finished_spans()
    if sys.argv[1] == "span":
        *_, poll = (each for each in finished if each.name.startswith("GET"))
        print(poll.name, json.dumps(dict(poll.attributes or {}), indent=2))
    else:
        print("\n".join(tree(finished)))
