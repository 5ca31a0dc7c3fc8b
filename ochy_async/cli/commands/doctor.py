"""`ochy doctor`: checks the installation, the settings and the network, with one request that is free.

Invariant: it spends nothing, shows no part of the key, and never reports as ok what it has not checked.
"""

from __future__ import annotations

import json
import platform
import sys
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
from ...protocol.text_summary import printable
from ...protocol.webhooks import WebhookSettings
from ...proxies import Proxy
from ...session import BASE_URL, OchySession
from ...transport import ApiKey, BaseUrl
from ..connection import SET_KEY, ConnectionSettings, connection_options
from ..display.terminal import print_info
from ..display.wrapping import fitted
from ..exit_codes import ExitCode

__all__ = ["command"]

T = TypeVar("T")

ONE_REQUEST: Final = "This sends one request, which reads the webhook's settings and spends nothing."
NO_REQUEST: Final = "no request was sent"
PACKAGES: Final = ("aiohttp", "anyio", "attrs", "cattrs")
NOT_PROBED: Final = "Clips are sent after a check of name, size and signature alone."
OTHER_PYAV: Final = f"Try another version of PyAV: pip install --upgrade --force-reinstall av, or {INSTALL}"
NO_RETRY: Final = Retry(attempts=1)
SHORT_LIMITS: Final = Limits(connect=10, stall=15, call=20)


@frozen
class Check:
    """One check of the report."""

    check: str
    state: Literal["ok", "failed", "unknown"]
    found: str
    advice: str = ""
    """What the user should do; empty if nothing."""
    details: str = ""
    """The output of a program that failed; empty if none did."""


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@connection_options
def command(as_json: bool, connection: ConnectionSettings) -> None:
    """Check versions, key, address, network and webhook. Spends nothing.

    Exit code 0: no problem; 3: problem with the API key; 1: any other problem.
    """
    if not as_json:
        print_info(ONE_REQUEST)
    checks = tuple(_checks(connection))
    if as_json:
        report = {"ok": not _failed(checks), "spent": 0, "checks": [asdict(check) for check in checks]}
        click.echo(json.dumps(report))
    else:
        for check in checks:
            _print(check)
    click.get_current_context().exit(_exit_code(checks))


def _print(check: Check) -> None:
    lines = [f"{check.state:8} {check.check}: {printable(check.found)}"]
    lines += [f"{'':8} | {printable(line)}" for line in check.details.splitlines()]
    lines += [f"{'':8} -> {printable(check.advice)}"] if check.advice else []
    click.echo(fitted("\n".join(lines), sys.stdout))


def _failed(checks: Iterable[Check]) -> list[str]:
    return [check.check for check in checks if check.state == "failed"]


_KEY_CHECKS: Final = ("key", "key accepted")


def _exit_code(checks: tuple[Check, ...]) -> ExitCode:
    failed = _failed(checks)
    if any(name in _KEY_CHECKS for name in failed):
        return ExitCode.KEY
    return ExitCode.SOME_FAILED if failed else ExitCode.OK


def _checks(connection: ConnectionSettings) -> Iterator[Check]:
    yield from _versions()
    yield _decoder()
    settings = [_key(connection), _base_url(connection.base_url), _proxy(connection)]
    yield from settings
    answer = None if _failed(settings) else anyio.run(_request, connection)
    yield _host(answer)
    yield _key_accepted(answer)
    yield _webhook(answer)
    yield Check("clock", "unknown", "the API does not report its time; the library does not need it")


def _versions() -> Iterator[Check]:
    yield Check("ochy_async", "ok", __version__)
    yield Check("Python", "ok", platform.python_version())
    for name in PACKAGES:
        try:
            yield Check(name, "ok", version(name))
        except PackageNotFoundError:
            yield Check(name, "unknown", "the version is not known", "Install ochy-async with pip, not by copying.")


def _decoder() -> Check:
    """Whether videos can be read, tested with a clip that the package contains."""
    decoder = anyio.run(_test_decoder)
    if not decoder.problem:
        return Check("decoder", "ok", f"{decoder}; it reads its test clip correctly")
    if decoder.problem == MISSING:
        return Check("decoder", "unknown", "PyAV is not installed", f"{NOT_PROBED} Install it with: {INSTALL}")
    if unavailable_here():
        return Check("decoder", "unknown", decoder.problem, NOT_PROBED)
    found = f"{decoder} does not work on this machine: {decoder.problem}"
    return Check("decoder", "failed", found, f"{NOT_PROBED} {OTHER_PYAV}", decoder.stderr)


async def _test_decoder() -> Decoder:
    async with Prober() as prober:
        return await prober.decoder()


def _or_error(make: Callable[[], T]) -> T | OchyError:
    try:
        return make()
    except OchyError as error:
        return error


def _key(connection: ConnectionSettings) -> Check:
    source = connection.key_source()
    if source is None:
        return Check("key", "failed", "none", SET_KEY)
    # The key is no local variable here, which a traceback could expose.
    error = _or_error(lambda: ApiKey(connection.key()).check())
    if isinstance(error, OchyError):
        return Check("key", "failed", f"not usable, from {source}", str(error))
    return Check("key", "ok", f"present, from {source}; it is not shown")


def _base_url(given: str | None) -> Check:
    url = _or_error(lambda: BaseUrl(given or BASE_URL))
    if isinstance(url, OchyError):
        return Check("base URL", "failed", "not usable", str(url))
    return Check("base URL", "ok", url.text)


def _proxy(connection: ConnectionSettings) -> Check:
    proxy = Proxy.of(connection.proxy)
    error = _or_error(proxy.check)
    if isinstance(error, OchyError):
        return Check("proxy", "failed", "not usable", str(error))
    if proxy.address is None:
        return Check("proxy", "ok", "none")
    url = _or_error(lambda: BaseUrl(connection.base_url or BASE_URL))
    if isinstance(url, BaseUrl) and not proxy.serves(url.text):
        return Check("proxy", "ok", f"{proxy.address}, but the base URL is reached without it")
    return Check("proxy", "ok", f"{proxy.address}; it sees host names, but not what is sent")


async def _request(connection: ConnectionSettings) -> WebhookSettings | OchyError:
    session = OchySession(
        connection.key(), base_url=connection.base_url, proxy=connection.proxy, retry=NO_RETRY, limits=SHORT_LIMITS
    )
    async with session as ochy:
        try:
            return await ochy.get_webhook()
        except OchyError as error:
            return error


def _host(answer: WebhookSettings | OchyError | None) -> Check:
    if answer is None:
        return Check("host", "unknown", NO_REQUEST)
    if isinstance(answer, ConnectionFailed | DeadlinePassed):
        connected = isinstance(answer, ConnectionFailed) and answer.phase is not Phase.NOT_SENT
        return Check("host", "failed", "connected, but no answer" if connected else "no connection", str(answer))
    return Check("host", "ok", "it answers")


def _key_accepted(answer: WebhookSettings | OchyError | None) -> Check:
    if isinstance(answer, KeyRefused):
        return Check("key accepted", "failed", f"HTTP {answer.status}", str(answer))
    if answer is None:
        return Check("key accepted", "unknown", NO_REQUEST)
    if isinstance(answer, ConnectionFailed | DeadlinePassed):
        return Check("key accepted", "unknown", "no answer")
    if isinstance(answer, OchyError):
        return Check("key accepted", "unknown", f"another error: {type(answer).__name__}")
    return Check("key accepted", "ok", "yes")


def _webhook(answer: WebhookSettings | OchyError | None) -> Check:
    if answer is None:
        return Check("webhook", "unknown", NO_REQUEST)
    if isinstance(answer, KeyRefused | ConnectionFailed | DeadlinePassed):
        return Check("webhook", "unknown", "no answer")
    if isinstance(answer, OchyError):
        return Check("webhook", "failed", "", str(answer))
    if not answer.stored:
        return Check("webhook", "ok", "none is stored; only --notify-via-webhook needs one")
    enabled = "enabled" if answer.enabled else "not enabled"
    return Check("webhook", "ok", f"{enabled}, to {answer.host or 'an unknown host'}")
