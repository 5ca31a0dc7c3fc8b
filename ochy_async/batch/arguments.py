"""The keyword arguments of `OchySession.batch`, with their types and defaults.

Invariant: the session imports this module and nothing else of batches until it makes one, so it stays small.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, Final, TypedDict, TypeVar

if TYPE_CHECKING:
    from ..journal.contract import Journal
    from ..policy.concurrency import Concurrency
    from ..preflight.rules import PreflightLevel

__all__ = ["DEFAULTS", "BatchSettings", "with_settings_in_signature"]

M = TypeVar("M", bound=Callable[..., Any])


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
    rehash: bool
    """Reads the files of all clips. By default, a file whose clip is analyzed is not read again while its size, times
    and inode stay the same; a journal that workers share remembers no files."""
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
    "rehash": False,
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
