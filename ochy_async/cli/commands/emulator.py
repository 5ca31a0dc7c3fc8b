"""`ochy emulator`: runs a local emulator of the API on a port of this machine, until Ctrl-C.

Invariant: it ends only with Ctrl-C, and then prints its ledger. Of a webhook only the host is printed.
"""

from __future__ import annotations

import shlex
import sys
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
import click

from ...emulator import BEHAVIORS, DeliverySettings, Emulator, EmulatorSettings, LoggedDelivery
from ...emulator.loopback import is_loopback
from ..display.journal import ledger_table
from ..display.tables import TextTable, print_table
from ..display.terminal import print_info, print_message
from ..exit_codes import ExitCode

__all__ = ["command"]

MAX_URL: Final = 10_000
"""Characters of a URL on stdin that are read."""
FAULTS: Final = DeliverySettings(loss_rate=0.2, duplicate_rate=0.3, shuffle_rate=0.2, forgeries_per_second=0.5)


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
    "--webhook",
    metavar="URL",
    help="Deliver to this URL of this machine, http or https, after a test event. - reads it from stdin.",
)
@click.option("--webhook-faults", is_flag=True, help="Lose, double, delay and forge some of the deliveries.")
@click.option(
    "--behaviors", is_flag=True, help="Before it starts, list which behaviors are documented and which are assumed."
)
def command(
    port: int,
    speed: float,
    budget: int | None,
    seed: int | None,
    webhook: str | None,
    webhook_faults: bool,
    behaviors: bool,
) -> None:
    """Run a local emulator of the API until Ctrl-C. Its results are simulated and its credits are not real.

    With --webhook it reports analyses that are started with notify_via_webhook to your receiver, and prints how each
    delivery was answered.

    \b
    Examples:
      ochy emulator --port 8100
      ochy emulator --webhook http://127.0.0.1:8443/TOKEN
    """
    if behaviors:
        rows = tuple((each.topic, each.source, each.description) for each in BEHAVIORS)
        print_table(TextTable("What the emulator does", ("topic", "source", "behavior"), rows))
    url = sys.stdin.readline(MAX_URL).strip() if webhook == "-" else webhook
    given: dict[str, Any] = {"credits": budget, "seed": seed, "deliveries": FAULTS if webhook_faults else None}
    settings = EmulatorSettings(**{name: value for name, value in given.items() if value is not None})
    emulator = Emulator(settings, port=port, speed=speed, on_delivery=_print_delivery)
    host = None if url is None else _store_webhook(emulator, url)
    try:
        anyio.run(_serve, emulator, host)
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


def _store_webhook(emulator: Emulator, url: str) -> str:
    """Stores the webhook, and returns its host and port. Raises a usage error without the URL, which holds a token."""
    try:
        emulator.set_webhook(url)
        parts = urlsplit(url)
        port = parts.port  # raises if it is no number
        if is_loopback(parts.hostname or ""):
            return f"{parts.hostname}{'' if port is None else f':{port}'}"
    except ValueError:
        pass
    raise click.UsageError(
        "--webhook: must be an http or https URL whose host is 127.0.0.1, ::1 or localhost. The emulator delivers to "
        "this machine only."
    )


async def _serve(emulator: Emulator, webhook_host: str | None) -> None:
    async with emulator:
        click.echo(f"The emulator listens on {emulator.url}. Press Ctrl-C to stop it. In another shell:\n")
        click.echo(f"export OCHY_BASE_URL={emulator.url} OCHY_API_KEY={shlex.quote(emulator.api_key)}\n")
        if webhook_host is not None:
            print_info(f"Deliveries go to {webhook_host}, for analyses that are started with notify_via_webhook.")
            emulator.send_test_event()
        await anyio.sleep_forever()


# --- deliveries -------------------------------------------------------------------------------------

_ENDS: Final = {
    "timed_out": "no answer in time",
    "connection_failed": "no connection",
    "not_loopback": "not sent: the webhook is not on this machine",
    "disabled": "not sent: deliveries are disabled",
    "lost": "lost on purpose",
}


def _print_delivery(delivery: LoggedDelivery) -> None:
    """One line: what was delivered, about which analysis, and how it was answered."""
    kind = delivery.kind if delivery.forgery is None else f"forged ({delivery.forgery})"
    sequence = "" if delivery.sequence is None else f" #{delivery.sequence}"
    again = "" if delivery.attempt == 1 else f", attempt {delivery.attempt}"
    end = _ENDS.get(delivery.outcome, f"HTTP {delivery.status}, {delivery.seconds * 1000:.0f} ms")
    print_info(f"{delivery.analysis_id[:8]}  {kind}{sequence}{again}: {end}")
