"""The headers of an answer that are kept.

Invariant: a header is kept only if it is listed here. No cookie and no URL is, because either may be a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .text_summary import display_text

__all__ = ["PUBLIC_HEADERS", "public_headers"]

PUBLIC_HEADERS: Final = (
    *("content-type", "date", "retry-after"),
    *("x-request-id", "request-id", "x-correlation-id", "x-trace-id", "traceparent", "cf-ray"),
    *("x-amzn-requestid", "x-amzn-trace-id", "x-amz-cf-id", "apigw-requestid", "x-cloud-trace-context"),
)
"""What retries need, and the names under which servers and proxies usually return the id of a request. Which one the
vendor uses is not documented."""
MAX_HEADER: Final = 200
"""Characters of a value that are shown."""


def public_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that may be shown, by lower-case name. Each value is one line of printable text."""
    return {name: display_text(headers[name], MAX_HEADER) for name in PUBLIC_HEADERS if name in headers}
