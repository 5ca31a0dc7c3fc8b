"""The settings of a batch: the arguments of `OchySession.batch`, checked and turned into what the engine needs.

Invariant: an invalid value is refused, with its bound, before anything is opened.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from inspect import Parameter, signature
from typing import Any, Final, TypedDict, TypeVar

from attrs import field, frozen

from ..errors import InvalidSettings
from ..journal.contract import Journal
from ..journal.memory import MemoryJournal
from ..journal.sqlite.journal import SqliteJournal
from ..policy.concurrency import Concurrency
from ..policy.credit_guard import CreditGuard
from ..preflight.checker import Checker
from ..preflight.rules import PreflightLevel
from ..storage import Storage
from .output.plan import OutputPlan

__all__ = ["BatchSettings", "Settings", "settings_of", "with_settings_in_signature"]

M = TypeVar("M", bound=Callable[..., Any])


DEFAULT_TIMEOUT: Final = 3600.0
"""Seconds. Many clips at once form a queue at the server, and a batch runs unattended."""


class BatchSettings(TypedDict, total=False):
    """The keyword arguments of `OchySession.batch`; all are optional."""

    journal: str | os.PathLike[str] | Journal | None
    """A path (SQLite), or a journal. Default: None, a journal in memory that ends with the process."""
    max_credits: int | None
    """Credits that all runs of the journal together may spend. Default: None, no limit."""
    max_credits_per_run: int | None
    """Credits that this batch may spend. Default: None, no limit."""
    concurrency: Concurrency | None
    """How many clips may be at each stage at the same time."""
    timeout: float | None
    """Seconds to wait for each analysis. Default: an hour, or `Polling.timeout` if that is longer."""
    tag_starts: bool
    """Gives each parallel start a subject of its own, so that an uncertain start can be looked up exactly."""
    retry_refused: bool
    """Sends clips again that the server refused in an earlier run."""
    wait_for_credits: float
    """Seconds to pause starts after the account ran out of credits, before they are stopped. Default: 0."""
    same_account: bool
    """Says that a new API key belongs to the account of the journal."""
    same_origin: bool
    """Says that another base URL leads to the server of the journal."""
    out: str | os.PathLike[str] | None
    """A folder for the files of each clip, and for `results.jsonl` and `results.csv` over all clips."""
    keep: Collection[str] | None
    """What to fetch in addition to the results: `calculated` (also possible without a folder; the default with one),
    `raw_data`, `thumbnail`, `output_video`."""
    preflight: PreflightLevel | None
    """Which findings stop a clip before it is bought: `errors`, `warnings` (and errors), or `off`. Default: the
    session's. Clips that are paid for already are collected in any case."""


DEFAULTS: Final[BatchSettings] = {
    "journal": None,
    "max_credits": None,
    "max_credits_per_run": None,
    "concurrency": None,
    "timeout": None,
    "tag_starts": False,
    "retry_refused": False,
    "wait_for_credits": 0.0,
    "same_account": False,
    "same_origin": False,
    "out": None,
    "keep": None,
    "preflight": None,
}
"""The defaults; None may mean that the default depends on other settings."""


def with_settings_in_signature(method: M) -> M:
    """Lists each setting with its type and default in the method's signature, instead of `**settings`."""
    shown = signature(method)
    plain = [each for each in shown.parameters.values() if each.kind is not Parameter.VAR_KEYWORD]
    settings = [
        Parameter(
            name, Parameter.KEYWORD_ONLY, default=default, annotation=_annotation(BatchSettings.__annotations__[name])
        )
        for name, default in DEFAULTS.items()
    ]
    vars(method)["__signature__"] = shown.replace(parameters=[*plain, *settings])
    return method


def _annotation(annotation: Any) -> Any:
    return getattr(annotation, "__forward_arg__", annotation)


@frozen(kw_only=True)
class Settings:
    """The checked settings of a batch."""

    journal: Journal
    concurrency: Concurrency
    timeout: float
    guard: CreditGuard
    checker: Checker
    output: OutputPlan = field(factory=OutputPlan)
    tag_starts: bool = False
    retry_refused: bool = False
    same_account: bool = False
    same_origin: bool = False


def settings_of(given: BatchSettings, *, timeout: float, storage: Storage | None, checker: Checker) -> Settings:
    """Checks the arguments. `timeout` is `Polling.timeout` of the session. Raises `InvalidSettings`."""
    unknown = given.keys() - BatchSettings.__annotations__.keys()
    if unknown:
        raise TypeError(f"batch() got unexpected keyword arguments: {', '.join(sorted(unknown))}")
    given = {**DEFAULTS, **given}
    wanted = given.get("timeout")
    return Settings(
        journal=_journal(given.get("journal")),
        concurrency=given.get("concurrency") or Concurrency(),
        timeout=_seconds("timeout", max(timeout, DEFAULT_TIMEOUT) if wanted is None else wanted),
        guard=CreditGuard(
            limit=_credits("max_credits", given.get("max_credits")),
            limit_per_run=_credits("max_credits_per_run", given.get("max_credits_per_run")),
            patience=_seconds("wait_for_credits", given.get("wait_for_credits", 0.0)),
        ),
        checker=checker,
        output=OutputPlan.of(given.get("out"), given.get("keep"), storage),
        tag_starts=given.get("tag_starts", False),
        retry_refused=given.get("retry_refused", False),
        same_account=given.get("same_account", False),
        same_origin=given.get("same_origin", False),
    )


def _journal(journal: str | os.PathLike[str] | Journal | None) -> Journal:
    if journal is None:
        return MemoryJournal()
    return SqliteJournal(journal) if isinstance(journal, str | os.PathLike) else journal


def _credits(name: str, limit: int | None) -> int | None:
    if limit is None or (isinstance(limit, int) and not isinstance(limit, bool) and limit >= 0):
        return limit
    raise InvalidSettings(f"{name} must be a whole number of at least 0, or None, not {limit!r}")


def _seconds(name: str, value: float) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return value
    raise InvalidSettings(f"{name} must be a number of seconds of at least 0, not {value!r}")
