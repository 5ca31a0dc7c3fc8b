"""The messages about libraries that are missing."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from ochy_async.extras import install_hint, missing_library

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OTHERS = {"all", "bench", "cli", "dev", "docs", "test", "video"}
"""Extras whose messages are their own, or that nobody asks for."""
LIBRARIES = [
    (extra, library.partition(">")[0])
    for extra, libraries in PROJECT["optional-dependencies"].items()
    for library in libraries
    if extra not in OTHERS
]


@pytest.mark.parametrize(("extra", "library"), LIBRARIES)
def test_a_message_names_the_extra_and_not_a_package_of_that_name(extra: str, library: str) -> None:
    """`pip install report` would install what somebody else has published."""
    told = f"This needs {library}, which is not installed. Install it with: pip install 'ochy-async[{extra}]'"
    assert missing_library("This", library, extra) == told


def test_a_package_that_is_no_extra_is_installed_by_its_name() -> None:
    """The name of the missing module is in the message, since it may be another one than the package."""
    with (
        pytest.raises(ModuleNotFoundError, match=r"needs no_such_module, .* with: pip install polars$"),
        install_hint("polars"),
    ):
        import no_such_module  # type: ignore[import-not-found]  # noqa: F401
