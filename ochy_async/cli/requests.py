"""The options that make a request, and the request that they make.

Law of this room: every flag that is wrong is told at once, before a file is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import click
from attrs import frozen

from ..errors import InvalidRequest, Problem
from ..protocol.request import LANGUAGES, AnalysisRequest
from .output import REQUESTS, VIEWS

__all__ = ["Asked", "flagged", "refuse", "request_options"]

_OPTIONS: Final = (
    click.option("--view", type=click.Choice(VIEWS), help="From where the clips are filmed; a manifest may tell it."),
    click.option("--height", type=float, metavar="METRES", help="The runner's height. Default: 1.7."),
    click.option("--weight", type=float, metavar="KG", help="The runner's weight. Default: 70."),
    click.option("--pace", metavar="MM:SS", help="Time per kilometre; required with --treadmill."),
    click.option("--treadmill/--no-treadmill", default=None, help="Whether the runner is on a treadmill. Default: no."),
    click.option("--language", metavar="|".join(LANGUAGES), help="Of the texts in the results. Default: en."),
    click.option(
        "--full-body/--no-full-body", default=None, help="Back view only; without it pronation only. Default: yes."
    ),
    click.option("--subject-id", metavar="ID", help="Link the analyses to this subject."),
    click.option(
        "--notify-via-webhook/--no-notify-via-webhook", default=None, help="Needs an enabled webhook. Default: no."
    ),
)
_ONLY_BACK: Final = "full_body"


def request_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds an option for every field of a request."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def refuse(problems: Iterable[str]) -> click.UsageError:
    """The error that tells all problems at once."""
    return click.UsageError("Nothing was sent or charged.\n" + "\n".join(f"  {each}" for each in problems))


@frozen
class Asked:
    """What the flags say of the requests."""

    view: str | None
    fields: Mapping[str, Any]
    """By the names of a request's fields; None where the flag was not given."""

    @property
    def given(self) -> dict[str, Any]:
        """The fields that were given."""
        return {name: value for name, value in self.fields.items() if value is not None}

    def check(self, *, whole: bool) -> None:
        """Raises a usage error that tells all that is wrong; `whole` where no manifest can add what is missing."""
        problems = list(self._problems())
        if not whole:
            problems = [each for each in problems if each.field != "pace" or self.fields.get("pace") is not None]
        elif self.view is None:
            problems.insert(0, Problem("view", f"is missing; give {' or '.join(VIEWS)}"))
        if problems:
            raise refuse(map(flagged, problems))

    def _problems(self) -> Iterator[Problem]:
        try:
            self._made(self.view or "back")
        except InvalidRequest as wrong:
            yield from wrong.problems
        if self.view == "side" and self.fields.get(_ONLY_BACK) is not None:
            yield Problem(_ONLY_BACK, "is for --view back only")

    def request(self) -> AnalysisRequest[Any, Any]:
        """The request for a clip that comes without one of its own. Raises a usage error that tells all problems."""
        self.check(whole=True)
        return self._made(self.view or "")

    def _made(self, view: str) -> AnalysisRequest[Any, Any]:
        return REQUESTS[view](**dict(self._fitting(view)))

    def _fitting(self, view: str) -> Iterator[tuple[str, Any]]:
        return ((name, value) for name, value in self.given.items() if view == "back" or name != _ONLY_BACK)


def flagged(problem: Problem) -> str:
    """A problem, told by the flag that its field came from."""
    return f"--{problem.field.replace('_', '-')}: {problem.message}"
