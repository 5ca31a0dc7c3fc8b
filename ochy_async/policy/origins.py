"""Which base URLs surely are one server: those that RFC 3986 makes equal, and no others.

Invariant: pure, and no look at the network. `localhost` and `127.0.0.1` may be two servers, and so may two names of
one address: whoever knows better says so.
"""

from __future__ import annotations

from yarl import URL

__all__ = ["normal"]


def normal(base_url: str) -> str:
    """The one spelling of a base URL: case, default port, dot segments, escapes, IDNA, and no slash at its end.

    What is no http address comes back as it is.
    """
    try:
        url = URL(base_url)
    except ValueError:
        return base_url
    if url.scheme not in ("http", "https") or not url.raw_host:
        return base_url
    return str(url).rstrip("/")
