"""The shape of a JSON value without its content: what errors and logs may show of an answer.

Invariant: the output holds keys that look like plain names, types and sizes, and never a value. Answers are health
data, and an error answer may echo anything, including the API key.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["describe_body", "json_type", "outline", "safe_key"]

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")


def json_type(value: object) -> str:
    """The JSON type of `value`."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    names = ((str, "text"), (int | float, "number"), (dict, "object"), (list, "array"))
    return next((name for types, name in names if isinstance(value, types)), type(value).__name__)


def safe_key(name: object) -> str:
    """A key that may be shown; a key that does not look like a plain name may be data and becomes `…`."""
    return name if isinstance(name, str) and _NAME.fullmatch(name) else "…"


def outline(value: object, depth: int = 3, width: int = 12) -> str:
    """Keys and types of `value`, bounded in depth and width: `{status: text, percentage: number}`."""
    if isinstance(value, dict):
        if depth == 0:
            return "{…}"
        entries = [f"{safe_key(k)}: {outline(v, depth - 1, width)}" for k, v in list(value.items())[:width]]
        return "{" + ", ".join(entries + ["…"] * (len(value) > width)) + "}"
    if isinstance(value, list):
        return f"[{len(value)} × {outline(value[0], depth - 1, width)}]" if value and depth else f"[{len(value)}]"
    return json_type(value)


def describe_body(body: bytes) -> str:
    """The apparent type and the size of a body that is not JSON."""
    start = body[:64].lstrip().lower()
    apparent = "HTML" if start.startswith((b"<!doctype", b"<html", b"<head")) else "something unreadable"
    return f"{apparent}, {len(body):,} bytes" if body else "an empty body"
