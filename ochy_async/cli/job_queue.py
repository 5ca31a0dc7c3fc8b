"""The queue that a command is given, by the address of its journal.

Invariant: a journal in a file has no queue, and no message holds the address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .journal_place import ENVIRONMENT, JournalPlace, PostgresAddress, environment_journal
from .request_options import usage_error

if TYPE_CHECKING:
    from ..engines.pgqueuer import JobQueue

__all__ = ["journal_of_queue", "queue_at"]


def journal_of_queue(given: JournalPlace | None) -> PostgresAddress:
    """The journal that was given, or that the environment names. Raises a usage error unless it is a database."""
    place = given or environment_journal()
    if isinstance(place, PostgresAddress):
        return place
    found = "" if place is None else f", not the file {str(place)!r}"
    raise usage_error([f"--journal: must be the address of a database in Postgres{found}; {ENVIRONMENT} can hold it"])


def queue_at(given: JournalPlace | None) -> JobQueue:
    """The queue in the database of the journal. Raises a usage error without one, and if the extra is missing."""
    address = journal_of_queue(given)
    try:
        from ..engines.pgqueuer import JobQueue
    except ModuleNotFoundError as error:
        raise click.UsageError(str(error)) from None
    return address.given_to(JobQueue)
