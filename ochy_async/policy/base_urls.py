"""Which base URLs certainly lead to the same server: those that RFC 3986 makes equivalent.

Invariant: pure; no name is resolved. `localhost` and `127.0.0.1` may be two servers, and so may two names of one
address; only the user can say that they are one.
"""

from __future__ import annotations

from yarl import URL

__all__ = ["normalized"]


def normalized(base_url: str) -> str:
    """The canonical spelling of a base URL: case, default port, dot segments, escapes, IDNA, and no trailing slash.

    Returns anything that is not an http address unchanged.
    """
    try:
        url = URL(base_url)
    except ValueError:
        return base_url
    if url.scheme not in ("http", "https") or not url.raw_host:
        return base_url
    return str(url).rstrip("/")
