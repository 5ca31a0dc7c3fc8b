"""What identifies a clip in a journal, whatever its file is called.

Invariant: the identity is made of the content, everything in the request that changes the answer, the account and the
base URL. Name, time and tagging subject do not count.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import orjson

from ..protocol.request import AnalysisRequest

__all__ = ["identity"]

_VERSION: Final = 1
"""Must change whenever the identity is computed from other parts. Every clip in existing journals would then be bought
again."""
_IGNORED_FIELDS: Final = frozenset({"notify_via_webhook"})
"""Form fields that do not change the answer."""


def identity(content: str, request: AnalysisRequest[Any, Any], account: str, origin: str) -> str:
    """The key of a clip in a journal: 64 hex digits.

    `content` is the SHA-256 of the clip in hex, `account` identifies the account, and `origin` is the base URL. The
    user's own subject counts, because the analysis is linked to it.
    """
    fields = sorted((name, value) for name, value in request.fields() if name not in _IGNORED_FIELDS)
    return hashlib.sha256(orjson.dumps([_VERSION, content, fields, account, origin])).hexdigest()
