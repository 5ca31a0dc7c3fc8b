"""The journal that a command is given: the path of a file, or the address of a database.

Invariant: an address is a secret. It is in no repr, and its text is masked in whatever a command prints.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from attrs import evolve, field, frozen

from ..journal.contract import Ceilings, Journal
from ..journal.postgres.address import MASKED, address_problem, is_address, mask_addresses
from ..journal.postgres.journal import ENVIRONMENT, PostgresJournal
from ..journal.sqlite.journal import SqliteJournal

__all__ = [
    "ENVIRONMENT",
    "IdType",
    "JournalFile",
    "JournalPlace",
    "JournalType",
    "PostgresAddress",
    "WordType",
    "environment_journal",
    "open_journal",
]

T = TypeVar("T")


@frozen
class PostgresAddress:
    """The address of a journal in Postgres. As text it names host, port and database only."""

    _text: str = field(repr=False)
    _ceilings: Ceilings = field(factory=Ceilings, kw_only=True)

    def __str__(self) -> str:
        return mask_addresses(self._text)

    def journal(self) -> PostgresJournal:
        """The journal, not yet open."""
        ceilings = self._ceilings
        return PostgresJournal(self._text, polls_per_second=ceilings.polls_per_second, uploads=ceilings.uploads)

    def with_ceilings(self, ceilings: Ceilings) -> PostgresAddress:
        """The same address, whose journal has these ceilings."""
        return evolve(self, ceilings=ceilings)

    def given_to(self, make: Callable[[str], T]) -> T:
        """What `make` makes of the address itself."""
        return make(self._text)


JournalPlace = Path | PostgresAddress


def open_journal(place: JournalPlace) -> Journal:
    """The journal at a place, to be entered."""
    return SqliteJournal(place) if isinstance(place, Path) else place.journal()


def environment_journal() -> JournalPlace | None:
    """The journal that OCHY_JOURNAL names. Raises a usage error for an address that cannot be used."""
    text = os.environ.get(ENVIRONMENT)
    if not text:
        return None
    if not is_address(text):
        return Path(text)
    problem = _problem(text)
    del text  # a traceback shows the variables of this frame
    if problem is not None:
        raise click.UsageError(f"{ENVIRONMENT}: the address {problem}.")
    return PostgresAddress(os.environ[ENVIRONMENT])


class JournalType(click.Path):
    """A parameter that is the path of a journal's file, or the address of one in a database."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and is_address(value):
            return WordType().convert(value, param, ctx)
        return super().convert(value, param, ctx)


class JournalFile(click.Path):
    """A parameter that is the path of a journal's file."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and is_address(value):
            self.fail("it is not a file; only a journal in a file can be repaired.", param, ctx)
        return super().convert(value, param, ctx)


class WordType(click.types.StringParamType):
    """A parameter that is any word; an address becomes a `PostgresAddress`."""

    name = "word"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not is_address(str(value)):
            return value
        if mask_addresses(os.environ.get(ENVIRONMENT, "")) == value:
            return environment_journal()  # `process_title` has masked it
        if problem := _problem(value):
            self.fail(f"the address {problem}.", param, ctx)
        return PostgresAddress(value)


class IdType(click.types.StringParamType):
    """A parameter that is an id of the vendor's. An address is refused here: ids are sent, and it holds a password."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if is_address(str(value)):
            self.fail("an id is needed here, not the address of a database. Nothing was sent.", param, ctx)
        return value


def _problem(address: str) -> str | None:
    if address.startswith(MASKED):
        return f"is masked. Give it with its user and password, or set {ENVIRONMENT}"
    return address_problem(address)
