"""What OpenTelemetry's SDK would export: every span that ends, and every measurement, as text."""

from __future__ import annotations

import sys
from typing import Any

import pytest

RUNNER = "canary-runner"
"""Part of every name of a clip, label and subject in tests of telemetry: nothing of a runner is exported."""


def record_exports(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that gets the text of each span that ends and of each measurement; nothing if no SDK is imported."""
    texts: list[str] = []
    traces: Any = sys.modules.get("opentelemetry.sdk.trace")
    metrics: Any = sys.modules.get("opentelemetry.sdk.metrics._internal.measurement_consumer")
    if traces is not None:
        end = traces.Span.end

        def remember_span(self: Any, *args: Any, **kwargs: Any) -> None:
            end(self, *args, **kwargs)
            texts.append(self.to_json())

        monkeypatch.setattr(traces.Span, "end", remember_span)
    if metrics is not None:
        consumer = metrics.SynchronousMeasurementConsumer
        consume = consumer.consume_measurement

        def remember_measurement(self: Any, measurement: Any) -> None:
            consume(self, measurement)
            texts.append(f"{measurement.instrument.name} {measurement.value} {measurement.attributes}")

        monkeypatch.setattr(consumer, "consume_measurement", remember_measurement)
    return texts
