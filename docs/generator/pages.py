"""The pages of the site: Markdown of the repository, with links that lead to the same place on the site.

Invariant: the pages can be read in the repository as they are; only the site's copies are changed.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

__all__ = ["ROOT", "UnknownLink", "emptied", "gather", "nested_by_four", "page_of", "site_pages"]

ROOT: Final = Path(__file__).resolve().parents[2]
OUTSIDE: Final = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    ".github/CONTRIBUTING.md": "contributing.md",
    ".github/SECURITY.md": "security.md",
}
"""Pages that are not in `docs`, and their names on the site."""
FILES: Final = "files"
"""The folder of the site for other files of the repository that pages link to."""
SHOWN_AS_TEXT: Final = (".csv", ".json", ".py")
"""Files that get the suffix `.txt` on the site, because browsers download them otherwise instead of showing them."""
_FENCE: Final = re.compile(r"(^ *(?:```|~~~).*?^ *(?:```|~~~) *$)", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)(?=[)#\s])")
_ITEM: Final = re.compile(r" *(?:\d+\.|[-*+]) +")
_MARKER: Final = re.compile(r"^<!-- generated: (.+) -->$", re.MULTILINE)


class UnknownLink(Exception):
    """A page links to a file that the repository does not have."""


def site_pages() -> dict[str, str]:
    """The pages by their paths in the repository, with their paths on the site."""
    in_docs = sorted((ROOT / "docs").rglob("*.md"))
    return OUTSIDE | {each.relative_to(ROOT).as_posix(): each.relative_to(ROOT / "docs").as_posix() for each in in_docs}


def gather(folder: Path, listings: Mapping[str, Callable[[], str]]) -> None:
    """Writes the pages of the site, and the files that they link to, into an empty folder."""
    pages = site_pages()
    for source, page in pages.items():
        text, files = page_of(source, (ROOT / source).read_text(encoding="utf-8"), pages)
        filled = _MARKER.sub(lambda marker: listings[marker[1]](), text)
        _written(folder / page, nested_by_four(filled).encode())
        for file in files:
            _written(folder / _place(file), (ROOT / file).read_bytes())


def page_of(source: str, text: str, pages: Mapping[str, str]) -> tuple[str, list[str]]:
    """The text of a page for the site, and the other files that it links to. Raises `UnknownLink`."""
    files: list[str] = []

    def moved(link: re.Match[str]) -> str:
        target = os.path.normpath(PurePosixPath(source).parent / link[1]).replace(os.sep, "/")
        if target not in pages:
            if not (ROOT / target).is_file():
                raise UnknownLink(f"{source} links to {link[1]}, which does not exist")
            files.append(target)
        place = pages.get(target, _place(target))
        return os.path.relpath(place, PurePosixPath(pages[source]).parent).replace(os.sep, "/")

    parts = _FENCE.split(text)
    return "".join(part if _FENCE.match(part) else _LINK.sub(moved, part) for part in parts), files


def _place(file: str) -> str:
    """Where a file that is no page stands on the site."""
    return f"{FILES}/{file}{'.txt' if file.endswith(SHOWN_AS_TEXT) else ''}"


def nested_by_four(text: str) -> str:
    """A text in which what belongs to the item of a list is indented by four spaces, as the builder needs it.

    GitHub wants it to begin below the text of the item, which is two or three spaces from its marker. The builder also
    needs an empty line between items that consist of several paragraphs.
    """
    lines: list[str] = []
    items: list[int] = []  # where the text of each open item begins in the source
    in_code = several = False
    for line in text.splitlines(keepends=True):
        content = line.lstrip(" ")
        if not content.strip():
            several = bool(items)
            lines.append(line)
            continue
        indent = len(line) - len(content)
        marker = None if in_code else _ITEM.match(line)
        if not in_code:
            if marker and several and lines[-1].strip():
                lines.append("\n")
            items = [each for each in items if each <= indent]
            several &= bool(items or marker)
        lines.append(" " * (4 * len(items) + indent - (items[-1] if items else 0)) + content)
        in_code ^= content.startswith(("```", "~~~"))
        if marker:
            items.append(marker.end())
    return "".join(lines)


def _written(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def emptied(folder: Path) -> Path:
    """The folder, made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
