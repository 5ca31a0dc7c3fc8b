"""The options that describe a request, and the request that they make.

Invariant: all wrong options are reported together, before any file is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any, Final, TypeVar

import click
from attrs import frozen

from ..batch.unit_parsing import READERS, with_accepted_forms
from ..errors import InvalidRequest, Problem
from ..protocol.request import LANGUAGES, AnalysisRequest
from ..protocol.views import BY_WORD, VIEW_WORDS, AnalysisView
from .groups import CommandDecorator, option_group

__all__ = [
    "RequestFlags",
    "as_flag_problem",
    "extra_column_option",
    "measure_option",
    "request_options",
    "usage_error",
    "view_option",
]

T = TypeVar("T", bound=Callable[..., Any])


def _read_measure(_: click.Context, option: click.Parameter, given: str | None) -> Any:
    """A measure as people write it. An unreadable one stays text, which the request then reports with all problems."""
    try:
        return given if given is None else READERS[str(option.name)](given)
    except ValueError:
        return given


def measure_option(name: str, metavar: str, text: str) -> Callable[[T], T]:
    """An option for one of the measures that `batch.unit_parsing` reads."""
    return click.option(f"--{name}", callback=_read_measure, metavar=metavar, help=text)


view_option: CommandDecorator = click.option(
    "--view",
    type=click.Choice(VIEW_WORDS),
    help="Whether the camera films the runner from the side or from the back. A manifest may give it for each clip.",
)
_FIELDS: Final = ["height", "weight", "pace", "treadmill", "language", "full_body", "subject_id", "notify_via_webhook"]
_add_options = option_group(
    view_option,
    measure_option("height", "METERS", "Such as 1.75 or '175 cm'. Default: 1.7."),
    measure_option("weight", "KG", "Such as 68.5 or '150 lb'. Default: 70."),
    measure_option("pace", "MM:SS", "Pace per kilometer. Required with --treadmill."),
    click.option("--treadmill/--no-treadmill", default=None, help="Whether the runner is on a treadmill. Default: no."),
    click.option("--language", metavar="|".join(LANGUAGES), help="Language of the texts in the results. Default: en."),
    click.option(
        "--full-body/--no-full-body",
        default=None,
        help="Back view only: analyze the full body, or pronation alone. Default: full body.",
    ),
    click.option("--subject", "--subject-id", "subject_id", metavar="ID", help="Link the analyses to this subject."),
    click.option(
        "--notify-via-webhook/--no-notify-via-webhook",
        default=None,
        help="Notify the account's webhook, which must be enabled. Default: no.",
    ),
)
extra_column_option: CommandDecorator = click.option(
    "--extra-column",
    metavar="NAME",
    multiple=True,
    help="Accept this manifest column as your own although it resembles a known one. May be repeated.",
)
"""For every command that reads manifests."""


def request_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds an option for every field of a request, and passes them to the command as `flags`."""

    @wraps(command)
    def with_flags(*, view: str | None, **options: Any) -> Any:
        fields = {name: options.pop(name) for name in _FIELDS}
        return command(flags=RequestFlags(view, fields), **options)

    return _add_options(with_flags)


def usage_error(problems: Iterable[str], nothing: str = "Nothing was sent or charged.") -> click.UsageError:
    """An error that lists all problems, after the assurance that nothing has happened."""
    return click.UsageError(f"{nothing}\n" + "\n".join(f"  {each}" for each in problems))


@frozen
class RequestFlags:
    """The request fields that were given as options."""

    view: str | None
    fields: Mapping[str, Any]
    """By the names of a request's fields; None where the option was not given."""

    @property
    def given(self) -> dict[str, Any]:
        """The fields that were given."""
        return {name: value for name, value in self.fields.items() if value is not None}

    def check(self, *, complete: bool) -> None:
        """Raises a usage error that lists all problems; `complete` means that no manifest can add what is missing."""
        problems = list(self._problems())
        if not complete:
            problems = [each for each in problems if each.field != "pace" or self.fields.get("pace") is not None]
        elif self.view is None:
            problems.insert(0, Problem("view", f"is missing; give {' or '.join(VIEW_WORDS)}"))
        if problems:
            raise usage_error(map(as_flag_problem, problems))

    def _problems(self) -> Iterator[Problem]:
        view = BY_WORD[self.view or VIEW_WORDS[0]]
        try:
            self._build(view)
        except InvalidRequest as error:
            yield from error.problems
        if self.view is not None:
            for name, views in view.foreign(self.given).items():
                yield Problem(name, f"is for --view {views} only")

    def request(self) -> AnalysisRequest[Any, Any]:
        """The request for a clip that no manifest describes. Raises a usage error that lists all problems."""
        self.check(complete=True)
        return self._build(BY_WORD[self.view or ""])

    def _build(self, view: AnalysisView) -> AnalysisRequest[Any, Any]:
        foreign = view.foreign(self.given)
        return view.request(**{name: value for name, value in self.given.items() if name not in foreign})


def as_flag_problem(problem: Problem) -> str:
    """A problem with a request's field, as a problem with the option that the field comes from."""
    problem = with_accepted_forms(problem)
    return f"--{problem.field.replace('_', '-')}: {problem.message}"
