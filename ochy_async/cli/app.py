"""The group of all commands, each loaded only when it is run or asked for its own help.

Invariant: telling what there is costs nothing: no network, no terminal library, no session.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final

import click

from .._version import __version__
from ..errors import OchyError
from .display.terminal import cleaned, display_options, logging_on, tell
from .exit_codes import MEANINGS, Exit, exit_of
from .groups import Group

__all__ = ["COMMANDS", "ochy"]

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "demo": ("demo", "See it work: a batch that is killed and resumed; no key, no credit."),
    "analyze": ("analyze", "Analyze clips, folders and manifests. Costs one credit for each clip."),
    "check": ("check", "Check clips before they cost a credit. Needs no key, sends and spends nothing."),
    "journal": ("journal", "Show what a journal remembers, and settle doubts. Spends nothing."),
    "wait": ("wait", "Collect analyses that are paid for already. Spends nothing."),
    "status": ("status", "Look once where analyses stand, without waiting. Spends nothing."),
    "list": ("list_analyses", "List the analyses of the account. Spends nothing."),
    "subjects": ("subjects", "List, show, create, change and delete subjects. Spends nothing."),
    "exercises": ("exercises", "Show the exercises for search keys of results. Spends nothing."),
    "webhook": ("webhook", "Show or set the account's webhook. Spends nothing."),
    "doctor": ("doctor", "Check key, settings and network. Spends nothing."),
    "emulator": ("emulator", "Run a small Ochy on this machine, to try programs against."),
}
"""Each command's module and its line in the help."""


class Commands(Group):
    """Loads commands late, and turns what the library raises into one paragraph and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f".commands.{COMMANDS[cmd_name][0]}", __package__).command
        return _with_display_options(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, told) for name, (_, told) in COMMANDS.items()])
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), told) for code, told in sorted(MEANINGS.items())])

    def make_context(self, *given: Any, **extra: Any) -> click.Context:
        with _harmless_errors():
            return super().make_context(*given, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with logging_on(), _harmless_errors():
                return super().invoke(ctx)
        except OchyError as error:
            tell(f"ochy: {error}")
            ctx.exit(exit_of(error))
        except KeyboardInterrupt:
            ctx.exit(Exit.INTERRUPTED)


@contextmanager
def _harmless_errors() -> Generator[None]:
    """What click tells of itself repeats what was typed and what files are called: nothing that a terminal obeys."""
    try:
        yield
    except click.ClickException as error:
        vars(error)["message"] = cleaned(error.message)
        raise


def _with_display_options(command: click.Command) -> click.Command:
    """The command, and all below it, with the options that say how much is told."""
    if isinstance(command, click.Group):
        for each in command.commands.values():
            _with_display_options(each)
    taken = {name for option in command.params for name in option.opts}
    # Each command is loaded once and asked for often.
    command.params += [option for option in display_options() if taken.isdisjoint(option.opts)]
    return command


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="The API key comes from OCHY_API_KEY, or from the file that OCHY_API_KEY_FILE or --key-file names.",
)
@click.version_option(__version__, prog_name="ochy", message="%(prog)s %(version)s")
def ochy() -> None:
    """Running videos in, biomechanics out: the Ochy Partner API from the command line."""


_with_display_options(ochy)
