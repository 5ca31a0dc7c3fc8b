"""The options that `analyze` and `wait` share.

Law of this room: the same word means the same thing in every command.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import click

from ..protocol.back_view import BackView
from ..protocol.side_view import SideView

__all__ = ["REQUESTS", "VIEWS", "output_options"]

REQUESTS: Final[Mapping[str, type[SideView | BackView]]] = {"side": SideView, "back": BackView}
"""What `--view` takes, and the request that it means."""
VIEWS: Final = tuple(REQUESTS)

_OPTIONS: Final = (
    click.option("--json", "as_json", is_flag=True, help="One JSON object a line on stdout, as the clips complete."),
    click.option("--calculated", is_flag=True, help="Fetch the calculated data too."),
    click.option(
        "--timeout",
        type=click.FloatRange(0.1, 86_400),
        metavar="SECONDS",
        help="How long each analysis is waited for. Default: 600.",
    ),
    click.option(
        "--interval",
        type=click.FloatRange(0.1, 300),
        default=3.0,
        show_default=True,
        metavar="SECONDS",
        help="Between looks at an analysis; the vendor advises 3 to 5.",
    ),
)


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--json`, `--calculated`, `--timeout` and `--interval`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
