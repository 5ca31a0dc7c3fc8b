"""Which hosts are this machine.

Invariant: pure. No name is resolved, so `localhost` is the only name that counts.
"""

from __future__ import annotations

import ipaddress

__all__ = ["LOOPBACK_ADDRESSES", "is_loopback"]

LOOPBACK_ADDRESSES = ("127.0.0.1", "::1")
"""What `localhost` stands for."""


def is_loopback(host: str) -> bool:
    """Whether a host is `localhost` or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
