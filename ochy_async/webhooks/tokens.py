"""The secret tokens in the path of a webhook's URL.

Invariant: a token is in no repr, pickle, log or error. It keeps strangers' requests from being read, and proves
nothing: whoever sees the URL can send deliveries, so a delivery is only ever a hint.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hmac import compare_digest
from typing import Any, Final

from attrs import field, frozen

from ..errors import InvalidSettings

__all__ = ["HookTokens"]

MASK: Final = "[token]"
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,256}", re.ASCII)
"""What every URL, proxy and log shows in one spelling only, so that it can be compared and searched for."""


def _as_texts(given: object) -> tuple[Any, ...]:
    """The tokens of a text, separated by commas, or of several texts."""
    if isinstance(given, str):
        return tuple(filter(None, (each.strip() for each in given.split(","))))
    return tuple(given) if isinstance(given, Sequence) and not isinstance(given, bytes | bytearray) else (given,)


@frozen(repr=False, eq=False)
class HookTokens:
    """One token, or several while they are rotated, hidden from every repr and pickle."""

    _tokens: tuple[Any, ...] = field(converter=_as_texts, repr=False)  # rich and other printers go by the field

    def check(self) -> None:
        """Raises `InvalidSettings` unless there are tokens and each can be one.

        The constructor does not check: the caller can first delete the text from its own frame, which a traceback
        would expose.
        """
        source = "OCHY_WEBHOOK_TOKEN, or the token argument"
        if not self._tokens:
            raise InvalidSettings(
                f"There is no webhook token. Set {source}. This command makes one: "
                'python -c "import secrets; print(secrets.token_urlsafe(32))"'
            )
        if not all(isinstance(each, str) and _TOKEN.fullmatch(each) for each in self._tokens):
            raise InvalidSettings(
                "A webhook token must be a text of 16 to 256 letters (A to Z), digits, - and _, so that it is the same "
                f"in every URL. Check {source}; separate several by commas."
            )

    def match(self, given: str) -> bool:
        """Whether `given` is one of the tokens.

        Each is compared, and in constant time, so that the time tells nothing of them.
        """
        candidate = given.encode("utf-8", "surrogatepass")
        return sum([compare_digest(candidate, token.encode()) for token in self._tokens]) > 0

    def mask(self, text: str) -> str:
        """The text with each token replaced."""
        for token in self._tokens:
            text = text.replace(token, MASK)
        return text

    def __len__(self) -> int:
        return len(self._tokens)

    def __repr__(self) -> str:
        return "HookTokens(…)"

    def __reduce__(self) -> Any:
        raise TypeError("A webhook token cannot be pickled. Make new Webhooks in the other process.")
