"""The frame of every page: one self-contained file that may load nothing.

Invariant: the security policy of a page allows its own style sheet and its own program, by their hashes, and pictures
inside the page; everything else is forbidden.
"""

from __future__ import annotations

import base64
import enum
import hashlib
from collections.abc import Collection, Iterable
from functools import cache
from importlib.resources import files
from typing import Any, Final

import htpy as h
import orjson
from markupsafe import Markup

__all__ = ["SIMULATED", "SOME_SIMULATED", "Source", "document", "section", "table"]


class Source(enum.Enum):
    """Whose the numbers of a section are, as it is said beside its heading."""

    OCHY = "From Ochy."
    LANDMARKS = "Read off the landmarks by this program, not measured by Ochy."


DISCLAIMER: Final = (
    "For coaching. No medical device, no diagnosis. Scores, ranges, texts and the numbers that are marked so come from "
    "Ochy; what was read off the landmarks was computed by ochy-async and is not Ochy's."
)


SIMULATED: Final = (
    "Simulated results from the emulator of ochy-async. Do not base health or training decisions on them."
)
SOME_SIMULATED: Final = (
    "Some of these results are simulated, from the emulator of ochy-async. Do not base health or training decisions on "
    "them."
)


def document(title: str, body: Iterable[h.Node], *, notices: Iterable[str] = (), data: Any = None) -> str:
    """A complete page. `notices` stand above everything. `data` is what its program draws with, as JSON values."""
    style, program = _resource("report.css"), _resource("report.js")
    page = h.html(lang="en")[
        h.head[
            h.meta(charset="utf-8"),
            h.meta({"http-equiv": "Content-Security-Policy", "content": _policy(style, program)}),
            h.meta(name="viewport", content="width=device-width, initial-scale=1"),
            h.meta(name="color-scheme", content="light dark"),
            h.meta(name="referrer", content="no-referrer"),
            h.meta(name="robots", content="noindex"),
            h.title[title],
            h.link(rel="icon", href="data:,"),
            h.style[style],
        ],
        h.body[
            h.main[[h.p(".notice")[notice] for notice in dict.fromkeys(notices) if notice], body],
            h.footer[h.p[DISCLAIMER]],
            data is not None and h.script(type="application/json", id="data")[_json(data)],
            h.script[program],
        ],
    ]
    return str(page)


def section(title: str, source: Source | None, note: str, content: h.Node) -> h.Renderable:
    """A part of a page with its heading, and beside it whose its numbers are; None if it has none."""
    whose = source and h.p(class_=f"source {source.name.lower()}")[source.value]
    return h.section(".card")[h.div(".title")[h.h2[title], whose], note and h.p(".note")[note], content]


def table(heads: Iterable[str], rows: Iterable[h.Node], *, css: str, texts: Collection[str]) -> h.Renderable:
    """A table that scrolls where it is wider than the page. All columns but `texts` hold numbers."""
    cells = [h.th(scope="col", class_=None if head in texts else "n")[head] for head in heads]
    return h.div(".scroll", tabindex="0", role="group", aria_label="Table")[
        h.table(class_=css)[h.thead[h.tr[cells]], h.tbody[rows]]
    ]


@cache
def _resource(name: str) -> Markup:
    """A file beside this module, as it stands."""
    return Markup((files("ochy_async.report") / name).read_text(encoding="utf-8"))  # noqa: S704 - a file of the package


def _policy(style: str, program: str) -> str:
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(program)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _json(data: Any) -> Markup:
    """JSON that cannot end the element in which it stands."""
    return Markup(orjson.dumps(data).decode().replace("<", "\\u003c"))  # noqa: S704 - escaped here
