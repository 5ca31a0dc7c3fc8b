"""Signed URLs in JSON and in text: taken out before it is kept or shown.

Invariant: a link is a secret for as long as it lives, so no file, no line and no journal holds one;
nor any other address, for nobody knows under which name the next one comes. Documented links to exercises are
shown where nothing in them can be a signature.
"""

from __future__ import annotations

import html
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

SIGNED: Final = frozenset({"thumbnail", "output_video"})
"""The keys whose values are links (documented)."""

MASK: Final = "[link]"

SIGNATURES: Final = (
    r"x-(?:amz|goog|oss|cos|obs|ms|bz)-[a-z-]+|(?:access|auth|id|refresh|sas|security|session|upload)?[_-]?token"
    r"|(?:url)?[_-]?signature|sig|hmac|hdnea|hdnts|key-pair-id|awsaccesskeyid|googleaccessid|ossaccesskeyid|api[_-]?key"
)
"""Parameters that sign a link at the storages that are in use."""
BESIDE: Final = r"sign|policy|expires|verify|se|sp|sr|sv|skoid|sktid"
"""Parameters that stand beside a signature. Alone they are ordinary words."""

ROUNDS: Final = 4
"""How many layers of escapes are looked under; what has more is masked unseen."""

SLICE: Final = 1 << 20
"""Bytes that are searched at a time: a search of more would keep other threads from running."""

_UNSIGNED: Final = re.compile(r"https://[^\s?#@\\\x00-\x1f\x7f]+", re.IGNORECASE)
_PLAIN: Final = re.compile(r"[^/=%&\\]*", re.ASCII)
"""What holds none of these in ASCII holds no link: neither an address nor a parameter can be written without."""
_ADDRESS: Final = re.compile(r"://|(?:^|[\s\"'(<\[{=,;|])[/\\]{2}[^\s/\\]+\.[^\s/\\]+[/\\]|:\\\\[^\s\\]+\.[^\s\\]+\\")
"""With a scheme; or relative to one, which browsers and storages take for a link too."""
_SIGN: Final = re.compile(rf"(?<![a-z0-9])(?:{SIGNATURES}|{BESIDE})=", re.IGNORECASE)
_SIGNATURE: Final = re.compile(SIGNATURES, re.IGNORECASE)
_ESCAPED: Final = re.compile(r"\\+(?:u\{?([0-9a-f]{4})\}?|x([0-9a-f]{2})|(/))", re.IGNORECASE)
_SUSPICIOUS: Final = re.compile(rb"[/=%&\\]|[\x80-\xff]")


def redact_links(value: Any) -> Any:
    """The JSON without signed URLs: those known by name are left out, any other text with a link is masked."""
    return _mapped(value, _masked)


def redact_signed_links(value: Any) -> Any:
    """The same, but a text that is nothing but an https address without a place for a signature is kept."""
    return _mapped(value, lambda text: text if is_unsigned(text) else _masked(text))


def redact_words(text: str) -> str:
    """A text without the words that hold a link; should links be left then, a mask for all of it."""
    words = " ".join(_masked(word) for word in text.split(" "))
    return _masked(words)


def contains_link(text: str) -> bool:
    """Whether a text holds an address or what signs one, in whatever spelling: escaped for URLs, JSON or HTML."""
    if _is_plain(text):
        return False
    spellings = list(_spellings(text))
    return len(spellings) > ROUNDS or any(_ADDRESS.search(each) or _SIGN.search(each) for each in spellings)


def is_unsigned(text: str) -> bool:
    """Whether an https address has no place for a signature or a password: neither query, fragment nor user."""
    return _UNSIGNED.fullmatch(text) is not None and not any(_SIGN.search(each) for each in _spellings(text))


def may_contain_links(body: bytes) -> bool:
    """Whether JSON holds any character without which there is no link. Numbers and plain names do not."""
    return any(_SUSPICIOUS.search(body, start, start + SLICE) for start in range(0, len(body), SLICE))


def _mapped(value: Any, mask: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {mask(name): _beside(name, each, mask) for name, each in value.items() if name not in SIGNED}
    if isinstance(value, list | tuple):
        return type(value)(_mapped(each, mask) for each in value)
    return mask(value) if isinstance(value, str) else value


def _beside(name: Any, value: Any, mask: Callable[[str], str]) -> Any:
    """What stands under a name; a signature may stand there alone, as in the fields of a form."""
    alone = isinstance(name, str) and isinstance(value, str) and _SIGNATURE.fullmatch(name)
    return MASK if alone and value else _mapped(value, mask)


def _masked(text: str) -> str:
    return MASK if contains_link(text) else text


def _is_plain(text: str) -> bool:
    return text.isascii() and _PLAIN.fullmatch(text) is not None


def _spellings(text: str) -> Iterator[str]:
    """The text as it is, and then with one layer of escapes less each time, as long as that changes anything."""
    for _ in range(ROUNDS + 1):
        yield text
        plainer = unicodedata.normalize("NFKC", html.unescape(unquote(_ESCAPED.sub(_character, text))))
        if plainer == text:
            return
        text = plainer


def _character(escape: re.Match[str]) -> str:
    return escape[3] or chr(int(escape[1] or escape[2], 16))
