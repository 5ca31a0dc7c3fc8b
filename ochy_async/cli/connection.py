"""Whose account is used and where: key, base URL, or an emulator that needs neither.

Invariant: the key comes from the environment or a file, never from an argument (every process
of the machine can read those), and goes to the session and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import click
from attrs import field, frozen

from ..emulator import Emulator
from ..errors import InvalidSettings, KeyRefused
from ..events import Listener
from ..policy.polling import Polling
from ..proxies import VARIABLE, Proxy
from ..session import BASE_URL, OchySession
from ..transport import ApiKey, BaseUrl

__all__ = ["QUICK", "SET_KEY", "Account", "Place", "account_options"]

KEY: Final = "OCHY_API_KEY"
KEY_FILE: Final = "OCHY_API_KEY_FILE"
SET_KEY: Final = f"Set {KEY}, or name a file with --key-file or {KEY_FILE}; the key is its first line."
LONGEST_LINE: Final = 10_000
"""Characters of a key file that are read."""
EMULATOR_SPEED: Final = 15.0
QUICK: Final = Polling(interval=0.2, shortest=0.1, longest=0.5)
"""For the emulator: the vendor's advice is for the vendor's servers."""


class Place(Protocol):
    """Where errands are carried out."""

    @property
    def made_up(self) -> bool:
        """Whether nothing there is real: no result, no credit."""
        ...

    def open(self, listener: Listener) -> AbstractAsyncContextManager[OchySession]:
        """A session there."""
        ...


@frozen(kw_only=True)
class Account:
    """What is needed to open a session."""

    base_url: str | None = None
    key_file: str | None = None
    """As given on the command line; it comes before the environment."""
    made_up: bool = False
    """Whether a built-in emulator takes the place of the vendor."""
    interval: float = 3.0
    """Seconds between looks while nothing better is known."""
    proxy: str | None = field(factory=lambda: _proxy_given(), repr=False)
    """As `OchySession` takes it; left out it is what `--proxy` says, and else what `OCHY_PROXY` does."""

    def key_source(self) -> str | None:
        """Where the key is to be found, in words; None where it is nowhere. An argument comes first."""
        if self.key_file:
            return f"the file {self.key_file}"
        if os.environ.get(KEY):
            return KEY
        return f"the file that {KEY_FILE} names" if os.environ.get(KEY_FILE) else None

    def key(self) -> str:
        """The key. Raises `KeyRefused` where there is none, or a file that cannot be read."""
        path = self.key_file or (os.environ.get(KEY_FILE) if not os.environ.get(KEY) else None)
        key = _first_line(path) if path else os.environ.get(KEY, "")
        if not key:
            where = f"the first line of {path!r} is empty" if path else f"{KEY} is not set"
            raise KeyRefused(f"There is no API key: {where}. {SET_KEY}")
        return key

    def identity(self) -> tuple[str, str]:
        """What tells the account from others, and its base URL. Raises as `open` does."""
        return self._digest(), BaseUrl(self.base_url or BASE_URL).text

    def _digest(self) -> str:
        key = ApiKey(self.key())  # the key itself is in no frame: an error could lay it open
        key.check()
        return key.digest()

    @property
    def polling(self) -> Polling:
        """How the analyses are waited for."""
        usual = Polling()
        return Polling(interval=self.interval, shortest=min(self.interval, usual.shortest))

    @asynccontextmanager
    async def open(self, listener: Listener) -> AsyncGenerator[OchySession]:
        """A session, and with it the emulator if there is one.

        Raises `KeyRefused` without a usable key, `InvalidSettings` for a bad base URL.
        """
        if not self.made_up:
            async with self._session(listener) as ochy:
                yield ochy
            return
        async with (
            Emulator(speed=EMULATOR_SPEED) as emulator,
            OchySession(emulator.api_key, base_url=emulator.url, polling=QUICK, on_event=listener) as ochy,
        ):
            yield ochy

    def _session(self, listener: Listener) -> OchySession:
        return OchySession(
            self.key(), base_url=self.base_url, proxy=self.proxy, polling=self.polling, on_event=listener
        )


def _first_line(path: str) -> str:
    try:
        # Editors on Windows begin a file with a mark that is no part of the key.
        with Path(path).open(encoding="utf-8-sig") as file:
            return file.readline(LONGEST_LINE).strip()
    except (OSError, ValueError) as trouble:
        why = trouble.strerror if isinstance(trouble, OSError) else "it is not a text"
    raise KeyRefused(f"The key file {path!r} cannot be read: {why}. Check --key-file, or {KEY_FILE}.")


def _proxy_given() -> str | None:
    context = click.get_current_context(silent=True)
    given: str | None = None if context is None else context.meta.get(VARIABLE)
    return given


def _proxy(context: click.Context, _: click.Parameter, given: str | None) -> None:
    """Keeps what `--proxy` says for the `Account` that the command makes."""
    if given is None:
        return
    if "@" in given:
        raise click.BadParameter(
            f"must hold no user and password: every process of the machine can read arguments. Set {VARIABLE} instead."
        )
    try:
        Proxy.of(given).check()
    except InvalidSettings as wrong:
        raise click.BadParameter(str(wrong)) from None
    context.meta[VARIABLE] = given


def account_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--base-url`, `--key-file` and `--proxy`; what the last says reaches each `Account` by itself."""
    for option in (
        click.option(
            "--proxy",
            metavar="URL",
            expose_value=False,
            callback=_proxy,
            help="Reach the API through this HTTP proxy; 'environment': through HTTPS_PROXY. User and password belong "
            f"in {VARIABLE}. Default: {VARIABLE}, or none.",
        ),
        click.option("--key-file", metavar="PATH", help=f"The key is the first line of this file. Default: {KEY}."),
        click.option(
            "--base-url", metavar="URL", envvar="OCHY_BASE_URL", show_envvar=True, help="Another address of the API."
        ),
    ):
        command = option(command)
    return command
