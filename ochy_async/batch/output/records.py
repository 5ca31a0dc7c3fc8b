"""An outcome as a record: the one JSON form of `ochy --json`, of `results.jsonl`, and of what the tables are made of.

Invariant: pure, one form with a version. What paid for results carries its id; links and keys stay behind. The form is
described in docs/results-schema.md and, for programs, in results.schema.json beside this module.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ...errors import OchyError
from ...protocol.redaction import redact_links
from ...protocol.request import AnalysisRequest
from ..outcomes import Analyzed, Outcome, Uncertain
from .measures import measures_of

__all__ = ["SCHEMA", "json_line", "record", "record_of"]

SCHEMA: Final = 1
"""Counts up when a field changes its meaning or goes. New fields may come without."""


def record_of(outcome: Outcome[Any, Any]) -> dict[str, Any]:
    """The record of an outcome of a batch."""
    analyzed = outcome if isinstance(outcome, Analyzed) else None
    return record(
        outcome=outcome.word,
        index=outcome.index,
        clip=outcome.label,
        view=outcome.request.view,
        analysis_id=outcome.analysis_id,
        key=outcome.key,
        bought=outcome.bought,
        request=outcome.request,
        subject=outcome.subject,
        extra=outcome.extra,
        results=analyzed.results if analyzed is not None else None,
        calculated=analyzed.calculated if analyzed is not None else None,
        files=map(str, analyzed.files) if analyzed is not None else (),
        missing=analyzed.missing if analyzed is not None else (),
        reason=outcome.reason,
        doubt=outcome if isinstance(outcome, Uncertain) else None,
        error=None if isinstance(outcome, Analyzed) else outcome.error,
    )


def record(
    *,
    outcome: str,
    index: int | None = None,
    clip: str | None = None,
    view: str | None = None,
    analysis_id: str | None = None,
    key: str | None = None,
    bought: bool = False,
    request: AnalysisRequest[Any, Any] | None = None,
    subject: str | None = None,
    extra: Mapping[str, str] | None = None,
    results: Any = None,
    calculated: Any = None,
    files: Iterable[str] = (),
    missing: Iterable[str] = (),
    reason: str = "",
    doubt: Uncertain | None = None,
    commands: Iterable[str] = (),
    error: OchyError | None = None,
) -> dict[str, Any]:
    """A record of these facts; every field is there, null or empty where nothing is known."""
    return {
        "schema": SCHEMA,
        "index": index,
        "clip": clip,
        "view": view,
        "outcome": outcome,
        "analysis_id": analysis_id,
        "key": key,
        "bought": bought,
        **_asked(request, subject),
        "extra": dict(extra or {}),
        "measures": measures_of(results, calculated),
        "results": None if results is None else redact_links(results.raw),
        "calculated": None if calculated is None else redact_links(calculated.raw),
        "files": list(files),
        "missing": list(missing),
        "reason": redact_links(reason),
        "doubt": None if doubt is None else _doubt(doubt, commands),
        "error": _error(error),
    }


def json_line(told: Mapping[str, Any]) -> str:
    """A record as one line of JSON in plain ASCII, without its line break."""
    return json.dumps(told)


def _asked(request: AnalysisRequest[Any, Any] | None, subject: str | None) -> dict[str, Any]:
    """What was asked for; null where only the id of an analysis was given."""
    if request is None:
        return dict.fromkeys(ASKED)
    given = (
        subject if subject is not None else request.subject_id,
        request.subject_id,
        request.height,
        request.weight,
        request.pace,
        request.treadmill,
    )
    return dict(zip(ASKED, given, strict=True))


ASKED: Final = ("subject", "subject_id", "height_m", "weight_kg", "requested_pace_per_km", "treadmill")


def _doubt(doubt: Uncertain, commands: Iterable[str]) -> dict[str, Any]:
    """What is known of a start whose fate is not; `commands` are the ways out."""
    return {
        "cause": redact_links(doubt.cause),
        "name": doubt.start.clip,
        "size": doubt.size,
        "earliest": doubt.start.earliest.isoformat(),
        "latest": doubt.start.latest.isoformat(),
        "reached": doubt.reached,
        "candidates": [
            {
                "analysis_id": each.analysis_id,
                "created_at": each.created_at and each.created_at.isoformat(),
                "subject_id": each.subject_id,
            }
            for each in doubt.candidates
        ],
        "commands": list(commands),
    }


def _error(error: OchyError | None) -> dict[str, Any] | None:
    if error is None:
        return None
    message = redact_links(str(error))
    return {"class": type(error).__name__, "message": message, "status": error.status, "code": error.code}
