"""Signed URLs in JSON: taken out before it is kept or shown.

Law of this room: a link is a secret for as long as it lives, so no file, no line and no journal holds one;
nor any other address, for nobody knows under which name the next one comes.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["without_links"]

SIGNED: Final = frozenset({"thumbnail", "output_video"})
"""The keys whose values are links (documented)."""

MASK: Final = "[link]"


def without_links(value: Any) -> Any:
    """The JSON without signed URLs: those known by name are left out, any other link is masked."""
    if isinstance(value, dict):
        return {_masked(name): without_links(each) for name, each in value.items() if name not in SIGNED}
    if isinstance(value, list):
        return [without_links(each) for each in value]
    return _masked(value) if isinstance(value, str) else value


def _masked(text: str) -> str:
    return MASK if "://" in text else text
