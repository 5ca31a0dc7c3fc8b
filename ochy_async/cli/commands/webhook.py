"""`ochy webhook`: shows and sets the account's webhook.

Invariant: only the host of its URL is ever printed, since the rest may hold a token.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import click

from ...protocol.json_outline import safe_key
from ...protocol.text_summary import NOTHING
from ...protocol.webhooks import WebhookSettings
from ...session import OchySession
from ..api_call import call_api, call_options
from ..connection import ConnectionSettings
from ..display.json_lines import print_records
from ..display.tables import TextTable, print_table, utc_time
from ..display.terminal import print_info
from ..groups import SuggestingGroup

__all__ = ["command"]

MAX_URL: Final = 10_000
"""Characters of a URL on stdin that are read."""
HIDDEN: Final = "[hidden]"
_NO_WEBHOOK: Final = "No webhook is stored. To store one: ochy webhook set URL"


@click.group("webhook", cls=SuggestingGroup)
def command() -> None:
    """Show or set the account's one webhook. Only the host of its URL is ever shown.

    \b
    Example:
      ochy webhook set https://hooks.example.org/ochy
    """


@command.command("show")
@call_options
def show(as_json: bool, connection: ConnectionSettings) -> None:
    """Show the webhook's host and whether deliveries are enabled.

    \b
    Example:
      ochy webhook show --json
    """
    _print(call_api(connection, lambda ochy: ochy.get_webhook()), as_json)


@command.command("set")
@click.argument("url", metavar="[URL]", required=False)
@click.option("--enable/--disable", "enabled", default=None, help="Enable or disable deliveries. Default: enable.")
@call_options
def set_command(url: str | None, enabled: bool | None, as_json: bool, connection: ConnectionSettings) -> None:
    """Store an https URL as the webhook, replacing the stored one, and enable or disable it.

    With - as URL it is read from stdin, which keeps a token in it out of the shell's history and the process list.
    Without a URL the stored one is only enabled or disabled.

    \b
    Examples:
      ochy webhook set - < url.txt
      ochy webhook set --disable
    """
    if url is None and enabled is None:
        raise click.UsageError("Give a URL, - to read it from stdin, or --enable or --disable for the stored URL.")
    if url == "-":
        url = sys.stdin.readline(MAX_URL).strip()

    async def configure(ochy: OchySession) -> WebhookSettings:
        target = url if url is not None else (await ochy.get_webhook()).url
        if target is None:
            raise click.UsageError("No webhook is stored that could be enabled or disabled; give its URL.")
        return await ochy.configure_webhook(target, enabled=enabled is not False)

    _print(call_api(connection, configure), as_json)


def _print(settings: WebhookSettings, as_json: bool) -> None:
    if as_json:
        print_records([_record(settings)])
    elif settings.stored:
        print_table(_table(settings))
    else:
        print_info(_NO_WEBHOOK)


_READ: Final = ("url", "enabled", "updated_at")


def _record(settings: WebhookSettings) -> dict[str, Any]:
    """The settings as JSON values. Of unknown keys, only numbers and booleans are shown: texts may be secrets."""
    record = {
        "stored": settings.stored,
        "host": settings.host,
        "enabled": settings.enabled,
        "updated_at": None if settings.updated_at is None else settings.updated_at.isoformat(),
    }
    unknown = {safe_key(name): _masked(value) for name, value in settings.raw.items() if name not in _READ}
    return {**record, **{name: value for name, value in unknown.items() if name not in record}}


def _masked(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float) else HIDDEN


def _table(settings: WebhookSettings) -> TextTable:
    rows = (
        ("host", settings.host or "an unknown host"),
        ("deliveries", {True: "on", False: "off", None: NOTHING}[settings.enabled]),
        ("updated", utc_time(settings.updated_at)),
    )
    return TextTable("The account's webhook", ("field", "value"), rows, ("Only the host of the URL is shown.",))
