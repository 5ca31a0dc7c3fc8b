"""The URL of a webhook, whose path ends in a secret token.

Invariant: no repr shows a URL or a token. Only `ochy webhook` prints them, once, when it has made a token.
"""

from __future__ import annotations

import os
import re
import secrets
from typing import Final, Self

from attrs import field, frozen

from ..webhooks.tokens import HookTokens

__all__ = ["VARIABLE", "WebhookToken", "WebhookUrl"]

VARIABLE: Final = "OCHY_WEBHOOK_TOKEN"
TOKEN_BYTES: Final = 32
_MADE_HERE: Final = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])[A-Za-z0-9_-]{32,256}", re.ASCII)
"""Long, of the letters of `secrets.token_urlsafe`, with capitals and digits. Names and ids are not written like this:
an id in hexadecimal digits may belong to the path."""
_PARTS: Final = re.compile(r"((?:[^/?#]*//[^/?#]*)?)([^?#]*)(.*)", re.DOTALL)
"""Scheme and host, path, query and fragment. It matches every text."""


@frozen(repr=False)
class WebhookToken:
    """A secret token, hidden from every repr."""

    text: str = field(repr=False)

    @classmethod
    def new(cls) -> Self:
        """A random token that `WebhookUrl.ends_in_token` recognizes."""
        while not _MADE_HERE.fullmatch(text := secrets.token_urlsafe(TOKEN_BYTES)):
            pass  # one in a thousand has no digit
        return cls(text)


@frozen(repr=False)
class WebhookUrl:
    """A URL, hidden from every repr. It need not be a valid one."""

    text: str = field(repr=False)

    @property
    def last_segment(self) -> str:
        """The last part of the path, without slashes at its end; empty if there is none."""
        return self._split()[1].rstrip("/").rpartition("/")[2]

    @property
    def ends_in_known_token(self) -> bool:
        """Whether the path ends in a token of `OCHY_WEBHOOK_TOKEN`."""
        return HookTokens(os.environ.get(VARIABLE, "")).match(self.last_segment)

    @property
    def ends_in_token(self) -> bool:
        """Whether the path ends in something that was surely made as a token."""
        return self.ends_in_known_token or _MADE_HERE.fullmatch(self.last_segment) is not None

    def with_token(self, token: WebhookToken) -> WebhookUrl:
        """The URL with a token at the end of its path."""
        before, path, after = self._split()
        return WebhookUrl(f"{before}{path.rstrip('/')}/{token.text}{after}")

    def with_other_token(self, token: WebhookToken) -> WebhookUrl:
        """The URL with its last segment replaced."""
        before, path, after = self._split()
        return WebhookUrl(f"{before}{path.rstrip('/').rpartition('/')[0]}/{token.text}{after}")

    def _split(self) -> tuple[str, str, str]:
        """The text before, in and after the path."""
        match = _PARTS.fullmatch(self.text)
        return (match[1], match[2], match[3]) if match else ("", "", self.text)
