"""The options about what all workers of a journal may do together.

Invariant: a ceiling that nothing would keep is refused: a journal in a file has one worker, and shares nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from ..journal.contract import Ceilings
from .groups import CommandDecorator, option_group
from .journal_place import ENVIRONMENT, JournalPlace, PostgresAddress
from .request_options import usage_error

__all__ = ["ceiling_options", "polls_option", "with_ceilings"]

P = TypeVar("P", bound=JournalPlace | None)

_OPTIONS: Final = {"polls_per_second": "--polls-per-second", "shared_uploads": "--shared-uploads"}

polls_option: CommandDecorator = click.option(
    "--polls-per-second",
    type=click.FloatRange(0.01, 10_000),
    metavar="N",
    help="Polls a second of all workers of the journal together, which must be in Postgres. Give all workers the same "
    "number. Default: each worker adapts to the server, and knows nothing of the others.",
)
ceiling_options: CommandDecorator = option_group(
    polls_option,
    click.option(
        "--shared-uploads",
        type=click.IntRange(1, 1_000),
        metavar="N",
        help="Concurrent uploads of all workers of the journal together, which must be in Postgres. Give all workers "
        "the same number. Default: no limit but that of each worker.",
    ),
)


def with_ceilings(place: P, options: Mapping[str, Any]) -> P | PostgresAddress:
    """The journal with the ceilings that the options ask for. Raises a usage error if it has only one worker."""
    given = {name: options[name] for name in _OPTIONS if options.get(name) is not None}
    if not given:
        return place
    if isinstance(place, PostgresAddress):
        return place.with_ceilings(
            Ceilings(polls_per_second=given.get("polls_per_second"), uploads=given.get("shared_uploads"))
        )
    found = f", not the file {str(place)!r}, which only one process has open" if isinstance(place, Path) else ""
    need = f"needs a journal that workers share: the address of a database in Postgres as --journal or {ENVIRONMENT}"
    raise usage_error(f"{_OPTIONS[name]}: {need}{found}" for name in given)
