"""How it ended for one clip, as a value, and as a line of JSON.

Law of this room: every clip gets one outcome, whatever its end, and what is paid for always carries
its id. Signed URLs stay behind.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from typing import Any, Final

from attrs import field, frozen

from ..errors import (
    AnalysisFailed,
    BuyCredits,
    FilmAgain,
    FixRequest,
    NotFound,
    OchyError,
    UncertainStart,
)
from ..protocol.analysis import Calculated, Results
from .exits import Exit, exit_of

__all__ = ["Kind", "Outcome", "kind_of", "line_of"]


class Kind(enum.StrEnum):
    """How it ended."""

    ANALYSED = "analysed"
    """The results are there."""
    REFUSED = "refused"
    """By us or by the server: not started."""
    FAILED = "failed"
    """The analysis ended without results; the credit is gone."""
    UNCERTAIN = "uncertain"
    """It may or may not have been started and charged."""
    UNFINISHED = "unfinished"
    """Started and paid for; to be collected with its id."""
    NOT_STARTED = "not_started"
    """Surely not started: nothing is wrong with the clip and nothing was charged."""


@frozen(kw_only=True)
class Outcome:
    """One clip's end."""

    kind: Kind
    clip: str | None = None
    """The path as it was given; None where only the id of an analysis was."""
    view: str | None = None
    """`side_view` or `back_view`; None where that is not known."""
    analysis_id: str | None = None
    results: Results | None = field(default=None, repr=False)
    calculated: Calculated | None = field(default=None, repr=False)
    error: OchyError | None = None

    @property
    def exit(self) -> Exit:
        """The exit code that this outcome alone would lead to."""
        if self.error is not None:
            return exit_of(self.error)
        return _EXITS.get(self.kind, Exit.SOME_FAILED)


_EXITS: Final[Mapping[Kind, Exit]] = {Kind.ANALYSED: Exit.OK, Kind.UNCERTAIN: Exit.UNCERTAIN}

_UNPAID: Final[tuple[tuple[tuple[type[OchyError], ...], Kind], ...]] = (
    ((UncertainStart,), Kind.UNCERTAIN),
    ((FixRequest, FilmAgain, BuyCredits), Kind.REFUSED),
    ((OchyError,), Kind.NOT_STARTED),
)
_PAID: Final[tuple[tuple[tuple[type[OchyError], ...], Kind], ...]] = (
    ((AnalysisFailed,), Kind.FAILED),
    ((NotFound,), Kind.REFUSED),
    ((OchyError,), Kind.UNFINISHED),
)


def kind_of(error: OchyError, *, paid: bool) -> Kind:
    """What an error means for a clip; `paid` says whether the analysis had been started before it."""
    return next(kind for errors, kind in (_PAID if paid else _UNPAID) if isinstance(error, errors))


# --- JSON ---------------------------------------------------------------------------------------

_SIGNED: Final = frozenset({"thumbnail", "output_video"})
_MASK: Final = "[link]"


def line_of(outcome: Outcome) -> str:
    """The outcome as one line of JSON in plain ASCII."""
    error = outcome.error
    told = {
        "clip": outcome.clip,
        "outcome": outcome.kind.value,
        "analysis_id": outcome.analysis_id,
        "view": outcome.view,
        "results": None if outcome.results is None else _without_links(outcome.results.raw),
        "calculated": None if outcome.calculated is None else _without_links(outcome.calculated.raw),
        "error": error
        and {"class": type(error).__name__, "message": str(error), "status": error.status, "code": error.code},
    }
    return json.dumps(told)


def _without_links(value: Any) -> Any:
    """The JSON without signed URLs: those known by name are left out, any other link is masked."""
    if isinstance(value, dict):
        return {name: _without_links(each) for name, each in value.items() if name not in _SIGNED}
    if isinstance(value, list):
        return [_without_links(each) for each in value]
    return _MASK if isinstance(value, str) and "://" in value else value
