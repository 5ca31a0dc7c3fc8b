"""Removes signed URLs from JSON and text before it is stored or shown.

Invariant: a signed link is a secret while it is valid, so no file, log line or journal holds one. Any other address is
removed too, because nobody knows under which key the next signed link comes. Documented links to exercises are kept if
no part of them can be a signature.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import unquote

__all__ = [
    "MASK",
    "contains_link",
    "is_unsigned",
    "may_contain_links",
    "redact_links",
    "redact_signed_links",
    "redact_words",
]

SIGNED_KEYS: Final = frozenset({"thumbnail", "output_video"})
"""The keys whose values are signed links (documented)."""

MASK: Final = "[link]"

SIGNATURES: Final = (
    r"x-(?:amz|goog|oss|cos|obs|ms|bz)-[a-z-]+|(?:access|auth|id|refresh|sas|security|session|upload)?[_-]?token"
    r"|(?:url)?[_-]?signature|sig|hmac|hdnea|hdnts|key-pair-id|awsaccesskeyid|googleaccessid|ossaccesskeyid|api[_-]?key"
)
"""The parameters with which common storages sign a link."""
COMPANIONS: Final = r"sign|policy|expires|verify|se|sp|sr|sv|skoid|sktid"
"""Parameters that accompany a signature. On their own they are ordinary words."""

MAX_ESCAPES: Final = 4
"""How many layers of escapes are decoded. A text with more layers is masked without further checks."""

SLICE: Final = 1 << 20
"""Bytes that are searched at a time, because a longer search would keep other threads from running."""

_UNSIGNED: Final = re.compile(r"https://[^\s?#@\\\x00-\x1f\x7f]+", re.IGNORECASE)
_PLAIN: Final = re.compile(r"[^/=%&\\]*", re.ASCII)
"""An ASCII text without these characters holds no link: neither an address nor a parameter can be written."""
_ADDRESS: Final = re.compile(r"://|(?:^|[\s\"'(<\[{=,;|])[/\\]{2}[^\s/\\]+\.[^\s/\\]+[/\\]|:\\\\[^\s\\]+\.[^\s\\]+\\")
"""An address with a scheme, or without one, which browsers and storages accept as a link too."""
_SIGNED_PARAMETER: Final = re.compile(rf"(?<![a-z0-9])(?:{SIGNATURES}|{COMPANIONS})=", re.IGNORECASE)
_SIGNATURE: Final = re.compile(SIGNATURES, re.IGNORECASE)
_ESCAPED: Final = re.compile(r"\\+(?:u\{?([0-9a-f]{4})\}?|x([0-9a-f]{2})|(/))", re.IGNORECASE)
_SUSPICIOUS: Final = re.compile(rb"[/=%&\\]|[\x80-\xff]")


def redact_links(value: Any) -> Any:
    """The JSON without links: the documented signed links are left out, and any other text with a link is masked."""
    return _map_texts(value, _masked)


def redact_signed_links(value: Any) -> Any:
    """Like `redact_links`, but keeps a text that is an https address without a place for a signature."""
    return _map_texts(value, lambda text: text if is_unsigned(text) else _masked(text))


def redact_words(text: str) -> str:
    """The text with each word that holds a link masked; if a link remains, all of it is masked."""
    words = " ".join(_masked(word) for word in text.split(" "))
    return _masked(words)


def contains_link(text: str) -> bool:
    """Whether a text holds an address or the signature of one, also if it is escaped for URLs, JSON or HTML."""
    if _is_plain(text):
        return False
    decoded = list(_decoded(text))
    return len(decoded) > MAX_ESCAPES or any(
        _ADDRESS.search(each) or _SIGNED_PARAMETER.search(each) for each in decoded
    )


def is_unsigned(text: str) -> bool:
    """Whether an https address has no place for a signature or a password: no query, no fragment, no user."""
    return _UNSIGNED.fullmatch(text) is not None and not any(_SIGNED_PARAMETER.search(each) for each in _decoded(text))


def may_contain_links(body: bytes) -> bool:
    """Whether JSON has any character that a link needs. Numbers and plain names have none."""
    return any(_SUSPICIOUS.search(body, start, start + SLICE) for start in range(0, len(body), SLICE))


def _map_texts(value: Any, mask: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {mask(name): _redacted(name, each, mask) for name, each in value.items() if name not in SIGNED_KEYS}
    if isinstance(value, list | tuple):
        return type(value)(_map_texts(each, mask) for each in value)
    return mask(value) if isinstance(value, str) else value


def _redacted(name: Any, value: Any, mask: Callable[[str], str]) -> Any:
    """The value under a name. The value may be a bare signature, as in the fields of an upload form."""
    signature = isinstance(name, str) and isinstance(value, str) and _SIGNATURE.fullmatch(name)
    return MASK if signature and value else _map_texts(value, mask)


def _masked(text: str) -> str:
    return MASK if contains_link(text) else text


def _is_plain(text: str) -> bool:
    return text.isascii() and _PLAIN.fullmatch(text) is not None


def _decoded(text: str) -> Iterator[str]:
    """The text itself, and then the text with one more layer of escapes decoded, until nothing changes."""
    import html  # loads a table of two thousand names

    for _ in range(MAX_ESCAPES + 1):
        yield text
        plainer = unicodedata.normalize("NFKC", html.unescape(unquote(_ESCAPED.sub(_character, text))))
        if plainer == text:
            return
        text = plainer


def _character(escape: re.Match[str]) -> str:
    return escape[3] or chr(int(escape[1] or escape[2], 16))
