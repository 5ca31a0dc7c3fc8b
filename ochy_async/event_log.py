"""Logs events: `OchySession(on_event=log_events(logger))`.

Invariant: a record holds no health data, no signed URL and no subject. Its message is for people; programs read its
fields, which are attributes of the record as `extra` makes them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import fields

from .errors import Finding, StartAttempt
from .events import (
    AnalysisProgress,
    AnalysisStarted,
    BytesSent,
    ClipFlagged,
    DeliveryReceived,
    DriftDetected,
    Event,
    Listener,
    ReconciliationAttempted,
    ResponseReceived,
    Retried,
    StartUncertain,
    SubjectCreated,
    WatchStarted,
)
from .protocol.drift import DriftNote
from .protocol.text_summary import display_text

__all__ = ["LEVELS", "log_events"]

LEVELS: Final[Mapping[type[Event], int]] = {
    BytesSent: logging.DEBUG,
    AnalysisProgress: logging.DEBUG,
    DeliveryReceived: logging.DEBUG,
    ResponseReceived: logging.DEBUG,
    AnalysisStarted: logging.INFO,
    WatchStarted: logging.INFO,
    SubjectCreated: logging.INFO,
    Retried: logging.INFO,
    ReconciliationAttempted: logging.INFO,
    ClipFlagged: logging.WARNING,
    DriftDetected: logging.WARNING,
    StartUncertain: logging.WARNING,
}
"""The level of each event. An event that is missing here is logged as DEBUG."""

_HIDDEN: Final = frozenset({"subject_id"})
"""Fields that identify a runner."""

_VALUES: Final[tuple[tuple[type[Any], Callable[[Any], object]], ...]] = (
    (str, display_text),
    (tuple, lambda findings: [finding.code for finding in findings if isinstance(finding, Finding)]),
    (Mapping, lambda headers: {name: display_text(value) for name, value in headers.items()}),
    (StartAttempt, lambda start: start.view),
    (DriftNote, str),
)
"""How a field is logged that is not a number, a truth value or None."""


def log_events(logger: logging.Logger) -> Listener:
    """A listener that logs every event: `OchySession(on_event=log_events(logging.getLogger("app.ochy")))`.

    Each record has `ochy_event_name`, the name of the event's class such as `AnalysisStarted`, and `ochy_<field>` for
    each field of the event. The texts of clips and of the server are cut, cleaned and free of links. `ochy_findings`
    lists codes, `ochy_start` is the view. Ids of subjects are left out. The level depends on the event (`LEVELS`):
    uncertain starts, differences from the documentation and findings about clips are warnings, bytes, polls,
    responses and deliveries are DEBUG.

    The library's own logger, `ochy_async`, logs the most important of these events by itself. Use another logger, or
    each of them is logged twice.
    """

    def listener(event: Event) -> None:
        level = LEVELS.get(type(event), logging.DEBUG)
        if not logger.isEnabledFor(level):
            return
        values = {each.name: _value(getattr(event, each.name)) for each in fields(type(event))}
        shown = {name: value for name, value in values.items() if name not in _HIDDEN}
        text = " ".join(f"{name}={value}" for name, value in shown.items() if value is not None)
        extra = {"ochy_event_name": type(event).__name__, **{f"ochy_{name}": value for name, value in shown.items()}}
        logger.log(level, "%s %s", _words(type(event).__name__), text, extra=extra)

    return listener


def _value(value: Any) -> object:
    """A field as it is logged. Anything that is not known here is left out."""
    if value is None or isinstance(value, bool | int | float):
        return value
    return next((convert(value) for kind, convert in _VALUES if isinstance(value, kind)), None)


def _words(name: str) -> str:
    """`AnalysisStarted` as `analysis started`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
