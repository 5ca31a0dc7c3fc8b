"""What we are compared with: libraries of the extra `bench`, and curl if the machine has it.

Invariant: nothing else imports a peer, so that the checks of this project need none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["peer"]


def peer(module: str) -> Any:
    """A library that others use for what we do. Ends the run where it is missing."""
    try:
        return import_module(module)
    except ModuleNotFoundError as missing:
        raise SystemExit(f"{missing.name} is missing: pip install 'ochy-async[bench]'") from None
