"""The tree of errors: grouped by what the caller can do, made of plain values, picklable."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from ochy_async import errors
from ochy_async.errors import (
    AnalysisFailed,
    BuyCredits,
    ClipRefused,
    ClipUnusable,
    ConnectionFailed,
    DeadlinePassed,
    FilmAgain,
    FixRequest,
    InvalidRequest,
    InvalidSettings,
    KeyRefused,
    NotFound,
    NotReady,
    OchyError,
    Phase,
    Problem,
    RateLimited,
    RequestRefused,
    ServerError,
    StartAttempt,
    TryLater,
    UncertainStart,
    UnreadableAnswer,
    WaitLonger,
    WaitTimeout,
)

CLASSES = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, OchyError)]
EVERY_CLASS = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
START = StartAttempt("a.mp4", "back_view", datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 1, 2, tzinfo=UTC), "s1")
FACTS: dict[str, Any] = {
    "status": 418,
    "code": "teapot",
    "detail": "short and stout",
    "route": "GET /analysis",
    "attempt": 3,
    "analysis_id": "a1",
    "phase": Phase.COMPLETE,
    "problems": (Problem("height", "too high"),),
    "retry_after": 2.5,
    "start": START,
    "excerpt": "{status: text}",
}


def drawn_tree() -> dict[str, str]:
    """The tree that the module's docstring draws: each class and its parent."""
    parents: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    ([│├└─ ]*)(\w+)", line)
        if found and (line.startswith("    OchyError") or "─" in found[1]):
            depth = len(found[1]) // 4
            above[depth:] = [found[2]]
            parents[found[2]] = above[depth - 1] if depth else "Exception"
    return parents


def test_the_drawing_is_the_tree() -> None:
    """The drawing at the top of the module names every class, each under its parent."""
    real = {cls.__name__: next(base for base in cls.__bases__ if issubclass(base, Exception)) for cls in CLASSES}
    assert drawn_tree() == {name: parent.__name__ for name, parent in real.items()}


def test_every_class_is_exported_and_documented() -> None:
    """Each error is in `__all__` and has a docstring."""
    assert {cls.__name__ for cls in CLASSES} <= set(errors.__all__)
    assert errors.__all__ == sorted(errors.__all__)
    assert not [cls for cls in CLASSES if not cls.__dict__.get("__doc__")]


@EVERY_CLASS
def test_an_error_needs_no_facts(cls: type[OchyError]) -> None:
    """A class and a text are enough to make an error; facts that are not known are None."""
    error = cls("what happened")
    assert str(error) == "what happened"
    assert (error.status, error.code, error.route, error.analysis_id) == (None, None, None, None)


@EVERY_CLASS
def test_an_error_survives_pickling(cls: type[OchyError]) -> None:
    """Every error reaches another process with its text and all its facts."""
    error = cls("what happened")
    for name, value in FACTS.items():
        setattr(error, name, value)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(error, protocol))
        assert type(again) is cls
        assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))
    assert vars(copy.copy(error)) == vars(error)


@pytest.mark.parametrize(
    ("group", "members"),
    [
        (FixRequest, {InvalidRequest, InvalidSettings, KeyRefused, NotFound, RequestRefused}),
        (BuyCredits, set[type[OchyError]]()),
        (FilmAgain, {ClipUnusable, ClipRefused, AnalysisFailed}),
        (WaitLonger, {NotReady, WaitTimeout}),
        (TryLater, {ConnectionFailed, DeadlinePassed, RateLimited, ServerError}),
        (UncertainStart, set[type[OchyError]]()),
        (UnreadableAnswer, set[type[OchyError]]()),
    ],
)
def test_errors_are_grouped_by_what_the_caller_can_do(group: type[OchyError], members: set[type[OchyError]]) -> None:
    """Each class belongs to one group, and is caught with it and with no other."""
    groups = (FixRequest, BuyCredits, FilmAgain, WaitLonger, TryLater, UncertainStart, UnreadableAnswer)
    for cls in {group, *members}:
        assert [each for each in groups if issubclass(cls, each)] == [group]
    assert {cls for cls in CLASSES if issubclass(cls, group)} == {group, *members}


@pytest.mark.parametrize(
    ("cls", "builtin"),
    [
        (InvalidRequest, ValueError),
        (InvalidSettings, ValueError),
        (ClipUnusable, ValueError),
        (WaitTimeout, TimeoutError),
        (DeadlinePassed, TimeoutError),
    ],
)
def test_some_errors_are_also_builtin_errors(cls: type[OchyError], builtin: type[Exception]) -> None:
    """Code that catches the builtin error catches these too."""
    assert issubclass(cls, builtin)


def test_the_text_lists_all_problems() -> None:
    """The text of a refused request lists every problem, and says that nothing was charged."""
    problems = (Problem("height", "must be in meters"), Problem("pace", "must be MM:SS"))
    error = InvalidRequest.of("SideView", problems)
    assert error.problems == problems
    assert str(error) == (
        "SideView cannot be sent as it is; nothing was sent or charged.\n"
        "  - height: must be in meters\n"
        "  - pace: must be MM:SS"
    )


def test_a_failed_connection_says_how_far_it_got() -> None:
    """The phase is a fact beside the others; the default is that nothing was sent."""
    error = ConnectionFailed("cut", phase=Phase.INCOMPLETE, route="POST /analysis/start", attempt=2, analysis_id="a1")
    assert (error.phase, error.route, error.attempt) == (Phase.INCOMPLETE, "POST /analysis/start", 2)
    assert error.analysis_id == "a1"
    assert ConnectionFailed("x").phase is Phase.NOT_SENT
