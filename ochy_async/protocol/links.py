"""Signed URLs in JSON: taken out before it is kept or shown.

Law of this room: a link is a secret for as long as it lives, so no file, no line and no journal holds one;
nor any other address, for nobody knows under which name the next one comes. Documented links to exercises are
shown where nothing in them can be a signature.
"""

from __future__ import annotations

import re
from typing import Any, Final

__all__ = ["is_unsigned", "without_links"]

SIGNED: Final = frozenset({"thumbnail", "output_video"})
"""The keys whose values are links (documented)."""

MASK: Final = "[link]"

_UNSIGNED: Final = re.compile(r"https://[^\s?#@\\\x00-\x1f\x7f]+", re.IGNORECASE)


def without_links(value: Any) -> Any:
    """The JSON without signed URLs: those known by name are left out, any other link is masked."""
    if isinstance(value, dict):
        return {_masked(name): without_links(each) for name, each in value.items() if name not in SIGNED}
    if isinstance(value, list):
        return [without_links(each) for each in value]
    return _masked(value) if isinstance(value, str) else value


def is_unsigned(text: str) -> bool:
    """Whether an https address has no place for a signature or a password: neither query, fragment nor user."""
    return _UNSIGNED.fullmatch(text) is not None


def _masked(text: str) -> str:
    return MASK if "://" in text else text
