"""Reads proxy settings. Requests go through a tunnel, so the proxy sees a host and a port, and never a request.

Invariant: the credentials of a proxy are as secret as the API key. They are in no repr, log, error, frame of an error
or pickle, and are sent to the proxy only. This machine is never reached through a proxy.
"""

from __future__ import annotations

import os
from base64 import b64encode
from typing import Any, Final
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from attrs import field, frozen

from .errors import InvalidSettings
from .http_client import is_loopback, split_url

__all__ = ["ENVIRONMENT", "NONE", "VARIABLE", "Proxy"]

VARIABLE: Final = "OCHY_PROXY"
ENVIRONMENT: Final = "environment"
"""Use `HTTPS_PROXY` and `NO_PROXY`, or the system's settings."""
NONE: Final = "none"
"""Use no proxy, whatever `OCHY_PROXY` says."""


@frozen(repr=False, eq=False)
class Proxy:
    """A proxy, or none; its credentials are hidden from every repr and pickle."""

    _url: Any = field(repr=False)
    _selective: bool = field(repr=False)
    """Whether hosts that `NO_PROXY` names are reached directly."""

    @classmethod
    def of(cls, setting: str | None = None) -> Proxy:
        """The proxy of a setting: a URL, `environment` or `none`; None reads the setting from `OCHY_PROXY`.

        The setting is not checked here: the caller can first delete the text from its own frame, which a traceback
        would expose. aiohttp's `trust_env` is not used, because it also reads credentials from `~/.netrc`.
        """
        setting = os.environ.get(VARIABLE) or NONE if setting is None else setting
        if setting == ENVIRONMENT:
            proxies = getproxies()
            return cls(proxies.get("https") or proxies.get("all") or "", True)
        return cls("" if setting == NONE else setting, False)

    def check(self) -> None:
        """Raises `InvalidSettings`, without the text of the setting, if it is not a usable proxy."""
        why = _problem(self._url)
        if why:
            where = "HTTPS_PROXY" if self._selective else f"{VARIABLE}, --proxy or the proxy argument"
            raise InvalidSettings(f"The proxy {why}. Nothing was sent. Check {where}.")

    @property
    def address(self) -> str | None:
        """Scheme, host and port of the proxy, without its credentials; None without a proxy."""
        if not self._url:
            return None
        parts = urlsplit(_with_scheme(self._url))
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def serves(self, url: str) -> bool:
        """Whether `url` is reached through the proxy. May block, so do not call it on the event loop."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if not self._url or parts.scheme != "https" or is_loopback(host):
            return False
        return not (self._selective and proxy_bypass(f"{host}:{parts.port or 443}"))

    def arguments(self) -> dict[str, Any]:
        """The arguments of aiohttp's `request` that send it through the proxy. They hold the credentials."""
        parts = urlsplit(_with_scheme(self._url))
        if parts.username is None and parts.password is None:
            return {"proxy": self.address}
        pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        return {
            "proxy": self.address,
            "proxy_headers": {"Proxy-Authorization": f"Basic {b64encode(pair.encode()).decode()}"},
        }

    def __repr__(self) -> str:
        return "Proxy(…)"

    def __reduce__(self) -> Any:
        raise TypeError("a proxy may hold credentials and cannot be pickled. Make a new session in the other process.")


def _with_scheme(url: str) -> str:
    """A proxy's URL with its scheme. A bare `host:port`, which many environments use, means http."""
    return url if "://" in url else f"http://{url}"


def _problem(url: object) -> str | None:
    if not isinstance(url, str):
        return "must be a string"
    if not url:
        return None
    parts = split_url(_with_scheme(url))
    if parts is None:
        return "cannot be parsed: a user and a password must be percent-encoded"
    if not url.isprintable() or " " in url:
        return "must contain no blanks and no line breaks"
    if parts.scheme.startswith("socks"):
        return "is a SOCKS proxy, which is not supported: give an HTTP proxy (http://host:port)"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "must be http://host:port or http://user:password@host:port (https:// where the proxy speaks TLS)"
    if parts.path.strip("/") or parts.query or parts.fragment:
        return "must contain no path, query or fragment: a user and a password must be percent-encoded"
    return None
