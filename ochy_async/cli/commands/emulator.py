"""`ochy emulator`: runs a local emulator of the API on a port of this machine, until Ctrl-C.

Invariant: it ends only with Ctrl-C, and then prints its ledger.
"""

from __future__ import annotations

import shlex
from typing import Any

import anyio
import click

from ...emulator import BEHAVIORS, Emulator, EmulatorSettings
from ..display.journal import ledger_table
from ..display.tables import TextTable, print_table
from ..display.terminal import print_message
from ..exit_codes import ExitCode

__all__ = ["command"]


@click.command("emulator")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=8100, show_default=True, help="Port; 0 for any free one."
)
@click.option(
    "--speed",
    type=click.FloatRange(0.001, 1_000_000),
    default=1.0,
    show_default=True,
    help="Speed of the emulator's clock. At 10, an analysis of 20 s takes 2 s.",
)
@click.option(
    "--credits",
    "budget",
    type=click.IntRange(0),
    help="Credits of the emulator's account when it starts. Default: 1000.",
)
@click.option("--seed", type=int, help="Seed for ids and durations. Default: 0.")
@click.option(
    "--behaviors", is_flag=True, help="Before it starts, list which behaviors are documented and which are assumed."
)
def command(port: int, speed: float, budget: int | None, seed: int | None, behaviors: bool) -> None:
    """Run a local emulator of the API until Ctrl-C. Its results are simulated and its credits are not real."""
    if behaviors:
        rows = tuple((each.topic, each.source, each.description) for each in BEHAVIORS)
        print_table(TextTable("What the emulator does", ("topic", "source", "behavior"), rows))
    given: dict[str, Any] = {"credits": budget, "seed": seed}
    settings = EmulatorSettings(**{name: value for name, value in given.items() if value is not None})
    emulator = Emulator(settings, port=port, speed=speed)
    try:
        anyio.run(_serve, emulator)
    except KeyboardInterrupt:
        print_message("")  # ends the line on which the terminal shows ^C
    except BrokenPipeError:
        raise  # nobody reads stdout any more: click ends the command without a word
    except OSError as error:
        print_message(
            f"ochy: the emulator cannot listen on port {port}: {error.strerror}. Choose another --port, or 0 for any."
        )
        click.get_current_context().exit(ExitCode.SOME_FAILED)
    print_table(ledger_table(emulator.service.ledger, emulator.service.credits))


async def _serve(emulator: Emulator) -> None:
    async with emulator:
        click.echo(f"The emulator listens on {emulator.url}. Press Ctrl-C to stop it. In another shell:\n")
        click.echo(f"export OCHY_BASE_URL={emulator.url} OCHY_API_KEY={shlex.quote(emulator.api_key)}\n")
        await anyio.sleep_forever()
