"""`ochy doctor`: is everything in place? Asks one question of the server, and that one is free.

Invariant: it spends nothing, it shows no part of the key, and it never says ok to what it has
not seen.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Final, Literal, TypeVar

import anyio
import click
from attrs import asdict, frozen

from ..._version import __version__
from ...errors import ConnectionFailed, DeadlinePassed, KeyRefused, OchyError, Phase
from ...policy.limits import Limits
from ...policy.retry import Retry
from ...preflight.prober import INSTALL, MISSING, Prober, unavailable_here
from ...preflight.process import Decoder
from ...protocol.webhooks import WebhookSettings
from ...proxies import Proxy
from ...session import BASE_URL, OchySession
from ...transport import ApiKey, BaseUrl
from ..connection import SET_KEY, Account, account_options
from ..display.reporter import inform
from ..display.tables import printable
from ..exit_codes import Exit

__all__ = ["command"]

State = Literal["ok", "failed", "unknown"]
T = TypeVar("T")

FREE: Final = "This asks for the webhook's settings and nothing else: it spends nothing."
PACKAGES: Final = ("aiohttp", "anyio", "attrs", "cattrs")
UNCHECKED: Final = "Clips are sent after a check of name, size and signature alone."
ANOTHER: Final = f"Try another version of PyAV: pip install --upgrade --force-reinstall av, or {INSTALL}"
ONCE: Final = Retry(attempts=1)
SOON: Final = Limits(connect=10, stall=15, call=20)


@frozen
class Check:
    """One line of the report."""

    check: str
    state: State
    found: str
    advice: str = ""
    """What to do about it; empty where nothing is to be done."""
    details: str = ""
    """What a program said that failed, in lines; empty where none did."""


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@account_options
def command(as_json: bool, base_url: str | None, key_file: str | None) -> None:
    """Check versions, key, address, network and webhook. Spends nothing.

    Exit code 0: all well; 3: problem with the API key; 1: any other problem.
    """
    if not as_json:
        inform(FREE)
    checks = tuple(_checks(Account(base_url=base_url, key_file=key_file)))
    if as_json:
        report = {"ok": not _failed(checks), "spent": 0, "checks": [asdict(check) for check in checks]}
        click.echo(json.dumps(report))
    else:
        for check in checks:
            click.echo(f"{check.state:8} {check.check}: {printable(check.found)}")
            for line in check.details.splitlines():
                click.echo(f"{'':8} | {printable(line)}")
            if check.advice:
                click.echo(f"{'':8} -> {printable(check.advice)}")
    click.get_current_context().exit(_exit(checks))


def _failed(checks: Iterable[Check]) -> list[str]:
    return [check.check for check in checks if check.state == "failed"]


def _exit(checks: tuple[Check, ...]) -> Exit:
    failed = _failed(checks)
    if any(name in _KEY_CHECKS for name in failed):
        return Exit.KEY
    return Exit.SOME_FAILED if failed else Exit.OK


_KEY_CHECKS: Final = ("key", "key accepted")


def _checks(account: Account) -> Iterator[Check]:
    yield from _versions()
    yield _decoder()
    ready = [_key(account), _base_url(account.base_url), _proxy(account)]
    yield from ready
    settings = None if _failed(ready) else anyio.run(_asked, account)
    yield _reached(settings)
    yield _accepted(settings)
    yield _webhook(settings)
    yield Check("clock", "unknown", "the API does not tell its time; nothing here depends on it")


def _decoder() -> Check:
    """Whether clips can be looked into; found out with a clip that the package brings along."""
    found = anyio.run(_tried_out)
    if not found.trouble:
        return Check("decoder", "ok", f"{found}; it reads its proof clip right")
    if found.trouble == MISSING:
        return Check("decoder", "unknown", "PyAV is not installed", f"{UNCHECKED} Install it with: {INSTALL}")
    if unavailable_here():
        return Check("decoder", "unknown", found.trouble, UNCHECKED)
    why = f"{found} is not usable here: {found.trouble}"
    return Check("decoder", "failed", why, f"{UNCHECKED} {ANOTHER}", found.said)


async def _tried_out() -> Decoder:
    async with Prober() as prober:
        return await prober.decoder()


def _versions() -> Iterator[Check]:
    yield Check("ochy_async", "ok", __version__)
    yield Check("Python", "ok", platform.python_version())
    for name in PACKAGES:
        try:
            yield Check(name, "ok", version(name))
        except PackageNotFoundError:
            yield Check(name, "unknown", "its version is not told", "Install ochy-async with pip, not by copying.")


def _tried(make: Callable[[], T]) -> T | OchyError:
    try:
        return make()
    except OchyError as error:
        return error


def _key(account: Account) -> Check:
    source = account.key_source()
    if source is None:
        return Check("key", "failed", "none", SET_KEY)
    # The key stays out of this frame: an error could lay it open.
    trouble = _tried(lambda: ApiKey(account.key()).check())
    if isinstance(trouble, OchyError):
        return Check("key", "failed", f"not usable, from {source}", str(trouble))
    return Check("key", "ok", f"present, from {source}; it is not shown")


def _base_url(given: str | None) -> Check:
    url = _tried(lambda: BaseUrl(given or BASE_URL))
    if isinstance(url, OchyError):
        return Check("base URL", "failed", "not usable", str(url))
    return Check("base URL", "ok", url.text)


def _proxy(account: Account) -> Check:
    proxy = Proxy.of(account.proxy)
    wrong = _tried(proxy.check)
    if isinstance(wrong, OchyError):
        return Check("proxy", "failed", "not usable", str(wrong))
    if proxy.address is None:
        return Check("proxy", "ok", "none")
    url = _tried(lambda: BaseUrl(account.base_url or BASE_URL))
    if isinstance(url, BaseUrl) and not proxy.serves(url.text):
        return Check("proxy", "ok", f"{proxy.address}, but the base URL is reached without it")
    return Check("proxy", "ok", f"{proxy.address}; it sees which hosts are asked, and nothing of what is sent")


async def _asked(account: Account) -> WebhookSettings | OchyError:
    session = OchySession(account.key(), base_url=account.base_url, proxy=account.proxy, retry=ONCE, limits=SOON)
    async with session as ochy:
        try:
            return await ochy.get_webhook()
        except OchyError as error:
            return error


def _reached(settings: WebhookSettings | OchyError | None) -> Check:
    if settings is None:
        return Check("host", "unknown", "not asked")
    if isinstance(settings, ConnectionFailed | DeadlinePassed):
        reached = isinstance(settings, ConnectionFailed) and settings.phase is not Phase.NOT_SENT
        found = "a connection, but no answer" if reached else "no connection"
        return Check("host", "failed", found, str(settings))
    return Check("host", "ok", "it answers")


def _accepted(settings: WebhookSettings | OchyError | None) -> Check:
    if isinstance(settings, KeyRefused):
        return Check("key accepted", "failed", f"HTTP {settings.status}", str(settings))
    if settings is None or isinstance(settings, ConnectionFailed | DeadlinePassed):
        return Check("key accepted", "unknown", "not asked, or no answer")
    if isinstance(settings, OchyError):
        return Check("key accepted", "unknown", f"another error: {type(settings).__name__}")
    return Check("key accepted", "ok", "yes")


def _webhook(settings: WebhookSettings | OchyError | None) -> Check:
    if isinstance(settings, OchyError):
        known = isinstance(settings, KeyRefused | ConnectionFailed | DeadlinePassed)
        return Check("webhook", "unknown", "not told") if known else Check("webhook", "failed", "", str(settings))
    if settings is None:
        return Check("webhook", "unknown", "not asked")
    if not settings.stored:
        return Check("webhook", "ok", "none is stored; only --notify-via-webhook needs one")
    return Check(
        "webhook", "ok", f"{'enabled' if settings.enabled else 'not enabled'}, to {settings.host or 'an unknown host'}"
    )
