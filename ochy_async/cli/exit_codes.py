"""The table of exit codes.

Invariant: a script can act on the exit code alone. Where several codes apply, the one that needs action first wins.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Final

from ..errors import BuyCredits, InvalidRequest, InvalidSettings, KeyRefused, OchyError, UncertainStart

__all__ = ["MEANINGS", "ExitCode", "exit_code_of", "most_severe"]


class ExitCode(enum.IntEnum):
    """An exit code."""

    OK = 0
    SOME_FAILED = 1
    USAGE = 2
    KEY = 3
    CREDITS = 4
    UNCERTAIN = 5
    INTERRUPTED = 130


MEANINGS: Final[Mapping[ExitCode, str]] = {
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.KEY: "the API key is missing or was refused",
    ExitCode.CREDITS: "the account has no credits left",
    ExitCode.UNCERTAIN: "a start may or may not have been charged",
    ExitCode.USAGE: "wrong usage; nothing was sent",
    ExitCode.SOME_FAILED: "something failed",
    ExitCode.OK: "success",
}
"""What each code means, most severe first."""

_CODES_BY_ERROR: Final[tuple[tuple[type[OchyError], ExitCode], ...]] = (
    (KeyRefused, ExitCode.KEY),
    (BuyCredits, ExitCode.CREDITS),
    (UncertainStart, ExitCode.UNCERTAIN),
    (InvalidRequest, ExitCode.USAGE),
    (InvalidSettings, ExitCode.USAGE),
    (OchyError, ExitCode.SOME_FAILED),
)


def exit_code_of(error: OchyError) -> ExitCode:
    """The exit code that an error leads to."""
    return next(code for kind, code in _CODES_BY_ERROR if isinstance(error, kind))


def most_severe(codes: Iterable[ExitCode]) -> ExitCode:
    """The most severe of the codes; `ExitCode.OK` if there are none."""
    return min(codes, key=list(MEANINGS).index, default=ExitCode.OK)
