"""`ochy webhook`: the account's one webhook, shown and set.

Invariant: of its URL only the host is ever printed, for the rest may hold a token.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import click

from ...errors import InvalidRequest
from ...protocol.outline import safe_key
from ...protocol.webhooks import WebhookSettings
from ...session import OchySession
from ..api_call import call_options, perform
from ..connection import Account
from ..display.json_lines import print_records
from ..display.reporter import draw, inform
from ..display.tables import NOTHING, Sheet
from ..groups import Group
from ..request_options import refuse

__all__ = ["command"]

LONGEST: Final = 10_000
"""Characters of a URL on stdin that are read."""
HIDDEN: Final = "[hidden]"
_NONE: Final = "No webhook is stored. To store one: ochy webhook set URL"


@click.group("webhook", cls=Group)
def command() -> None:
    """Show or set the account's one webhook. Only the host of its URL is ever shown.

    \b
    Example:
      ochy webhook set https://hooks.example.org/ochy
    """


@command.command("show")
@call_options
def show(as_json: bool, **account: Any) -> None:
    """Show where deliveries go, and whether they are on.

    \b
    Example:
      ochy webhook show --json
    """
    _print(perform(Account(**account), lambda ochy: ochy.get_webhook()), as_json)


@command.command("set")
@click.argument("url", metavar="[URL]", required=False)
@click.option("--enable/--disable", "enabled", default=None, help="Turn deliveries on or off. Default: on.")
@call_options
def set_command(url: str | None, enabled: bool | None, as_json: bool, **account: Any) -> None:
    """Store the webhook's https URL, which replaces the one that is stored, and turn it on or off.

    With - as URL it is read from stdin: a token in it then stays out of the shell's history and the list of
    processes. Without a URL the stored one is kept, and only turned on or off.

    \b
    Examples:
      ochy webhook set - < url.txt
      ochy webhook set --disable
    """
    if url is None and enabled is None:
        raise click.UsageError("Give a URL, - to read it from stdin, or --enable or --disable for the stored one.")
    if url == "-":
        url = sys.stdin.readline(LONGEST).strip()

    async def configured(ochy: OchySession) -> WebhookSettings:
        kept = url if url is not None else (await ochy.get_webhook()).url
        if kept is None:
            raise click.UsageError("No webhook is stored that could be turned on or off; give its URL.")
        return await ochy.configure_webhook(kept, enabled=enabled is not False)

    try:
        settings = perform(Account(**account), configured)
    except InvalidRequest as wrong:
        problems = list(map(str, wrong.problems))
    else:
        _print(settings, as_json)
        return
    raise refuse(problems)


def _print(settings: WebhookSettings, as_json: bool) -> None:
    if as_json:
        print_records([_record(settings)])
    elif settings.stored:
        draw(_sheet(settings))
    else:
        inform(_NONE)


def _record(settings: WebhookSettings) -> dict[str, Any]:
    """Of keys that nobody knows only what cannot be a secret is told: numbers and booleans."""
    more = {safe_key(name): _told(value) for name, value in settings.raw.items() if name not in _READ}
    updated = settings.updated_at
    return {
        "stored": settings.stored,
        "host": settings.host,
        "enabled": settings.enabled,
        "updated_at": None if updated is None else updated.isoformat(),
        **{name: value for name, value in more.items() if name not in _OURS},
    }


_READ: Final = ("url", "enabled", "updated_at")
_OURS: Final = ("stored", "host")


def _told(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float) else HIDDEN


def _sheet(settings: WebhookSettings) -> Sheet:
    updated = NOTHING if settings.updated_at is None else f"{settings.updated_at:%Y-%m-%d %H:%M:%S}Z"
    rows = (
        ("host", settings.host or "an unknown host"),
        ("deliveries", {True: "on", False: "off", None: NOTHING}[settings.enabled]),
        ("updated", updated),
    )
    return Sheet("The account's webhook", ("field", "value"), rows, ("Of the URL only the host is shown.",))
