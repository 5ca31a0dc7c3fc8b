"""`ochy webhook listen`: receives deliveries on a port of this machine, and shows what they hold.

Invariant: bodies, which may be health data, are shown only with `--body`, and the token only when it was made here.
"""

from __future__ import annotations

import ipaddress
import json
import os
import ssl
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

import anyio
import click
from anyio import move_on_after
from attrs import define, field

from ...protocol.deliveries import Delivery
from ...protocol.drift import DriftNote
from ...protocol.text_summary import count_of
from ..display.deliveries import (
    AnsweredRequest,
    body_lines,
    delivery_line,
    delivery_record,
    drift_lines,
    outline_lines,
    refusal_text,
)
from ..display.terminal import print_info, print_message
from ..exit_codes import ExitCode
from ..groups import option_group
from ..signals import Interrupts
from ..webhook_server import ServerAddress, WebhookServer
from ..webhook_url import VARIABLE, WebhookToken, WebhookUrl

__all__ = ["command"]

MAX_REFUSALS: Final = 5
"""Refused requests with one status that are shown; further ones are counted."""
MAX_DRIFT: Final = 100
"""Differences that are shown in one run."""
MAX_OUTLINES: Final = 1_000
_EXPOSED: Final = (
    "Everybody who reaches this port of the machine can send requests. Without --cert they are not encrypted, and the "
    "token can be read on the way."
)
_HEALTH_DATA: Final = "With --body, deliveries are shown with their content, which may be health data."
_REPORT: Final = (
    "To report them, send the output of `ochy webhook listen --json`: it holds keys and types, ids, times and "
    "percentages, and no health data."
)


def _check_host(_: click.Context, __: click.Parameter, given: str) -> str:
    address = "127.0.0.1" if given == "localhost" else given.strip("[]")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise click.BadParameter("must be an IP address such as 127.0.0.1, or localhost.") from None
    return address


_listen_options = option_group(
    click.option(
        "--host",
        metavar="ADDRESS",
        default="127.0.0.1",
        show_default=True,
        callback=_check_host,
        help="Address to listen on. 0.0.0.0 listens on all, which makes the port reachable from the network.",
    ),
    click.option(
        "--port", type=click.IntRange(0, 65_535), default=8443, show_default=True, help="Port; 0 for any free one."
    ),
    click.option(
        "--cert",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Certificate chain (PEM), to listen with HTTPS. Default: HTTP, for a tunnel that ends the encryption.",
    ),
    click.option(
        "--key", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Key of the certificate (PEM)."
    ),
    click.option(
        "--new-token", "with_new_token", is_flag=True, help=f"Make a token and print it once. Default: {VARIABLE}."
    ),
    click.option(
        "--outline", is_flag=True, help="Also show keys and types of each new form of body, and header names."
    ),
    click.option("--body", is_flag=True, help="Also show each body. It may be health data."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object per delivery, with its outline."),
    click.option("--count", type=click.IntRange(1), metavar="N", help="End after this many deliveries."),
    click.option(
        "--seconds",
        type=click.FloatRange(0.1, 31_536_000),
        help="End after this time; exit code 1 if --count is not reached.",
    ),
)


@click.command("listen")
@_listen_options
def command(
    host: str, port: int, cert: Path | None, key: Path | None, with_new_token: bool, seconds: float | None, **shown: Any
) -> None:
    """Receive deliveries on this machine and show each: time, event, status, sequence, percentage, analysis.

    The vendor reaches it through an https tunnel or proxy of yours, at a URL that ends in the token. Every delivery is
    answered with 204, and nothing is stored. The vendor does not document how deliveries look: --outline shows what
    came without its values.

    \b
    Example:
      ochy webhook set https://tunnel.example.org/ochy --new-token
      export OCHY_WEBHOOK_TOKEN=...
      ochy webhook listen --outline
    """
    address = ServerAddress(host=host, port=port, ssl=_ssl_context(cert, key))
    token = WebhookToken.new() if with_new_token else None
    if token is None and not os.environ.get(VARIABLE):
        raise click.UsageError(f"There is no token. Set {VARIABLE}, or add --new-token to make one.")
    listener = _Listener(**shown)
    anyio.run(listener.run, address, token, seconds)
    click.get_current_context().exit(listener.exit_code)


def _ssl_context(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if cert is None:
        if key is not None:
            raise click.UsageError("--key: needs --cert.")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key, password=lambda: "")  # never asks for a password on the terminal
    except OSError as error:  # errors of SSL are among them
        reason = error.strerror if not isinstance(error, ssl.SSLError) else "not a certificate with its unencrypted key"
    else:
        return context
    raise click.UsageError(f"--cert, --key: cannot be used: {reason}.")


@define(eq=False, kw_only=True)
class _Listener:
    """Shows requests as they come, and counts them."""

    as_json: bool
    outline: bool
    body: bool
    count: int | None
    deliveries: int = 0
    refusals: Counter[str] = field(factory=Counter)
    """How many requests were refused with each status, and how many were not HTTP."""
    interrupted: bool = False
    _drift: set[DriftNote] = field(factory=set)
    _outlines: set[str] = field(factory=set)
    """Those that were shown."""
    _stop: anyio.Event = field(factory=anyio.Event)
    _failure: OSError | None = None
    """Why stdout cannot be written."""

    @property
    def exit_code(self) -> ExitCode:
        """The end by Ctrl-C is the usual one, unless a number of deliveries was asked for."""
        if self.count is None or self.deliveries >= self.count:
            return ExitCode.OK
        return ExitCode.INTERRUPTED if self.interrupted else ExitCode.SOME_FAILED

    async def run(self, address: ServerAddress, token: WebhookToken | None, seconds: float | None) -> None:
        """Listens until a signal, so many deliveries, or so many seconds. Raises `OSError` if stdout is closed."""
        async with WebhookServer(self._report).listening(address, token) as url:
            interrupts = Interrupts(self._stop.set, self._stop.set)
            with interrupts.listening():
                self._print_begin(url, token, exposed=not ipaddress.ip_address(address.host).is_loopback)
                with move_on_after(seconds):
                    await self._stop.wait()
            self.interrupted = interrupts.count > 0
        if self.interrupted and sys.stderr.isatty():
            print_message("")  # ends the line on which the terminal shows ^C
        self._print_summary()
        if self._failure is not None:
            raise self._failure

    def _print_begin(self, url: str, token: WebhookToken | None, *, exposed: bool) -> None:
        print_info(f"Listening on {url}, on every path that ends in the token. Press Ctrl-C to stop.")
        if exposed:
            print_message(_EXPOSED)
        if self.body:
            print_message(_HEALTH_DATA)
        if token is not None:
            self._print_token(WebhookUrl(url).with_token(token), token)

    def _print_token(self, url: WebhookUrl, token: WebhookToken) -> None:
        if self.as_json:
            click.echo(json.dumps({"url": url.text, "token": token.text}))
        else:
            click.echo(f"The URL with its new token, which is shown only now:\n\n  {url.text}\n")

    # --- requests -------------------------------------------------------------------------------------

    def _report(self, request: AnsweredRequest) -> None:
        try:
            self._show(request)
        except OSError as error:  # aiohttp would only log it
            self._failure = error
            self._stop.set()

    def _show(self, request: AnsweredRequest) -> None:
        if self.deliveries == self.count:
            return
        if request.delivery is None:
            self._show_refusal(request)
            return
        self.deliveries += 1
        self._show_delivery(request, request.delivery)
        if self.deliveries == self.count:
            self._stop.set()

    def _show_refusal(self, request: AnsweredRequest) -> None:
        kind = str(request.status) if request.method else "not HTTP"
        self.refusals[kind] += 1
        if self.refusals[kind] <= MAX_REFUSALS:
            more = "; further ones are only counted" if self.refusals[kind] == MAX_REFUSALS else ""
            print_info(f"{refusal_text(request)}{more}")

    def _show_delivery(self, request: AnsweredRequest, delivery: Delivery) -> None:
        new = sorted(delivery.drift - self._drift)[: MAX_DRIFT - len(self._drift)]
        self._drift.update(new)
        if self.as_json:
            click.echo(json.dumps(delivery_record(request, delivery, body=self.body)))
            return
        lines = [delivery_line(request, delivery), *drift_lines(new)]
        if self.outline:
            lines += self._new(outline_lines(request, delivery))
        if self.body:
            lines += body_lines(delivery)
        click.echo("\n".join(lines))

    def _new(self, lines: tuple[str, ...]) -> list[str]:
        """The lines, or none if they were shown before."""
        text = "\n".join(lines)
        if text in self._outlines:
            return []
        if len(self._outlines) < MAX_OUTLINES:
            self._outlines.add(text)
        return [*lines]

    def _print_summary(self) -> None:
        refused = ", ".join(f"{count:,} × {kind}" for kind, count in sorted(self.refusals.items()))
        deliveries = count_of(self.deliveries, "delivery", "deliveries")
        print_info(f"{deliveries}.{f' Refused: {refused}.' if refused else ''}")
        if self._drift:
            differences = count_of(len(self._drift), "difference")
            print_info(f"{differences} from what was expected of deliveries. {_REPORT}")
