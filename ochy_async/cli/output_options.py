"""The options about results that `analyze`, `wait` and `worker` share.

Invariant: an option means the same in each command.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

import click

from ..report import missing_extra
from .groups import CommandDecorator, option_group

__all__ = ["kept_artifacts", "output_options", "output_problems", "waiting_options"]

C = TypeVar("C", bound=Callable[..., Any])

_ARTIFACTS: Final = {
    "calculated": "calculated",
    "raw-data": "raw_data",
    "thumbnail": "thumbnail",
    "video": "output_video",
}
"""The values of `--keep`, and their names in a batch."""

waiting_options: CommandDecorator = option_group(
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line, as the clips complete."),
    click.option("--calculated", is_flag=True, help="Also fetch and print the calculated data."),
    click.option(
        "--timeout",
        type=click.FloatRange(0.1, 86_400),
        metavar="SECONDS",
        help="How long to wait for each analysis. Default: 600; for many at once, 3600.",
    ),
    click.option(
        "--interval",
        type=click.FloatRange(0.1, 300),
        default=3.0,
        show_default=True,
        metavar="SECONDS",
        help="Time between polls of an analysis. The vendor advises 3 to 5.",
    ),
)
"""Adds `--json`, `--calculated`, `--timeout` and `--interval`."""

_file_options = option_group(
    click.option(
        "--keep",
        type=click.Choice(tuple(_ARTIFACTS)),
        multiple=True,
        help="Also download this for each analysis. May be repeated. Files need --out.",
    ),
    click.option(
        "--report",
        is_flag=True,
        help="At the end, write a report of the --out folder as pages for the browser, and print where it is. Also "
        "keeps the raw data, for its curves. Needs the extra report.",
    ),
)


def output_options(command: C) -> C:
    """Adds `--keep` and `--report`, and the `waiting_options`."""
    return _file_options(waiting_options(command))


def output_problems(options: Mapping[str, Any]) -> Iterator[str]:
    """What keeps files or a report from being written: there is no folder, or an extra is missing."""
    files = [each for each in options["keep"] if each != "calculated"]
    if files and options["out"] is None:
        yield f"--keep {files[0]}: needs a folder, given with --out"
    if options["report"] and options["out"] is None:
        yield "--report: needs a folder, given with --out"
    if options["report"] and (missing := missing_extra()):
        yield f"--report: {missing}"


def kept_artifacts(options: Mapping[str, Any]) -> tuple[str, ...]:
    """What is fetched besides the results, by its names in a batch.

    Tables always need the calculated data, and a report needs the raw data.
    """
    kept = [_ARTIFACTS[each] for each in options["keep"]]
    kept += ["raw_data"] if options["report"] else []
    calculated = options["calculated"] or options["out"] is not None
    return tuple(dict.fromkeys([*kept, "calculated"] if calculated else kept))
