"""How a batch is carried out: what `OchySession.batch` takes, checked and turned into what the engine needs.

Invariant: nonsense is refused where it is written, with the bound, before anything is opened.
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

__all__ = ["BatchSettings", "Settings", "settings_of", "spelled_out"]

M = TypeVar("M", bound=Callable[..., Any])


PATIENCE: Final = 3600.0
"""Seconds. Many clips at once make a queue at the server, and whoever walked away is in no hurry."""


class BatchSettings(TypedDict, total=False):
    """The keyword arguments of `OchySession.batch`; each may be left out."""

    journal: str | os.PathLike[str] | Journal | None
    """A path (SQLite), or a journal. None, the default: remembered for as long as the process lives."""
    max_credits: int | None
    """What the journal may have cost in all, earlier runs included. Default: None, no limit."""
    max_credits_per_run: int | None
    """What this batch alone may spend, whatever earlier runs have. Default: None, no limit."""
    concurrency: Concurrency | None
    """How many clips may be at each stage together."""
    timeout: float | None
    """Seconds for which each analysis is watched. Default: an hour, or `Polling.timeout` if that is more."""
    tag_starts: bool
    """Gives each upload lane a subject of its own, so that a start in doubt can be looked up exactly."""
    retry_refused: bool
    """Sends again what the server refused in an earlier run."""
    wait_for_credits: float
    """Seconds for which starts are paused, and not given up, once the account is empty. Default: 0."""
    same_account: bool
    """Says that a new key belongs to the account that the journal was kept for."""
    same_origin: bool
    """Says that another base URL leads to the server that the journal was kept for."""
    out: str | os.PathLike[str] | None
    """A folder for what is kept of each clip, and for `results.jsonl` and `results.csv` over all."""
    keep: Collection[str] | None
    """What is fetched besides the results: `calculated` (also without a folder; the default with one),
    `raw_data`, `thumbnail`, `output_video`."""
    preflight: PreflightLevel | None
    """What stops a clip before it is bought: `errors`, `warnings` too, or `nothing`. Default: as the session says.
    What is paid for already is collected all the same."""


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
"""What counts where a setting is left out; None where that depends on others."""


def spelled_out(method: M) -> M:
    """Shows each setting with its type and default in the signature, where `**settings` would tell nothing."""
    shown = signature(method)
    plain = [each for each in shown.parameters.values() if each.kind is not Parameter.VAR_KEYWORD]
    settings = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=_spelt(BatchSettings.__annotations__[name]))
        for name, default in DEFAULTS.items()
    ]
    vars(method)["__signature__"] = shown.replace(parameters=[*plain, *settings])
    return method


def _spelt(annotation: Any) -> Any:
    return getattr(annotation, "__forward_arg__", annotation)


@frozen(kw_only=True)
class Settings:
    """How a batch is carried out, as the engine needs it."""

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
    """What the arguments mean; `timeout` is that of a single wait. Raises `InvalidSettings`."""
    unknown = given.keys() - BatchSettings.__annotations__.keys()
    if unknown:
        raise TypeError(f"batch() got unexpected keyword arguments: {', '.join(sorted(unknown))}")
    given = {**DEFAULTS, **given}
    wanted = given.get("timeout")
    return Settings(
        journal=_journal(given.get("journal")),
        concurrency=given.get("concurrency") or Concurrency(),
        timeout=_seconds("timeout", max(timeout, PATIENCE) if wanted is None else wanted),
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


def _credits(name: str, most: int | None) -> int | None:
    if most is None or (isinstance(most, int) and not isinstance(most, bool) and most >= 0):
        return most
    raise InvalidSettings(f"{name} must be a whole number from 0, or None, not {most!r}")


def _seconds(name: str, value: float) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return value
    raise InvalidSettings(f"{name} must be a number of seconds from 0, not {value!r}")
