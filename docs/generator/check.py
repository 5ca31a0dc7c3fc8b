"""Checks a built site: links lead somewhere, nothing is loaded from elsewhere, and public names are explained."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

__all__ = ["problems_of", "public_names", "unexplained", "warnings_of"]

ELSEWHERE: Final = {
    "__init__": "is the signature of its class",
    "help": "is shown at OchyError, from which all errors have it",
}
"""Members that need no place of their own, with the reason."""

_LOADED: Final = {"script": "src", "img": "src", "source": "src", "iframe": "src", "video": "src", "link": "href"}
"""What a browser loads of its own accord."""
_MERMAID: Final = "https://unpkg.com/mermaid"
"""What the theme's script loads where a page has a diagram of this kind."""
_CSS_LOAD: Final = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""")
_HEADINGS: Final = ("h1", "h2", "h3", "h4", "h5", "h6")
_LOST_ITEM: Final = re.compile(r"\n(?:\d+\.|[-*+]) .*")
"""The item of a list, within a paragraph."""


class _Page(HTMLParser):
    """The anchors, links and loads of one page, and its lists that came apart."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.broken_lists: list[str] = []
        self._in_style = False
        self._in_paragraph = False
        self._lists = 0
        """The numbered lists that are open."""
        self._section = ""
        self._listed: str | None = None
        """The section of the last numbered list."""
        self.feed(text)

    def handle_endtag(self, tag: str) -> None:
        self._in_style &= tag != "style"
        self._in_paragraph &= tag != "p"
        self._lists -= tag == "ol"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self._in_style = tag == "style"
        if tag == "p":
            self._in_paragraph = True
        elif tag == "ol":
            self._open_list()
        elif tag in _HEADINGS:
            self._section = values.get("id", "")
        if "mermaid" in values.get("class", "").split():
            self.loads.append(_MERMAID)
        self.anchors |= {values.get("id", ""), values.get("name", "")}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if values.get("rel") not in ("canonical", "prev", "next") and (address := values.get(_LOADED.get(tag, ""))):
            self.loads.append(address)
            self.links.append(address)
        self.loads += _CSS_LOAD.findall(values.get("style", ""))

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.loads += _CSS_LOAD.findall(data)
        elif self._in_paragraph:
            items = (each.strip() for each in _LOST_ITEM.findall(data))
            self.broken_lists += [f"has the item of a list within a paragraph: {each}" for each in items]

    def _open_list(self) -> None:
        if not self._lists and self._listed == self._section:
            self.broken_lists.append(f"has two numbered lists in the section #{self._section}; both begin with 1")
        self._lists += 1
        self._listed = self._section


def problems_of(site: Path) -> Iterator[str]:
    """A sentence for each link that leads nowhere, each thing loaded from elsewhere, and each list that came apart."""
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        name = path.relative_to(site).as_posix()
        yield from (f"{name} loads {each}" for each in page.loads if _elsewhere(each))
        yield from (f"{name} {each}" for each in page.broken_lists)
        lost = (each for each in page.links if not _leads(each, path, site, pages))
        yield from (f"{name} links to {each}, which does not exist" for each in lost)
    for path in sorted(site.rglob("*.css")):
        for each in _CSS_LOAD.findall(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(site).as_posix()} loads {each}"


def unexplained(site: Path, names: Mapping[str, Iterable[str]]) -> Iterator[str]:
    """A sentence for each public name that the page of its module does not show.

    Names of a module are shown if they have a docstring, members of classes also without one.
    """
    for module, each in names.items():
        anchors = _Page((site / "reference" / "api" / f"{module}.html").read_text(encoding="utf-8")).anchors
        for name in each:
            own = f"{module}.{name}"
            # A function whose module has the same name is shown as part of that module.
            if anchors.isdisjoint((own, f"{own}.{name}")) and name.rpartition(".")[2] not in ELSEWHERE:
                yield f"{own} is not shown, or has no docstring"


def public_names(listing: str) -> dict[str, list[str]]:
    """The names of each module and the members of its classes, from the text of `tests/public_api.txt`."""
    sections = (each.splitlines() for each in listing.removeprefix("# ").split("\n\n# "))
    return {module: [re.split(r"[^\w.]", line)[0] for line in lines] for module, *lines in sections}


def warnings_of(printed: str) -> list[str]:
    """What griffe, which reads docstrings, says is wrong with them. The builder takes that for no warning."""
    return [line for line in printed.splitlines() if line.startswith("griffe: ")]


def _elsewhere(address: str) -> bool:
    return bool(urlsplit(address).netloc)


def _leads(link: str, path: Path, site: Path, pages: dict[Path, _Page]) -> bool:
    """Whether a link leads to a file of the site, and to an anchor in it; links to elsewhere are not followed."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True
    base = site if parts.path.startswith("/") else path.parent
    target = (base / unquote(parts.path).lstrip("/")).resolve() if parts.path else path
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return False
    return not parts.fragment or target not in pages or unquote(parts.fragment) in pages[target].anchors
