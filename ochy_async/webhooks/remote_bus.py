"""Holds what `PostgresBus` and `RedisBus` share: a secret address, a channel, a queue, and how errors leave.

Invariant: an address holds a password, which ranks with the API key. It is in no repr, log, error, frame of an error or
pickle. Frames of the database libraries hold it too, so their errors are never raised or chained: only their type names
are told.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module
from typing import Any, ClassVar, Final

from ..errors import InvalidSettings
from ..extras import missing_library
from ..http_client import drop_frames, split_url
from .bus import BusError
from .publish_queue import PublishQueue

__all__ = ["DEFAULT_CHANNEL", "RemoteBus"]

DEFAULT_CHANNEL: Final = "ochy_hints"

_CHANNEL: Final = re.compile(r"[A-Za-z0-9_.:-]{1,63}")
"""Postgres cuts longer names."""


class RemoteBus(ABC):
    """A bus that runs over a server. A subclass names the server, and exchanges messages with it."""

    server: ClassVar[str]
    """What error texts call the server."""
    library: ClassVar[str]
    """The module that talks to the server."""
    extra: ClassVar[str]
    """The extra of this package that installs the module."""
    schemes: ClassVar[tuple[str, ...]]
    """What an address may begin with."""

    connect_seconds: float = 10.0
    """How long connecting may take."""
    reply_seconds: float = 5.0
    """How long the server may take to answer. After that, the connection counts as lost."""
    health_seconds: float = 30.0
    """After so long without traffic, the server is asked whether it is still there."""

    def __init__(self, address: str, *, channel: str = DEFAULT_CHANNEL) -> None:
        self._address = address
        del address  # a traceback shows the variables of this frame
        self._channel = channel
        self._queue = PublishQueue()
        self._check()

    async def publish(self, message: str) -> None:
        """Hands a message over to be sent. Returns at once, and raises `BusError` if it cannot be sent."""
        self._queue.put(message)

    async def listen(self, receive: Callable[[str], None], ready: Callable[[], None]) -> None:
        """Connects, calls `ready` once, and then `receive` for every message, until it is cancelled.

        Raises `BusError` when the connection fails or is lost.
        """
        reason = await self._exchange_until_lost(receive, ready)
        raise BusError(f"The connection to {self.server} failed: {reason}")

    async def _exchange_until_lost(self, receive: Callable[[str], None], ready: Callable[[], None]) -> str:
        """Exchanges messages, and returns the type name of the error that ended it.

        Raised here, the error would carry frames that hold the address, as its traceback or context.
        """
        try:
            await self._exchange(receive, ready)
        except Exception as error:  # noqa: BLE001 - whatever the library raises, its frames and text may hold the address
            return type(_first(error)).__name__
        except BaseException as interruption:
            drop_frames(interruption)
            raise
        return "no error"

    @abstractmethod
    async def _exchange(self, receive: Callable[[str], None], ready: Callable[[], None]) -> None:
        """Connects, sends and receives, and raises when the connection fails or is lost. It never just returns."""

    def _check(self) -> None:
        """Raises `InvalidSettings`, without the text of the address, if the bus can never work."""
        name = type(self).__name__
        if not self._installed():
            raise InvalidSettings(missing_library(name, self.library, self.extra))
        if why := self._problem():
            raise InvalidSettings(f"The address of the {name} {why}.")
        if not isinstance(self._channel, str) or not _CHANNEL.fullmatch(self._channel):
            raise InvalidSettings(
                f"The channel of the {name} must be 1 to 63 characters of A-Z a-z 0-9 _ . : -, not {self._channel!r}."
            )

    def _installed(self) -> bool:
        try:
            import_module(self.library)
        except ImportError:
            return False
        return True

    def _problem(self) -> str | None:
        """What is wrong with the address, in words that do not quote it."""
        address, begin = self._address, " or ".join(f"{scheme}://" for scheme in self.schemes)
        if not isinstance(address, str) or not address.lower().startswith(tuple(f"{each}://" for each in self.schemes)):
            return f"must be a string that begins with {begin}"
        if not address.isprintable() or " " in address:
            return "must contain no blanks and no line breaks"
        place, *rest = re.split("[/?]", address.partition("://")[2], maxsplit=1)
        hosts = place.rpartition("@")[2].split(",")
        is_ambiguous = place.count("@") > 1 or "@" in "".join(rest) or "#" in address
        if is_ambiguous or not all(split_url(f"//{host}") for host in hosts):
            return "cannot be parsed: a user and a password must be percent-encoded, and a port must be a number"
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…, channel={self._channel!r})"

    def __reduce__(self) -> Any:
        raise TypeError("a bus may hold a password and cannot be pickled. Make a new one in the other process.")


def _first(error: BaseException) -> BaseException:
    """The error itself, or the first one of a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
