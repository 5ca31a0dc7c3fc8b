"""Opens sessions: with the API key, the base URL and the proxy, or with the built-in emulator.

Invariant: the key comes from the environment or a file, never from an argument, which every process of the machine can
read. It is passed to the session and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click
from attrs import field, frozen

from ..emulator import Emulator
from ..errors import InvalidSettings, KeyRefused
from ..events import Listener
from ..policy.polling import Polling
from ..proxies import VARIABLE, Proxy
from ..session import BASE_URL, OchySession
from ..transport import ApiKey, BaseUrl
from .groups import option_group

__all__ = ["SET_KEY", "SIMULATED", "ConnectionSettings", "connection_options"]

KEY: Final = "OCHY_API_KEY"
KEY_FILE: Final = "OCHY_API_KEY_FILE"
SET_KEY: Final = f"Set {KEY}, or name a file with --key-file or {KEY_FILE}; the key is the first line of the file."
MAX_KEY_LINE: Final = 10_000
"""Characters of a key file that are read."""
SIMULATED: Final = (
    "Simulated results from the built-in emulator. Do not base health or training\n"
    "decisions on them. No key is used and no credit is spent."
)
EMULATOR_SPEED: Final = 15.0
EMULATOR_POLLING: Final = Polling(interval=0.2, shortest=0.1, longest=0.5)
"""Faster than the vendor advises, since the emulator is not the vendor's server."""


@frozen(kw_only=True)
class ConnectionSettings:
    """Everything that is needed to open a session."""

    base_url: str | None = None
    key_file: str | None = None
    """The argument of `--key-file`; it takes precedence over the environment."""
    simulated: bool = False
    """Whether the built-in emulator replaces the vendor's server: no key, no credits, no real results."""
    interval: float = 3.0
    """Seconds between polls of an analysis."""
    proxy: str | None = field(default=None, repr=False)
    """As `OchySession` takes it. Default: `OCHY_PROXY`."""

    def key_source(self) -> str | None:
        """The place that the key is read from, as text; None where no key is set."""
        if self.key_file:
            return f"the file {self.key_file}"
        if os.environ.get(KEY):
            return KEY
        return f"the file that {KEY_FILE} names" if os.environ.get(KEY_FILE) else None

    def key(self) -> str:
        """The API key. Raises `KeyRefused` if there is none or its file cannot be read."""
        path = self.key_file or (os.environ.get(KEY_FILE) if not os.environ.get(KEY) else None)
        key = _read_first_line(path) if path else os.environ.get(KEY, "")
        if not key:
            reason = f"the first line of {path!r} is empty" if path else f"{KEY} is not set"
            raise KeyRefused(f"There is no API key: {reason}. {SET_KEY}")
        return key

    def account_and_origin(self) -> tuple[str, str]:
        """The digest that identifies the account, and its base URL. Raises the same errors as `open`."""
        return self._account_digest(), BaseUrl(self.base_url or BASE_URL).text

    def _account_digest(self) -> str:
        key = ApiKey(self.key())  # the key as text is no local variable, which a traceback could expose
        key.check()
        return key.digest()

    @asynccontextmanager
    async def open(self, listener: Listener) -> AsyncGenerator[OchySession]:
        """Opens a session, and the emulator if it is used.

        Raises `KeyRefused` without a usable key, `InvalidSettings` for a bad base URL.
        """
        if not self.simulated:
            async with self._session(listener) as ochy:
                yield ochy
            return
        async with (
            Emulator(speed=EMULATOR_SPEED) as emulator,
            OchySession(emulator.api_key, base_url=emulator.url, polling=EMULATOR_POLLING, on_event=listener) as ochy,
        ):
            yield ochy

    def _session(self, listener: Listener) -> OchySession:
        polling = Polling(interval=self.interval, shortest=min(self.interval, Polling().shortest))
        return OchySession(self.key(), base_url=self.base_url, proxy=self.proxy, polling=polling, on_event=listener)


def _read_first_line(path: str) -> str:
    try:
        # Editors on Windows begin a file with a byte order mark, which is not part of the key.
        with Path(path).open(encoding="utf-8-sig") as file:
            return file.readline(MAX_KEY_LINE).strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
    raise KeyRefused(f"The key file {path!r} cannot be read: {reason}. Check --key-file or {KEY_FILE}.")


def _check_proxy(_: click.Context, __: click.Parameter, given: str | None) -> str | None:
    if given is None:
        return None
    if "@" in given:
        raise click.BadParameter(
            f"must not contain a user and password, since other processes can read arguments. Set {VARIABLE} instead."
        )
    try:
        Proxy.of(given).check()
    except InvalidSettings as error:
        raise click.BadParameter(str(error)) from None
    return given


_add_options = option_group(
    click.option(
        "--base-url", metavar="URL", envvar="OCHY_BASE_URL", show_envvar=True, help="Another base URL of the API."
    ),
    click.option(
        "--key-file", metavar="PATH", help=f"Read the API key from the first line of this file. Default: {KEY}."
    ),
    click.option(
        "--proxy",
        metavar="URL",
        callback=_check_proxy,
        help="Reach the API through this HTTP proxy, or with 'environment' through HTTPS_PROXY. A user and password "
        f"must be given in {VARIABLE}. Default: {VARIABLE}, or none.",
    ),
)


def connection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--base-url`, `--key-file` and `--proxy`, and passes them to the command as `connection`."""

    @wraps(command)
    def with_connection(*, base_url: str | None, key_file: str | None, proxy: str | None, **options: Any) -> Any:
        connection = ConnectionSettings(base_url=base_url, key_file=key_file, proxy=proxy)
        return command(connection=connection, **options)

    return _add_options(with_connection)
