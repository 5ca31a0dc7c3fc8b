"""`ochy webhook`: shows and sets the account's webhook.

Invariant: only the host of its URL is ever printed, since the rest may hold a token. The exception is a URL whose token
this command has just made: it is printed once, on stdout.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Final

import click
from attrs import evolve

from ...protocol.json_outline import safe_key
from ...protocol.text_summary import NOTHING
from ...protocol.webhooks import WebhookSettings
from ..api_call import advise_if_unknown, call_api, call_options
from ..connection import ConnectionSettings
from ..display.json_lines import print_records
from ..display.tables import TextTable, print_table, utc_time
from ..display.terminal import print_info
from ..groups import SuggestingGroup
from ..webhook_url import VARIABLE, WebhookToken, WebhookUrl
from .webhook_listen import command as listen_command

__all__ = ["command"]

MAX_URL: Final = 10_000
"""Characters of a URL on stdin that are read."""
HIDDEN: Final = "[hidden]"
_NO_WEBHOOK: Final = "No webhook is stored. To store one: ochy webhook set URL --new-token"
_NOTHING_GIVEN: Final = (
    "Give a URL, - to read it from stdin, or --enable, --disable or --new-token to change the stored one."
)
_NONE_STORED: Final = "No webhook is stored that could be changed; give its URL."
_ALREADY_THERE: Final = (
    "The URL already ends in a token. Give it without, and --new-token appends a new one. To replace the token of the "
    "stored URL, leave out the URL. Nothing was changed."
)
_NOT_RECOGNIZED: Final = (
    "The path of the stored URL does not end in a token that this command has made, so nothing was changed. Give the "
    "URL without its token: ochy webhook set URL --new-token"
)
_ADVICE: Final = (
    "If the path of the URL does not end in a secret token, add --new-token: `Webhooks` and `ochy webhook listen` take "
    "deliveries to such paths only."
)
_NEXT: Final = (
    f"Set {VARIABLE} where the deliveries are received. Until then they are refused with HTTP 404, and analyses "
    "are only polled: nothing is lost."
)
_ROTATED: Final = (
    f"Deliveries that are on their way still carry the old token. To take both for a while: {VARIABLE}=NEW,OLD"
)
_MAYBE_CHANGED: Final = "The webhook may have been changed all the same. `ochy webhook show` shows its host and state."
_MAYBE_LOST: Final = (
    "The webhook may have been changed all the same, to a token that nobody knows. Run the same command again: it "
    "makes another one."
)


@click.group("webhook", cls=SuggestingGroup)
def command() -> None:
    """Show or set the account's one webhook, and receive its deliveries. Only the host of its URL is ever shown.

    \b
    Example:
      ochy webhook set https://hooks.example.org/ochy --new-token
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


def _read_url(context: click.Context, _: click.Parameter, given: str | None) -> WebhookUrl | None:
    """The URL, hidden at once: tracebacks show the options of a command. With - it is read from stdin."""
    if given is None or context.resilient_parsing:
        return None
    return WebhookUrl(sys.stdin.readline(MAX_URL).strip() if given == "-" else given)


@command.command("set")
@click.argument("url", metavar="[URL]", required=False, callback=_read_url)
@click.option(
    "--new-token",
    "with_new_token",
    is_flag=True,
    help="Make a secret token, the new end of the URL's path, and print it once.",
)
@click.option("--enable/--disable", "enabled", default=None, help="Enable or disable deliveries. Default: enable.")
@call_options
def set_command(
    url: WebhookUrl | None, with_new_token: bool, enabled: bool | None, as_json: bool, connection: ConnectionSettings
) -> None:
    """Store an https URL as the webhook, replacing the stored one, and enable or disable it.

    With - as URL it is read from stdin, which keeps a token in it out of the shell's history and the process list.
    Without a URL the stored one is enabled or disabled, or gets a new token in place of its old one.

    \b
    Examples:
      ochy webhook set https://hooks.example.org/ochy --new-token
      ochy webhook set - < url.txt
      ochy webhook set --disable
    """
    if url is None and enabled is None and not with_new_token:
        raise click.UsageError(_NOTHING_GIVEN)
    token = WebhookToken.new() if with_new_token else None
    if url is None:
        target, enabled = _changed(call_api(connection, lambda ochy: ochy.get_webhook()), token, enabled)
    else:
        target = url if token is None else _appended(url, token)
    with advise_if_unknown(_MAYBE_CHANGED if token is None else _MAYBE_LOST):
        settings = call_api(connection, lambda ochy: ochy.configure_webhook(target.text, enabled=enabled is not False))
    if token is not None:
        _print_with_token(settings, target, token, as_json)
        print_info(_NEXT if url is not None else f"{_NEXT} {_ROTATED}")
        return
    _print(settings, as_json)
    if url is not None and not url.ends_in_token:
        print_info(_ADVICE)


def _appended(url: WebhookUrl, token: WebhookToken) -> WebhookUrl:
    if url.ends_in_token:
        raise click.UsageError(_ALREADY_THERE)
    return url.with_token(token)


def _changed(
    stored: WebhookSettings, token: WebhookToken | None, enabled: bool | None
) -> tuple[WebhookUrl, bool | None]:
    """The stored URL, with a new token if there is one, and whether it is to be enabled."""
    if stored.url is None:
        raise click.UsageError(_NONE_STORED)
    url = WebhookUrl(stored.url)
    if token is None:
        return url, enabled
    if not url.ends_in_token:
        raise click.UsageError(_NOT_RECOGNIZED)
    return url.with_other_token(token), stored.enabled if enabled is None else enabled


command.add_command(listen_command)


# --- output -----------------------------------------------------------------------------------------


def _print(settings: WebhookSettings, as_json: bool) -> None:
    if as_json:
        print_records([_record(settings)])
    elif settings.stored:
        print_table(_table(settings))
    else:
        print_info(_NO_WEBHOOK)


def _print_with_token(settings: WebhookSettings, url: WebhookUrl, token: WebhookToken, as_json: bool) -> None:
    """The only place that prints a URL of a webhook."""
    if as_json:
        click.echo(json.dumps({**_record(settings), "url": url.text, "token": token.text}))
        return
    print_table(evolve(_table(settings), notes=()))
    click.echo(f"The URL with its new token, which is shown only now:\n\n  {url.text}\n")
    click.echo(f"For the program that receives the deliveries:\n\n  export {VARIABLE}={token.text}\n")


_READ: Final = ("url", "enabled", "updated_at")


def _record(settings: WebhookSettings) -> dict[str, Any]:
    """The settings as JSON values. Of unknown keys, only numbers and booleans are shown: texts may be secrets."""
    record = {
        "stored": settings.stored,
        "host": settings.host,
        "enabled": settings.enabled,
        "updated_at": None if settings.updated_at is None else settings.updated_at.isoformat(),
        "token_matches": _token_matches(settings),
    }
    unknown = {safe_key(name): _masked(value) for name, value in settings.raw.items() if name not in _READ}
    return {**record, **{name: value for name, value in unknown.items() if name not in record}}


def _token_matches(settings: WebhookSettings) -> bool | None:
    """Whether the URL ends in the token that a receiver in this environment takes; None if there is none to compare."""
    if settings.url is None or not os.environ.get(VARIABLE):
        return None
    return WebhookUrl(settings.url).ends_in_known_token


def _masked(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float) else HIDDEN


def _table(settings: WebhookSettings) -> TextTable:
    rows = (
        ("host", settings.host or "an unknown host"),
        ("deliveries", {True: "on", False: "off", None: NOTHING}[settings.enabled]),
        ("token", {True: f"as in {VARIABLE}", False: f"not as in {VARIABLE}", None: NOTHING}[_token_matches(settings)]),
        ("updated", utc_time(settings.updated_at)),
    )
    return TextTable("The account's webhook", ("field", "value"), rows, ("Only the host of the URL is shown.",))
