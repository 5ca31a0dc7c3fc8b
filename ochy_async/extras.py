"""What is said where a library of an extra is missing: what needs it, and the command that installs it.

Invariant: every message that asks for an extra, except those of the emulator and of the preflight, is made here.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

__all__ = ["install_hint", "missing_library"]

_EXTRAS: Final = frozenset(
    ("arrow", "c3d", "dask", "objects", "otel", "parquet", "plot", "postgres", "queue", "redis", "report")
)


def missing_library(what: str, library: object, package: str) -> str:
    """Says that `what` needs a library, and how to install it: by an extra of ours, or as a package of its own."""
    command = f"'ochy-async[{package}]'" if package in _EXTRAS else package
    return f"{what} needs {library}, which is not installed. Install it with: pip install {command}"


@contextmanager
def install_hint(package: str) -> Generator[None]:
    """Turns the error of a library that cannot be imported into one that names the command."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = error.name
    else:
        return
    raise ModuleNotFoundError(missing_library("This", missing, package))
