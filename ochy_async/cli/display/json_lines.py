"""Answers of the API as lines of JSON.

Invariant: the keys that this project documents are always present; the vendor's other keys follow them, without links.
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

__all__ = ["answer_record", "print_records"]


def answer_record(answer: Answer) -> dict[str, Any]:
    """The answer as JSON values: its fields by their names here, then the vendor's keys that no field reads."""
    described = [each for each in fields(cast("Any", type(answer))) if each.name != "raw"]
    documented = {each.name: _json_value(getattr(answer, each.name)) for each in described}
    read = documented.keys() | {name for each in described for name in each.metadata.get("keys", ())}
    return {**documented, **redact_links({name: each for name, each in answer.raw.items() if name not in read})}


def print_records(records: Iterable[dict[str, Any]]) -> None:
    """Prints one JSON object a line on stdout, in plain ASCII, without links that may be signed."""
    for each in records:
        click.echo(json.dumps(redact_signed_links(each)))


def _json_value(value: Any) -> Any:
    if isinstance(value, Answer):
        return answer_record(value)
    return value.isoformat() if isinstance(value, datetime) else redact_links(value)
