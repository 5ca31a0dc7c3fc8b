"""`ochy emulator`: a small Ochy on a port of this machine, until Ctrl-C.

Invariant: Ctrl-C is how it ends, and the ledger is what it leaves.
"""

from __future__ import annotations

import shlex
from collections import Counter
from typing import Any

import anyio
import click

from ...emulator import BEHAVIORS, Charge, Emulator, EmulatorSettings
from ..display.reporter import draw, tell
from ..display.tables import Sheet
from ..exit_codes import Exit

__all__ = ["command", "ledger_sheet"]


@click.command("emulator")
@click.option("--port", type=click.IntRange(0, 65_535), default=8100, show_default=True, help="0 for any free one.")
@click.option(
    "--speed", type=click.FloatRange(0.001, 1_000_000), default=1.0, show_default=True, help="How fast its time passes."
)
@click.option(
    "--credits", "budget", type=click.IntRange(0), help="Credits that its account begins with. Default: 1000."
)
@click.option("--seed", type=int, help="Another seed gives other ids and durations. Default: 0.")
@click.option("--behaviors", is_flag=True, help="First tell which behaviors are documented and which assumed.")
def command(port: int, speed: float, budget: int | None, seed: int | None, behaviors: bool) -> None:
    """Run a small Ochy on this machine until Ctrl-C. Its numbers are made up, its credits too."""
    if behaviors:
        draw(Sheet("What the emulator does", ("what", "known", "how"), tuple(_behaviours())))
    settings: dict[str, Any] = {"credits": budget, "seed": seed}
    world = EmulatorSettings(**{name: value for name, value in settings.items() if value is not None})
    emulator = Emulator(world, port=port, speed=speed)
    try:
        anyio.run(_serve, emulator)
    except KeyboardInterrupt:
        tell("")  # the terminal shows ^C on the line
    except OSError as trouble:
        tell(
            f"ochy: the emulator cannot listen on port {port}: {trouble.strerror}. Choose another --port, or 0 for any."
        )
        click.get_current_context().exit(Exit.SOME_FAILED)
    draw(ledger_sheet(emulator.service.ledger, emulator.service.credits))


def _behaviours() -> list[tuple[str, str, str]]:
    return [(each.what, each.mark, each.sentence) for each in BEHAVIORS]


async def _serve(emulator: Emulator) -> None:
    async with emulator:
        click.echo(f"A small Ochy listens on {emulator.url}; Ctrl-C ends it. In another shell:\n")
        click.echo(f"export OCHY_BASE_URL={emulator.url} OCHY_API_KEY={shlex.quote(emulator.api_key)}\n")
        await anyio.sleep_forever()


def ledger_sheet(ledger: tuple[Charge, ...], left: int) -> Sheet:
    """Who was charged how often. A clip is known by its content."""
    charges = Counter((charge.filename, charge.sha256[:12]) for charge in ledger)
    rows = tuple((name, content, str(count)) for (name, content), count in charges.items())
    title = f"The emulator's ledger: {len(ledger)} credits spent on {len(charges)} clips, {left} left"
    return Sheet(title, ("clip", "content", "credits"), rows)
