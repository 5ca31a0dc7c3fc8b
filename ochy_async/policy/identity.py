"""What makes two clips the same clip: paid for once, whatever the file is called.

Invariant: content, everything in the request that changes the answer, account and base URL.
Nothing else counts: not the name, not the time, not the upload lane.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import orjson

from ..protocol.request import AnalysisRequest

__all__ = ["identity"]

_FORM: Final = 1
"""Counts up if the identity is ever made of other things: what was paid for would else be bought again."""
_NO_MATTER: Final = frozenset({"notify_via_webhook"})
"""Form fields that change no answer."""


def identity(content: str, request: AnalysisRequest[Any, Any], account: str, origin: str) -> str:
    """The key of a clip in a journal: 64 hex digits.

    `content` is the SHA-256 of the clip in hex, `account` tells accounts apart, `origin` is the base
    URL. A subject of the user's own counts, since the analysis is linked to it.
    """
    fields = sorted((name, value) for name, value in request.fields() if name not in _NO_MATTER)
    return hashlib.sha256(orjson.dumps([_FORM, content, fields, account, origin])).hexdigest()
