"""The SVG element of every drawing.

Invariant: pure. A drawing has a text for screen readers, or is hidden from them because a text beside it says the same.
"""

from __future__ import annotations

from typing import Final

import htpy as h

__all__ = ["svg", "within"]


_HIDDEN: Final = {"aria-hidden": "true", "focusable": "false"}


def svg(
    *, box: tuple[float, float, float, float], css: str, label: str | None = None, stretched: bool = False
) -> h.Element:
    """An SVG element with a view box, which may be stretched to any form. Without a label no screen reader sees it."""
    access = _HIDDEN if label is None else {"role": "img", "aria-label": label}
    form = {"preserveAspectRatio": "none"} if stretched else {}
    return h.svg({"viewBox": " ".join(f"{each:g}" for each in box), "class": css, **form, **access})


def within(share: float) -> float:
    """The share, or the nearer of 0 and 1 if it lies beyond them."""
    return max(0.0, min(1.0, share))
