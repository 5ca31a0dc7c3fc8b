"""Imports the libraries that ours is compared with. They come with the extra `bench`.

Invariant: no other module imports one of them, so the checks of this project do not need them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["alternative"]


def alternative(module: str) -> Any:
    """Imports a library. Ends the program if it is missing."""
    try:
        return import_module(module)
    except ModuleNotFoundError as missing:
        raise SystemExit(f"{missing.name} is missing: pip install 'ochy-async[bench]'") from None
