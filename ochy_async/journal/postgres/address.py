"""The address of a journal in Postgres: a secret, of which errors may name host, port and database only.

Invariant: pure. No text that is made here holds the user, the password or an option of the address.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote, urlsplit

__all__ = ["MASKED", "address_place", "address_problem", "is_address", "mask_addresses"]

MASKED: Final = "postgresql://***"
"""What replaces the secret part of an address, or all of it."""
_SCHEME: Final = re.compile(r"postgres(ql)?://", re.IGNORECASE)
_IN_TEXT: Final = re.compile(rf"{_SCHEME.pattern}(?:.*@)?[^\s'\"]*", re.IGNORECASE)


def is_address(text: str) -> bool:
    """Whether a text is meant as an address."""
    return _SCHEME.match(text) is not None


def mask_addresses(text: str) -> str:
    """The text with each address in it reduced to its host, port and database."""
    return _IN_TEXT.sub(lambda found: _masked(found[0]), text)


def _masked(address: str) -> str:
    return MASKED if address_problem(address) else f"{MASKED}@{address_place(address)}"


def address_problem(address: object) -> str | None:
    """What is wrong with an address, in words that do not quote it."""
    if not isinstance(address, str) or not _SCHEME.match(address):
        return "must be a string that begins with postgresql:// or postgres://"
    if not address.isprintable() or " " in address:
        return "must contain no blanks and no line breaks"
    place, *rest = re.split("[/?]", address.partition("://")[2], maxsplit=1)
    hosts = place.rpartition("@")[2].split(",")
    is_ambiguous = place.count("@") > 1 or "@" in "".join(rest) or "#" in address
    if is_ambiguous or not all(map(_is_host, hosts)):
        return "cannot be parsed: a user and a password must be percent-encoded, and a port must be a number"
    return None


def address_place(address: str) -> str:
    """The hosts, ports and the database of an address without a problem."""
    place, _, rest = address.partition("://")[2].partition("?")[0].partition("/")
    return f"{place.rpartition('@')[2] or 'the default host'}/{unquote(rest) or 'the default database'}"


def _is_host(host: str) -> bool:
    """Whether a host and its port can be parsed."""
    try:
        _ = urlsplit(f"//{host}").port
    except ValueError:
        return False
    return True
