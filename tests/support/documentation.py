"""What pages of the documentation list, for tests that compare them with the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

__all__ = ["documented_columns"]

PAGE: Final = Path(__file__).parents[2] / "docs/reference/tables.md"


def documented_columns(heading: str) -> list[str]:
    """The names in the first column of the table below a heading of docs/reference/tables.md, in order."""
    if not PAGE.exists():
        pytest.skip("an installed package has no docs")
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`(.+?)`", cell)]
