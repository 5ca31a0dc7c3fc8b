"""`ochy wait`: collects analyses that are paid for already.

Law of this room: it looks and never starts, so it spends nothing and may be run as often as one likes.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import click

from ..protocol.analysis import Started
from .account import Account, account_options
from .output import REQUESTS, VIEWS, output_options
from .run import Errand, Job, carry_out, show

__all__ = ["command"]

LANES: Final = 20


@click.command("wait")
@click.argument("analysis_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--view", type=click.Choice(VIEWS), help="As it was asked for; without it the answer's keys tell.")
@output_options
@account_options
def command(
    analysis_ids: tuple[str, ...],
    view: str | None,
    as_json: bool,
    calculated: bool,
    timeout: float | None,
    interval: float,
    base_url: str | None,
    key_file: str | None,
) -> None:
    """Wait for analyses that were started before, and show their results. Spends nothing."""
    account = Account(base_url=base_url, key_file=key_file, interval=interval)
    errands = [Errand(started=_started(each, view)) for each in dict.fromkeys(analysis_ids)]
    job = Job(timeout=timeout, calculated=calculated, concurrency=LANES)
    click.get_current_context().exit(carry_out(errands, job, account, partial(show, as_json=as_json)))


def _started(analysis_id: str, view: str | None) -> Started[Any, Any] | str:
    return analysis_id if view is None else Started.of(analysis_id, REQUESTS[view])
