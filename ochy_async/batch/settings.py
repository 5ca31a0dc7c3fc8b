"""The settings of a batch: the arguments of `OchySession.batch`, checked and turned into what the engine needs.

Invariant: an invalid value is refused, with its bound, before anything is opened.
"""

from __future__ import annotations

import os
from typing import Final

from attrs import field, frozen

from ..errors import InvalidSettings
from ..journal.contract import Journal
from ..journal.memory import MemoryJournal
from ..journal.sqlite.journal import SqliteJournal
from ..policy.concurrency import Concurrency
from ..policy.credit_guard import CreditGuard
from ..preflight.checker import Checker
from ..storage import Storage
from .arguments import DEFAULTS, BatchSettings
from .output.plan import OutputPlan

__all__ = ["Settings", "settings_of"]

DEFAULT_TIMEOUT: Final = 3600.0
"""Seconds. Many clips at once form a queue at the server, and a batch runs unattended."""


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
    rehash: bool = False
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
        rehash=given.get("rehash", False),
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
