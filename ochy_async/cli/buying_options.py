"""The options about buying clips that `analyze` and `worker` share.

Invariant: an option means the same in both commands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import click

from ..policy.concurrency import Concurrency
from ..preflight.rules import PREFLIGHT_LEVELS
from .groups import CommandDecorator, option_group

__all__ = ["buying_options", "buying_settings"]

_SAME_NAME: Final = ("timeout", "tag_starts", "retry_refused", "same_origin", "preflight", "wait_for_credits")
"""Options that are passed to the batch under the same name."""
_LIMITS: Final = ("uploads", "in_flight")
"""Options of `Concurrency`, whose defaults are used without them."""

buying_options: CommandDecorator = option_group(
    click.option(
        "--preflight",
        type=click.Choice(PREFLIGHT_LEVELS),
        default="errors",
        show_default=True,
        envvar="OCHY_PREFLIGHT",
        show_envvar=True,
        help="Which findings of `ochy check` stop a clip before it is bought.",
    ),
    click.option(
        "--tag-starts",
        is_flag=True,
        help="Link each start to a subject made for this purpose, so that an uncertain start can be looked up exactly.",
    ),
    click.option(
        "--uploads",
        type=click.IntRange(1, 256),
        metavar="N",
        help="Concurrent uploads. Default: adapts to the network.",
    ),
    click.option(
        "--in-flight",
        type=click.IntRange(1, 2_000),
        metavar="N",
        help="Maximum number of clips being uploaded or analyzed. Default: 32, and up to 512 while server and network "
        "are idle.",
    ),
    click.option("--retry-refused", is_flag=True, help="Send clips again that the server refused in an earlier run."),
    click.option(
        "--same-account/--other-account",
        default=None,
        help="Say whether a new API key belongs to the account of the existing journal.",
    ),
    click.option(
        "--same-origin", is_flag=True, help="Say that a new base URL leads to the server of the existing journal."
    ),
    click.option(
        "--wait-for-credits",
        type=click.FloatRange(0, 604_800),
        default=0.0,
        metavar="SECONDS",
        help="When the account runs out of credits, wait this long for new ones. Default: stop at once.",
    ),
)


def buying_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the batch that the options, and `--timeout`, ask for."""
    return {
        "concurrency": Concurrency(**{name: options[name] for name in _LIMITS if options[name] is not None}),
        "same_account": options["same_account"] is True,
        **{name: options[name] for name in _SAME_NAME},
    }
