"""The frame of every page: one self-contained file that may load nothing.

Invariant: the security policy of a page allows its own style sheet and its own program, by their hashes, and pictures
inside the page; everything else is forbidden.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any, Final

import htpy as h
import orjson
from markupsafe import Markup

__all__ = ["document", "section"]

DISCLAIMER: Final = (
    "For coaching. No medical device, no diagnosis. Scores, ranges, texts and the numbers that are marked so come from "
    "Ochy; what was read off the landmarks was computed by ochy-async and is not Ochy's."
)


def document(title: str, body: Iterable[h.Node], *, data: Any = None) -> str:
    """A complete page. `data` is what the page's program draws with, as JSON values."""
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
            h.main[body],
            h.footer[h.p[DISCLAIMER]],
            data is not None and h.script(type="application/json", id="data")[_json(data)],
            h.script[program],
        ],
    ]
    return str(page)


def section(title: str, note: h.Node, content: h.Node, css: str = "") -> h.Renderable:
    """A part of a page with its heading, and a note that says where its numbers come from."""
    return h.section(class_=f"card {css}".strip())[h.h2[title], note and h.p(".note")[note], content]


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
