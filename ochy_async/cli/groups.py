"""Groups of commands that say which command was probably meant.

Invariant: a word is never taken for a command that it only resembles.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

import click

__all__ = ["Group"]

LONGEST: Final = 200
"""Characters of a sentence about a command."""


class Group(click.Group):
    """A group whose error for an unknown command names those that are spelled alike.

    Newer versions of click suggest too, but know only commands that are loaded already.
    """

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names. Raises `UsageError` if there is none."""
        name = str(args[0])
        if not (name.startswith("-") or ctx.resilient_parsing or self.get_command(ctx, name)):
            alike = " or ".join(map(repr, get_close_matches(name, self.list_commands(ctx))))
            ctx.fail(f"No such command {name!r}.{f' Did you mean {alike}?' if alike else ''}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Tells the first sentence of each command's help whole; click would cut it at the first line."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(LONGEST)) for name, each in commands if each])
