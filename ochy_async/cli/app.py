"""The group of all commands. A command's module is loaded only when the command runs or shows its help.

Invariant: `ochy --help` loads no network library, no terminal library and no session.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final

import click

from .._version import __version__
from ..errors import OchyError
from ..journal.postgres.address import mask_addresses
from .display.terminal import clean_lines, display_options, log_to_stderr, print_message
from .display.wrapping import fitted
from .exit_codes import MEANINGS, ExitCode, exit_code_of
from .groups import SuggestingGroup

__all__ = ["COMMANDS", "ochy"]

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "demo": ("demo", "See a batch killed and resumed. Needs no key and spends nothing."),
    "analyze": ("analyze", "Analyze clips, folders and manifests. Costs one credit per clip."),
    "check": ("check", "Check clips before they cost a credit. Needs no key and sends nothing."),
    "journal": ("journal", "Show a journal and resolve uncertain starts. Spends nothing."),
    "enqueue": ("enqueue", "Put clips into a queue for workers on any machine. Spends nothing."),
    "worker": ("worker", "Work on the clips of the queue until stopped. Costs one credit per clip."),
    "wait": ("wait", "Collect analyses that are already paid for. Spends nothing."),
    "tend": ("tend", "Finish what killed runs or workers left in a journal. Spends nothing."),
    "report": ("report", "Write pages about results: scores, curves, left and right. Spends nothing."),
    "plot": ("plot", "Draw joint angles over the gait cycle, for papers. Spends nothing."),
    "export": ("export", "Write the landmarks of a results folder for other tools. Spends nothing."),
    "status": ("status", "Show the current status of analyses, without waiting. Spends nothing."),
    "list": ("list_analyses", "List the analyses of the account. Spends nothing."),
    "subjects": ("subjects", "List, show, create, update and delete subjects. Spends nothing."),
    "exercises": ("exercises", "Show the exercises that results recommend. Spends nothing."),
    "webhook": ("webhook", "Show, set or receive the account's webhook. Spends nothing."),
    "doctor": ("doctor", "Check versions, key, network and webhook. Spends nothing."),
    "emulator": ("emulator", "Run a local emulator of the API to test programs against."),
}
"""Each command's module and its line in the help."""


class OchyCommands(SuggestingGroup):
    """Loads commands on demand, and turns the library's errors into one paragraph and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f".commands.{COMMANDS[cmd_name][0]}", __package__).command
        return _with_display_options(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(int(code)), text) for code, text in sorted(MEANINGS.items())])

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _printable_errors():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with log_to_stderr(), _printable_errors():
                return super().invoke(ctx)
        except OchyError as error:
            print_message(f"ochy: {error}")
            print_message(f"Help: {error.help} in the documentation (see the README).")
            ctx.exit(exit_code_of(error))
        except KeyboardInterrupt:
            ctx.exit(ExitCode.INTERRUPTED)


@contextmanager
def _printable_errors() -> Generator[None]:
    """Masks secrets and replaces control characters in click's errors, which repeat typed words and file names."""
    try:
        yield
    except click.ClickException as error:
        written_before = len(f"Error: {error.format_message()}") - len(error.message)
        vars(error)["message"] = fitted(clean_lines(mask_addresses(error.message)), sys.stderr, used=written_before)
        raise


def _with_display_options(command: click.Command) -> click.Command:
    """The command, and all commands below it, with the options for verbosity."""
    if isinstance(command, click.Group):
        for each in command.commands.values():
            _with_display_options(each)
    present = {name for option in command.params for name in option.opts}
    # Each command is loaded once but looked up often, so the options may be there already.
    command.params += [option for option in display_options() if present.isdisjoint(option.opts)]
    return command


@click.group(
    cls=OchyCommands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="The API key comes from OCHY_API_KEY, or from the file that OCHY_API_KEY_FILE or --key-file names.",
)
@click.version_option(__version__, prog_name="ochy", message="%(prog)s %(version)s")
def ochy() -> None:
    """Biomechanics from running videos: the Ochy Partner API on the command line."""


_with_display_options(ochy)
