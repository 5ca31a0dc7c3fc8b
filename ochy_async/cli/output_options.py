"""The options about results that `analyze` and `wait` share.

Invariant: an option means the same in both commands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from .groups import option_group

__all__ = ["keep_problems", "kept_artifacts", "output_options"]

_ARTIFACTS: Final = {
    "calculated": "calculated",
    "raw-data": "raw_data",
    "thumbnail": "thumbnail",
    "video": "output_video",
}
"""The values of `--keep`, and their names in a batch."""

output_options = option_group(
    click.option(
        "--keep",
        type=click.Choice(tuple(_ARTIFACTS)),
        multiple=True,
        help="Also download this for each analysis. May be repeated. Files need --out.",
    ),
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
"""Adds `--keep`, `--json`, `--calculated`, `--timeout` and `--interval`."""


def keep_problems(options: Mapping[str, Any]) -> Iterator[str]:
    """The problem with files to keep without a folder, if there is one."""
    files = [each for each in options["keep"] if each != "calculated"]
    if files and options["out"] is None:
        yield f"--keep {files[0]}: needs a folder, given with --out"


def kept_artifacts(options: Mapping[str, Any]) -> tuple[str, ...]:
    """What is fetched besides the results, by its names in a batch. Tables always need the calculated data."""
    kept = [_ARTIFACTS[each] for each in options["keep"]]
    calculated = options["calculated"] or options["out"] is not None
    return tuple(dict.fromkeys([*kept, "calculated"] if calculated else kept))
