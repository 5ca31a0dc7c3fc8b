"""The options that make a request, and the request that they make.

Invariant: every flag that is wrong is told at once, before a file is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import click
from attrs import frozen

from ..batch.quantities import READERS, with_accepted_forms
from ..errors import InvalidRequest, Problem
from ..protocol.request import LANGUAGES, AnalysisRequest
from ..protocol.views import BY_WORD, VIEW_WORDS, AnalysisView

__all__ = ["Asked", "Measure", "extra_column_option", "flagged", "refuse", "request_options"]


if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:  # older versions of click know no parameters of it
    _ParamType = click.ParamType


class Measure(_ParamType):
    """A measure as people write it; what cannot be read stays a text, which the request then refuses with all else."""

    def __init__(self, field: str) -> None:
        self.name = field

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ARG002
        """The value for a request."""
        try:
            return READERS[self.name](value)
        except (TypeError, ValueError):
            return value


_OPTIONS: Final = (
    click.option(
        "--view", type=click.Choice(VIEW_WORDS), help="From where the clips are filmed; a manifest may tell it."
    ),
    click.option("--height", type=Measure("height"), metavar="METERS", help="Such as 1.75 or '175 cm'. Default: 1.7."),
    click.option("--weight", type=Measure("weight"), metavar="KG", help="Such as 68.5 or '150 lb'. Default: 70."),
    click.option("--pace", type=Measure("pace"), metavar="MM:SS", help="Per kilometer; required with --treadmill."),
    click.option("--treadmill/--no-treadmill", default=None, help="Whether the runner is on a treadmill. Default: no."),
    click.option("--language", metavar="|".join(LANGUAGES), help="Of the texts in the results. Default: en."),
    click.option(
        "--full-body/--no-full-body", default=None, help="Back view only; without it pronation only. Default: yes."
    ),
    click.option("--subject", "--subject-id", "subject_id", metavar="ID", help="Link the analyses to this subject."),
    click.option(
        "--notify-via-webhook/--no-notify-via-webhook", default=None, help="Needs an enabled webhook. Default: no."
    ),
)
extra_column_option = click.option(
    "--extra-column",
    metavar="NAME",
    multiple=True,
    help="This column of a manifest is your own, though it looks like a misspelt one; may be given more than once.",
)
"""For every command that reads manifests."""


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
            problems.insert(0, Problem("view", f"is missing; give {' or '.join(VIEW_WORDS)}"))
        if problems:
            raise refuse(map(flagged, problems))

    def _problems(self) -> Iterator[Problem]:
        view = BY_WORD[self.view or VIEW_WORDS[0]]
        try:
            self._made(view)
        except InvalidRequest as wrong:
            yield from wrong.problems
        if self.view is not None:
            for name, views in view.foreign(self.given).items():
                yield Problem(name, f"is for --view {views} only")

    def request(self) -> AnalysisRequest[Any, Any]:
        """The request for a clip that comes without one of its own. Raises a usage error that tells all problems."""
        self.check(whole=True)
        return self._made(BY_WORD[self.view or ""])

    def _made(self, view: AnalysisView) -> AnalysisRequest[Any, Any]:
        foreign = view.foreign(self.given)
        return view.request(**{name: value for name, value in self.given.items() if name not in foreign})


def flagged(problem: Problem) -> str:
    """A problem, told by the flag that its field came from."""
    problem = with_accepted_forms(problem)
    return f"--{problem.field.replace('_', '-')}: {problem.message}"
