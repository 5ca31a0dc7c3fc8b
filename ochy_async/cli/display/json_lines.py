"""Answers of the API as lines of JSON for programs.

Invariant: the keys that this project promises are always there; what else the vendor sends is kept behind
them, without its links.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, cast

import click
from attrs import fields

from ...protocol.answer import Answer
from ...protocol.redaction import redact_links, redact_signed_links

__all__ = ["print_records", "record"]


def record(answer: Answer) -> dict[str, Any]:
    """The answer as JSON: its fields by their names here, then the keys that no field reads."""
    described = [each for each in fields(cast("Any", type(answer))) if each.name != "raw"]
    stable = {each.name: _plain(getattr(answer, each.name)) for each in described}
    read = stable.keys() | {name for each in described for name in each.metadata.get("keys", ())}
    return {**stable, **redact_links({name: each for name, each in answer.raw.items() if name not in read})}


def print_records(records: Iterable[dict[str, Any]]) -> None:
    """One JSON object a line on stdout, in plain ASCII, and without what may be a signed link."""
    for each in records:
        click.echo(json.dumps(redact_signed_links(each)))


def _plain(value: Any) -> Any:
    if isinstance(value, Answer):
        return record(value)
    return value.isoformat() if isinstance(value, datetime) else redact_links(value)
