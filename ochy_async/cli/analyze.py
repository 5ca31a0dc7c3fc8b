"""`ochy analyze`: clips in, results out, one credit for each.

Law of this room: everything that can be refused is refused before the first byte is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from ..errors import InvalidRequest, Problem
from ..protocol.request import LANGUAGES, AnalysisRequest
from .account import Account, account_options
from .output import REQUESTS, VIEWS, output_options
from .paper import tell
from .run import Errand, Job, carry_out, show

__all__ = ["command"]

NOT_REAL: Final = "The numbers come from an emulator: they are made up and fit for nobody's body. No credit is spent."

_ONLY_BACK: Final = ("full_body",)

_REQUEST_OPTIONS: Final = (
    click.option("--view", type=click.Choice(VIEWS), required=True, help="From where the clips are filmed."),
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


def request_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds an option for every field of a request."""
    for option in reversed(_REQUEST_OPTIONS):
        command = option(command)
    return command


@click.command("analyze")
@click.argument("clips", metavar="CLIP...", nargs=-1, required=True)
@request_options
@output_options
@click.option("--concurrency", type=click.IntRange(1, 100), default=3, show_default=True, help="Clips at once.")
@account_options
@click.option(
    "--emulator", "made_up", is_flag=True, help="Use a built-in emulator: no key, no credit, made-up numbers."
)
def command(
    clips: tuple[str, ...],
    view: str,
    as_json: bool,
    calculated: bool,
    timeout: float | None,
    interval: float,
    concurrency: int,
    base_url: str | None,
    key_file: str | None,
    made_up: bool,
    **asked: Any,
) -> None:
    """Analyse each CLIP (MP4, MOV, AVI or WEBM, at most 30 MB and 10 s). Costs one credit for each.

    Every clip is tried, whatever becomes of the others; only a refused key and missing credits stop new starts.
    """
    request = request_of(view, asked, clips)
    account = Account(base_url=base_url, key_file=key_file, made_up=made_up, interval=interval)
    if made_up:
        tell(NOT_REAL)
    errands = [Errand(clip, request) for clip in clips]
    job = Job(timeout=timeout, calculated=calculated, concurrency=concurrency)
    click.get_current_context().exit(carry_out(errands, job, account, partial(show, as_json=as_json)))


def request_of(view: str, asked: Mapping[str, Any], clips: Sequence[str]) -> AnalysisRequest[Any, Any]:
    """The request that the flags make. Raises a usage error that tells every problem at once."""
    given = {name: value for name, value in asked.items() if value is not None}
    fitting = {name: value for name, value in given.items() if view == "back" or name not in _ONLY_BACK}
    problems = [*_doubled(clips), *(Problem(name, "is for --view back only") for name in given.keys() - fitting.keys())]
    try:
        request = REQUESTS[view](**fitting)
    except InvalidRequest as refused:
        problems += refused.problems
    else:
        if not problems:
            return request
    raise click.UsageError("Nothing was sent or charged.\n" + "\n".join(map(_flagged, problems)))


def _doubled(clips: Sequence[str]) -> Iterator[Problem]:
    seen: dict[Path, str] = {}
    for clip in clips:
        path = Path(clip).absolute()
        if path in seen:
            yield Problem("CLIP", f"{clip!r} is named twice, and would cost two credits")
        seen[path] = clip


def _flagged(problem: Problem) -> str:
    name = problem.field if problem.field.isupper() else f"--{problem.field.replace('_', '-')}"
    return f"  {name}: {problem.message}"
