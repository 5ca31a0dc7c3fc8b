"""Posts deliveries to the webhook, as the vendor's server does, but on this machine only.

Invariant: a connection is made to loopback addresses only, a redirect is not followed, and the webhook's URL, which may
hold a token, is in no log and no repr.
"""

from __future__ import annotations

import logging
import socket
from ssl import SSLContext
from typing import TYPE_CHECKING

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from attrs import define, field
from yarl import URL

from .loopback import LOOPBACK_ADDRESSES, is_loopback

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from .messages import DeliveryOutcome
    from .outbox import DueDelivery

__all__ = ["LoopbackPoster"]

logger: logging.Logger = logging.getLogger("ochy_async.emulator")


class _LoopbackResolver(AbstractResolver):
    """Resolves `localhost` without asking, so that no file and no server can send deliveries elsewhere."""

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002 - both families are tried
    ) -> list[ResolveResult]:
        if not is_loopback(host):
            raise OSError("not a loopback address")
        return [_resolved(host, port, address) for address in LOOPBACK_ADDRESSES]

    async def close(self) -> None:
        """There is nothing to close."""


def _resolved(host: str, port: int, address: str) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    flags = socket.AI_NUMERICHOST
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=flags)


@define(eq=False)
class LoopbackPoster:
    """Posts deliveries, inside its `async with`."""

    timeout_seconds: float
    """Seconds in which a delivery must be answered."""
    ssl: SSLContext | None
    """For https; None trusts what the system trusts."""
    _http: ClientSession = field(init=False)
    _refused: set[str] = field(factory=set, repr=False)
    """URLs that were refused."""

    async def __aenter__(self) -> Self:
        # Each delivery has a connection of its own, so that none fails because the receiver closed an idle one.
        connector = TCPConnector(resolver=_LoopbackResolver(), ssl=self.ssl or True, limit=0, force_close=True)
        timeout = ClientTimeout(total=self.timeout_seconds)
        self._http = ClientSession(connector=connector, cookie_jar=DummyCookieJar(), timeout=timeout, trust_env=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

    async def post(self, due: DueDelivery) -> tuple[DeliveryOutcome, int | None]:
        """Posts a delivery once. The answer's body is not read."""
        url = _local_url(due.url)
        if url is None:
            self._report_refusal(due.url)
            return "not_loopback", None
        body, headers = due.delivery.body, due.delivery.headers
        try:
            async with self._http.post(url, data=body, headers=headers, allow_redirects=False) as response:
                return "answered", response.status
        except TimeoutError:
            return "timed_out", None
        except (ClientError, OSError):
            return "connection_failed", None

    def _report_refusal(self, url: str) -> None:
        if url not in self._refused:
            self._refused.add(url)
            logger.warning(
                "the emulator does not deliver to the stored webhook, because it is not on this machine: "
                "its host must be localhost or a loopback address such as 127.0.0.1"
            )


def _local_url(text: str) -> URL | None:
    """The URL as aiohttp would use it, if its host is this machine."""
    try:
        url = URL(text)
    except ValueError:
        return None
    return url if url.scheme in ("http", "https") and is_loopback(url.host or "") else None
