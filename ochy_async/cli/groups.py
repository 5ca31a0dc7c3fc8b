"""Groups of options, and groups of commands that suggest a command for a misspelled one.

Invariant: a misspelled command is reported, never run.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, Final, Protocol, TypeVar

import click

__all__ = ["CommandDecorator", "SuggestingGroup", "option_group"]

C = TypeVar("C", bound=Callable[..., Any])

MAX_SUMMARY: Final = 200
"""Characters of a command's first sentence in the help of its group."""


class CommandDecorator(Protocol):
    """A decorator that adds options to a command."""

    def __call__(self, command: C, /) -> C: ...


def option_group(*options: Callable[[Any], Any]) -> CommandDecorator:
    """A decorator that adds several options to a command, in this order."""

    def add(command: C) -> C:
        for option in reversed(options):
            command = option(command)
        return command

    return add


class SuggestingGroup(click.Group):
    """A group whose error for an unknown command names similar commands.

    Newer versions of click suggest commands too, but only those that are already loaded.
    """

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names. Raises `UsageError` if there is none."""
        name = str(args[0])
        if not (name.startswith("-") or ctx.resilient_parsing or self.get_command(ctx, name)):
            similar = " or ".join(map(repr, get_close_matches(name, self.list_commands(ctx))))
            ctx.fail(f"No such command {name!r}.{f' Did you mean {similar}?' if similar else ''}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the complete first sentence of each command's help; click would cut it after one line."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(MAX_SUMMARY)) for name, each in commands if each])
