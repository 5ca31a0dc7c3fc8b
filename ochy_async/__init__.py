"""Asyncio SDK for the Ochy Partner API: running videos in, typed biomechanics out.

    async with OchySession() as ochy:
        results = await ochy.analyze("runner.mp4", SideView(height=1.75, weight=68))

This module has the names that most programs need: the session, requests and results, outcomes of batches, settings, and
the errors to catch. All errors are in `ochy_async.errors`, all events in `ochy_async.events`, the parts of answers in
`ochy_async.protocol`, and the emulator is in `ochy_async.emulator`. Each name is imported when it is first used, so
that the command line does not import the HTTP client to print its help.
"""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

# The log is silent until the program configures logging.
logging.getLogger(__name__).addHandler(logging.NullHandler())

if TYPE_CHECKING:
    from .batch.engine import Batch
    from .batch.manifest import read_manifest
    from .batch.outcomes import Analyzed, Failed, Refused, Uncertain, Unfinished
    from .batch.sources import BatchItem
    from .clips import Clip
    from .errors import (
        AnalysisFailed,
        BuyCredits,
        ClipRefused,
        ClipUnusable,
        ConnectionFailed,
        DeadlinePassed,
        FilmAgain,
        FixRequest,
        InvalidDelivery,
        InvalidRequest,
        InvalidSettings,
        JournalError,
        KeyRefused,
        NotFound,
        NotReady,
        OchyError,
        OutputError,
        Problem,
        RateLimited,
        RequestRefused,
        ServerError,
        TryLater,
        UncertainStart,
        UnreadableAnswer,
        WaitLonger,
        WaitTimeout,
    )
    from .events import Event
    from .journal.postgres.journal import PostgresJournal
    from .policy.concurrency import Concurrency
    from .policy.limits import Limits
    from .policy.polling import Polling
    from .policy.reconciliation import Reconciliation
    from .policy.retry import Retry
    from .protocol.analysis import AnalysisState, Started, Status
    from .protocol.back_view import BackView, BackViewCalculated, BackViewResults
    from .protocol.deliveries import Delivery, parse_delivery
    from .protocol.landmarks import Landmarks
    from .protocol.side_view import FootStrike, SideView, SideViewCalculated, SideViewResults
    from .result_loaders import SavedRecord, load_calculated, load_landmarks, load_records, load_results
    from .session import OchySession
    from .webhooks.hooks import Webhooks
    from .webhooks.postgres_bus import PostgresBus
    from .webhooks.redis_bus import RedisBus

__all__ = [
    "AnalysisFailed",
    "AnalysisState",
    "Analyzed",
    "BackView",
    "BackViewCalculated",
    "BackViewResults",
    "Batch",
    "BatchItem",
    "BuyCredits",
    "Clip",
    "ClipRefused",
    "ClipUnusable",
    "Concurrency",
    "ConnectionFailed",
    "DeadlinePassed",
    "Delivery",
    "Event",
    "Failed",
    "FilmAgain",
    "FixRequest",
    "FootStrike",
    "InvalidDelivery",
    "InvalidRequest",
    "InvalidSettings",
    "JournalError",
    "KeyRefused",
    "Landmarks",
    "Limits",
    "NotFound",
    "NotReady",
    "OchyError",
    "OchySession",
    "OutputError",
    "Polling",
    "PostgresBus",
    "PostgresJournal",
    "Problem",
    "RateLimited",
    "Reconciliation",
    "RedisBus",
    "Refused",
    "RequestRefused",
    "Retry",
    "SavedRecord",
    "ServerError",
    "SideView",
    "SideViewCalculated",
    "SideViewResults",
    "Started",
    "Status",
    "TryLater",
    "Uncertain",
    "UncertainStart",
    "Unfinished",
    "UnreadableAnswer",
    "WaitLonger",
    "WaitTimeout",
    "Webhooks",
    "__version__",
    "load_calculated",
    "load_landmarks",
    "load_records",
    "load_results",
    "parse_delivery",
    "read_manifest",
]

_MODULES = {
    "batch.engine": "Batch",
    "batch.manifest": "read_manifest",
    "batch.outcomes": "Analyzed Failed Refused Uncertain Unfinished",
    "batch.sources": "BatchItem",
    "clips": "Clip",
    "events": "Event",
    "journal.postgres.journal": "PostgresJournal",
    "result_loaders": "SavedRecord load_calculated load_landmarks load_records load_results",
    "policy.concurrency": "Concurrency",
    "policy.limits": "Limits",
    "policy.polling": "Polling",
    "policy.reconciliation": "Reconciliation",
    "policy.retry": "Retry",
    "protocol.analysis": "AnalysisState Started Status",
    "protocol.back_view": "BackView BackViewCalculated BackViewResults",
    "protocol.deliveries": "Delivery parse_delivery",
    "protocol.landmarks": "Landmarks",
    "protocol.side_view": "FootStrike SideView SideViewCalculated SideViewResults",
    "session": "OchySession",
    "webhooks.hooks": "Webhooks",
    "webhooks.postgres_bus": "PostgresBus",
    "webhooks.redis_bus": "RedisBus",
}
"""The names that each module defines. The names that are missing here are errors."""
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULE_OF.get(name, 'errors')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
