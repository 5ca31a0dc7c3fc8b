"""Commands whose typed words are stored, so that they can be printed for repetition.

Invariant: an address among the words is masked.
"""

from __future__ import annotations

import click

from ..journal.postgres.address import mask_addresses
from .quoting import ShellCommand

__all__ = ["RepeatableCommand", "typed_command"]


class RepeatableCommand(click.Command):
    """Stores the typed words: see `typed_command`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        with_value = frozenset(name for each in options if not (each.is_flag or each.count) for name in each.opts)
        ctx.meta[__name__] = ShellCommand(("ochy", self.name or ""), tuple(map(mask_addresses, args)), with_value)
        return super().parse_args(ctx, args)


def typed_command() -> ShellCommand:
    """The command that is running, as it was typed."""
    command: ShellCommand = click.get_current_context().meta[__name__]
    return command
